"""Mutants that change nothing which can be observed, each with the reason; see ``tests.support.mutants``.

Only what survives counts as equivalent: one of these that a test kills is killed. A test checks that each still is a
mutant of its file.
"""

EQUIVALENT = {
    (
        "training/data/cache.py",
        "self._free, self._full = 0, True",
        "0 -> (1)",
    ): "a file of features takes more than one byte, so none fits",
    (
        "lora_mcl/audio.py",
        "blocks = samples[: len(samples) // step * step].reshape(-1, step)  # [steps, samples of a step]",
        "1 -> (2)",
    ): "numpy takes any negative length for the one to be worked out",
    (
        "lora_mcl/audio.py",
        'return librosa.resample(samples, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq", fix=False)',
        'librosa.resample(samples, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq", fix=False) -> '
        "(librosa.resample(samples, orig_sr=rate, target_sr=sampling_rate, fix=False))",
    ): "librosa's own choice, written out so that another version's does not count",
    (
        "lora_mcl/trainer/step.py",
        "if self.gate is not None and log_gate is not None:",
        "self.gate is not None and log_gate is not None -> (self.gate is not None or log_gate is not None)",
    ): "there is an output of the gate exactly where there is a gate; both are asked for the types",
    (
        "lora_mcl/scoring.py",
        "text = decode(written[: index + 1], skip_special_tokens=False)",
        "decode(written[: index + 1], skip_special_tokens=False) -> (decode(written[:index + 1]))",
    ): "transformers' own choice, written out so that another version's does not count",
    (
        "lora_mcl/models/labels.py",
        'first = self._tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]',
        "1 -> (2)",
    ): "only the first of them is looked at",
    (
        "lora_mcl/objectives.py",
        "bound = torch.finfo(nll.dtype).max / 4",
        "4 -> (5)",
    ): "differences of losses are finite with any divisor from 2 on",
    (
        "lora_mcl/objectives.py",
        "_LOG_GATE_FLOOR = -1e4  # log g below this is as good as 0, and stays finite for any reasonable beta",
        "1e4 -> (10001.0)",
    ): "both are as good as 0: exp(-10000) is 0 in every floating-point type",
    (
        "training/data/readers/cells.py",
        "table = parquet.read_table(file, memory_map=True)",
        "parquet.read_table(file, memory_map=True) -> (parquet.read_table(file))",
    ): "the same rows, in memory of their own",
    (
        "training/data/readers/cells.py",
        "table = parquet.read_table(file, memory_map=True)",
        "True -> (False)",
    ): "the same rows, in memory of their own",
    (
        "training/data/readers/table.py",
        'with file.open(encoding="utf-8-sig", newline="") as lines:',
        'file.open(encoding="utf-8-sig", newline="") -> (file.open(encoding=\'utf-8-sig\'))',
    ): "kinds of line ends differ inside captions only, whose spaces are joined",
    (
        "ui/pacing.py",
        "self._has_words = False",
        "False -> (True)",
    ): "the first snapshot is due by its time, and sets it",
    (
        "lora_mcl/gate.py",
        "best = evidence.topk(min(n, evidence.shape[1]), dim=1)",
        "evidence.topk(min(n, evidence.shape[1]), dim=1) -> (evidence.topk(min(n, evidence.shape[1])))",
    ): "of a matrix, the last axis, which is the default, is 1",
    (
        "lora_mcl/gate_init.py",
        "scale = min(1.0, CONFIDENCE / float((first - second).mean().clamp_min(1e-6)))",
        "1e-6 -> (1.000001)",
    ): "the scale is 1 for every lead below CONFIDENCE",
    (
        "lora_mcl/gate_init.py",
        "first, second = scores.topk(2, dim=1).values.T",
        "scores.topk(2, dim=1) -> (scores.topk(2))",
    ): "of a matrix, the last axis, which is the default, is 1",
    (
        "training/data/sampler.py",
        "batches = rng.permutation(rest[:full].reshape(-1, size), axis=0)",
        "1 -> (2)",
    ): "numpy takes any negative length for the one to be worked out",
}
"""Reason by file, line without its indentation, and change."""
