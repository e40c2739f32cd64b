"""The GPU checks run on tiny models on the CPU; its budget, its bounds and the large models' sizes by hand."""

import json
import math
from importlib.util import find_spec

import pytest
import torch

from benchmarks import gpu, gpu_models, gpu_parts, gpu_steps
from benchmarks.gpu_parts import Part, Skipped
from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding import ColumnRequest, Greedy
from lora_mcl.errors import BundleError
from lora_mcl.models import LANGUAGE_MODELS

CPU = torch.device("cpu")
MODALITIES = ("image", "audio")
COLUMNS = {"hypothesis-0": 1, "hypothesis-1": 1, "hypothesis-2": 1, "beam": 3, "diverse-beam": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The results of a tiny run."""
    out = tmp_path_factory.mktemp("gpu") / "results" / "gpu.json"
    assert gpu.main(["--tiny", "--minutes", "600", "--out", str(out)]) == 0
    return json.loads(out.read_text())


@pytest.mark.slow
def test_every_part_is_measured(run):
    assert (run["device"], run["memory_gib"], run["tiny"]) == ("cpu", None, True)
    assert run["weights"] == {"image": "random", "audio": "random"}
    skipped = {name for name, found in run["parts"].items() if "skipped" in found}
    assert skipped <= ({"image, 4 bits"} if find_spec("bitsandbytes") is None else set())
    for modality in MODALITIES:
        loaded = run["parts"][f"{modality}, load and caption"]
        # Rank 8 on 2 layers: four products 64 x 64 and three 64 x 128.
        assert loaded["parameters_per_adapter"] == 8 * 2 * (4 * (64 + 64) + 3 * (64 + 128))
        assert loaded["columns"] == {id: [6] * count for id, count in COLUMNS.items()}
        for request in (loaded["first_request"], loaded["second_request"]):
            assert 0 < request["first_token_seconds"] < request["total_seconds"]
        page = run["parts"][f"{modality}, steps"]["K = 3, beam 3, diverse beam 3"]
        assert page["rows"] == 9
        for kind in ("off", "static"):
            assert 0 < page[kind]["of_weight_bound"] < page[kind]["of_memory_bound"] and page[kind]["prefill_ms"] > 0
        assert set(run["parts"][f"{modality}, visitors"]) == {"1", "4", "16", "peak_gib", "seconds"}
    training = [name for name in run["parts"] if name.startswith("training")]
    assert len(training) == 1 + 2 * 3 and all(run["parts"][name]["ms"] > 0 for name in training)


@pytest.mark.slow
def test_the_tables_have_every_part(run):
    parts, steps = gpu.report(run).split("\n\n")
    assert len(parts.splitlines()) == 2 + len(run["parts"])
    assert len(steps.splitlines()) == 2 + 2 * 2 * 2  # two models, two requests, with and without static shapes


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(gpu.time, "monotonic", lambda: self.now)

    def part(self, name, seconds, needed=None, gib=0.0, error=None):
        def run():
            self.now += seconds
            if error:
                raise error
            return {"ms": seconds}

        return Part(name, seconds if needed is None else needed, gib, run)


def test_parts_are_skipped_when_time_runs_out(monkeypatch):
    clock = Clock(monkeypatch)
    parts = [clock.part("a", 50), clock.part("b", 60), clock.part("c", 30), clock.part("d", 20)]
    found = gpu.run_parts(parts, 100, CPU)
    assert found["a"]["ms"] == 50 and found["c"]["ms"] == 30 and found["d"]["ms"] == 20
    assert found["b"] == {"skipped": "needs about 60 s, 50 s were left"}
    assert gpu.run_parts([clock.part("tiny", 1, needed=1000)], 10, CPU, tiny=True)["tiny"]["ms"] == 1


def test_parts_are_skipped_when_memory_runs_out(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(gpu, "free_gib", lambda device: 24.0)
    errors = {"full": torch.OutOfMemoryError("CUDA out of memory.\nTried"), "missing": Skipped("not installed")}
    errors["broken"] = ValueError("no such column")
    parts = [clock.part("large", 1, gib=30.0), *(clock.part(name, 1, error=error) for name, error in errors.items())]
    found = gpu.run_parts([*parts, clock.part("last", 1, gib=24.0)], 100, CPU)
    assert found["large"] == {"skipped": "needs about 30 GiB, 24 GiB were free"}
    assert found["full"] == {"skipped": "out of memory: CUDA out of memory."}
    assert found["missing"] == {"skipped": "not installed"}
    assert found["broken"] == {"failed": "ValueError: no such column"} and found["last"]["ms"] == 1
    assert "failed: ValueError: no such column" in gpu.report({"parts": found})


def test_bad_arguments_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--tiny", "--minutes", "0"])
    assert "--minutes must be a positive number" in capsys.readouterr().err
    assert gpu.main(["--tiny", "--base", "no such model"]) == 2
    assert "neither a folder nor a Hub id" in capsys.readouterr().out
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(BundleError, match="is a gpt2: it must be one of llava_next, qwen2_audio"):
        gpu_parts.modality_of_base(str(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_needs_a_gpu(capsys):
    assert gpu.main([]) == 2
    assert "--tiny" in capsys.readouterr().out


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_written_is_laid_out_like_the_published_model(modality, tmp_path):
    """A bundle that the page can load, whose hypotheses write different captions of the length asked for."""
    shape = gpu_models.TINY[modality]
    gpu_models.write_base(tmp_path / "base", shape, CPU)
    model = LANGUAGE_MODELS[modality].load(tmp_path / "base", dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in model.model.parameters()} == {torch.bfloat16}
    assert len(model.tokenizer) == 512 and all(model.tokenizer.decode([token]) for token in range(512))
    assert model.eos_token_ids == (0, 2) and shape.media_token in model.forbidden_token_ids
    assert gpu_parts.modality_of_base(str(tmp_path / "base")) == modality
    gpu_models.write_bundle(model.model, tmp_path / "base", tmp_path / "bundle", shape)
    captioner = Captioner.load(load_bundle(tmp_path / "bundle"), device="cpu", dtype=torch.bfloat16)
    (medium,) = gpu_models.media_of(shape, 1)
    *_, last = captioner.compare(medium)
    captions = [caption for column in last.columns for caption in column.captions]
    assert all(caption.tokens == shape.new_tokens and math.isfinite(caption.log_prob) for caption in captions)
    assert len({last.columns[k].captions[0].log_prob for k in range(3)}) == 3


def test_a_prompt_of_a_sound_is_as_long_as_published():
    processor = gpu_models.processor_of(gpu_models.TINY["audio"])
    (clip,) = gpu_models.media_of(gpu_models.TINY["audio"], 1)
    inputs = processor.feature_extractor(clip.samples, sampling_rate=clip.sampling_rate, return_tensors="np")
    assert inputs["input_features"].shape == (1, 128, 3000)


def test_the_published_sizes():
    with torch.device("meta"):
        sizes = {modality: shape.model().num_parameters() for modality, shape in gpu_models.PUBLISHED.items()}
    assert sizes["audio"] == 8_397_094_912
    # Vicuna-7B with 64 more tokens; CLIP ViT-L/14 of 336 pixels; two layers of projector, and the row separator.
    llama = 6_738_415_616 + 2 * 64 * 4_096
    projector = 1_024 * 4_096 + 4_096 + 4_096**2 + 4_096
    assert sizes["image"] == llama + 303_507_456 + projector + 4_096


def test_timing_by_hand():
    assert gpu_parts.timing(1.0, [1.5, 1.7, 1.8, 1.9]) == {
        "first_token_seconds": 0.5,
        "ms_per_token": 100.0,
        "total_seconds": 0.9,
    }


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_a_step_reads_by_hand(modality):
    model = gpu_models.TINY[modality].model()
    specs = [AdapterSpec(f"a{k}", 2, 4.0, exclude_modules=r".*(vision_tower|audio_tower).*") for k in range(4)]
    stack = AdapterStack.attach(model, specs)
    requests = [ColumnRequest(str(k), k % 2, Greedy()) for k in range(3)]
    reading = gpu_steps.BytesRead.of(model, stack, requests, length=10, new=6)
    biases = 0 if modality == "image" else 3 * 64
    layer = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64 + biases
    assert reading.weights == 4 * (2 * layer + 512 * 64)
    adapter = 2 * 2 * (4 * (64 + 64) + 3 * (64 + 128))
    # Two prompts of 10 positions, three rows that wrote 3 tokens on the average, 2 layers of 64 keys and values.
    assert reading.other == 4 * ((2 * 10 + 9) * 2 * 2 * 64 + 2 * adapter)


def test_the_bandwidth_is_positive():
    assert gpu_steps.bandwidth(CPU, megabytes=1) > 0
