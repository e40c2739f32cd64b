"""The cost of filling the page with K hypotheses, beam search and diverse beam search, three ways compared.

    python -m benchmarks.decode --save                        # and keep the results, in docs/decoding.md too
    python -m benchmarks.decode --save --models llama-100m --hypotheses 3
    python -m benchmarks.decode --models embedded --rounds 2

    sequential    PEFT: set_adapter, then transformers' generate, column after column
    mixed batch   PEFT: the hypotheses in one generate with adapter_names, the baselines as above
    lockstep      ours: everything in one decode

On the embedded image model, and on a Llama of about 100 M random weights that reads 600 tokens and writes 48; once more
with adapters on the upper half of its layers only, where ours reads the prompt once for the lower half. The ways take
turns, round after round, so that a slow moment of the machine meets them all, and ratios are taken within a round. That
all of them write the same captions is checked in every round. (transformers 5 has no diverse beam search: in the PEFT
ways ours stands in, alone.) Peak memory is measured in a process of its own for every way and K; ``above_model`` is
what is held at the peak beyond the loaded model and adapters.

With ``--save`` every model and K is kept as soon as it is measured, with what was kept before at the same settings: a
run can be cut short and gone on with, or made in parts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from benchmarks.decode_ways import EXAMPLE, Answer, EngineWay, LlamaShape, PeftWays, Subject, embedded_subject
from benchmarks.measuring import Stopwatch, median_and_range, peak_memory
from lora_mcl import Captioner
from lora_mcl.adapters import GroupedLoraLinear
from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.decoding import LogitsOptions
from lora_mcl.decoding.shared_layers import decoder_layers, decoder_of
from training.embedded.common.tables import filled
from training.paths import ASSETS, ROOT

RESULTS = ASSETS / "results" / "decode.json"
GUIDE = ROOT / "docs" / "decoding.md"
WAYS = ("sequential", "mixed batch", "lockstep")
# And the K that each is measured at, in this order: those that something is aimed at come first.
MODELS = {"embedded": (3, 1, 5, 8), "llama-100m-upper-half": (3,), "llama-100m": (3, 1, 8, 5)}
# What is aimed at on 2 CPU cores: seconds on the embedded page, and lockstep against sequential at K = 3.
FIRST_WORDS, DONE, TIMES_FASTER = 0.4, 2.0, 3.0


def subject_of(model: str, hypotheses: int, folder: Path, shape: LlamaShape) -> Subject:
    """One of MODELS with K hypotheses; ``folder`` takes the random adapters."""
    if model == "embedded":
        return embedded_subject(hypotheses)
    first = shape.num_hidden_layers // 2 if model == "llama-100m-upper-half" else 0
    return replace(shape, first_adapted_layer=first).subject(hypotheses, folder)


def ways_of(make: Callable[[], Subject], wanted: tuple[str, ...] = WAYS) -> dict[str, Callable[[], Answer]]:
    """The wanted ways, PEFT's on one copy of the model, ours on another."""
    ways: dict[str, Callable[[], Answer]] = {}
    if {"sequential", "mixed batch"} & set(wanted):
        peft = PeftWays(make())
        ways |= {"sequential": peft.sequential, "mixed batch": peft.mixed_batch}
    if "lockstep" in wanted:
        ways["lockstep"] = EngineWay(make()).lockstep
    return {way: ways[way] for way in wanted}


def compare(ways: dict[str, Callable[[], Answer]], rounds: int, warm_up: int = 1) -> dict[str, dict[str, Any]]:
    """Seconds and ratios of each way, over ``rounds`` rounds after ``warm_up`` that do not count.

    Raises:
        AssertionError: the ways do not write the same captions.
    """
    answers: dict[str, list[Answer]] = {way: [] for way in ways}
    for number in range(warm_up + rounds):
        this_round = {way: run() for way, run in ways.items()}
        written = [answer.columns for answer in this_round.values()]
        assert all(columns == written[0] for columns in written), "the ways do not write the same captions"
        if number >= warm_up:
            for way, answer in this_round.items():
                answers[way].append(answer)
    reference = answers[WAYS[0]]
    return {
        way: {
            "first_seconds": median_and_range([answer.first for answer in own]),
            "total_seconds": median_and_range([answer.total for answer in own]),
            "first_times_faster": median_and_range(
                [theirs.first / a.first for theirs, a in zip(reference, own, strict=True)]
            ),
            "total_times_faster": median_and_range(
                [theirs.total / a.total for theirs, a in zip(reference, own, strict=True)]
            ),
        }
        for way, own in answers.items()
    }


def breakdown(subject: Subject, warm_up: int = 1) -> dict[str, Any]:
    """Seconds of one lockstep decode by part, first in the prefill, then in all steps."""
    way = EngineWay(subject)
    for _ in range(warm_up):
        way.lockstep()
    parts = {}
    prompt, search = subject.encode(), "search and bookkeeping"
    logits_options = LogitsOptions(forbidden_token_ids=subject.forbidden_token_ids)
    events = way.engine.decode(
        prompt, way.requests, max_new_tokens=subject.max_new_tokens, logits_options=logits_options
    )
    layers = decoder_layers(decoder_of(subject.model))
    grouped = {id(layer.base) for layer in way.stack.layers.values()}

    def part_of(name: str, module: nn.Module) -> str | None:
        if id(module) in grouped:
            return "layers of the base"
        if isinstance(module, GroupedLoraLinear):
            return "adapters"
        if any(module is layer.self_attn for layer in layers):
            return "attention"
        if module is subject.model.get_output_embeddings():
            return "output layer"
        return "norms, activations, the rest" if module is subject.model else None

    for stage, count in (("prefill", 1), ("steps", subject.max_new_tokens)):
        watch, steps = Stopwatch(), 0
        with watch.watching(subject.model, part_of), watch.part(search):
            while steps < count and next(events, None) is not None:
                steps += 1
        total = sum(watch.seconds.values())
        shares = {part: round(seconds / total, 3) for part, seconds in sorted(watch.seconds.items())}
        parts[stage] = {"seconds": round(total, 4), "forwards": steps, "shares": shares}
    return parts


def page() -> dict[str, Any]:
    """Seconds until the embedded page shows its first words and until it is done, as a visitor waits for them."""
    captioner = Captioner.load(EMBEDDED_BUNDLE, device="cpu")
    first, total = [], []
    for number in range(6):
        started = time.perf_counter()
        snapshots = captioner.compare(EXAMPLE)
        next(snapshot for snapshot in snapshots if snapshot.columns[0].captions)
        shown = time.perf_counter() - started
        for _ in snapshots:
            pass
        if number:
            first.append(shown)
            total.append(time.perf_counter() - started)
    return {"first_seconds": median_and_range(first), "total_seconds": median_and_range(total)}


def memory_in_subprocess(args: argparse.Namespace, model: str, way: str, hypotheses: int) -> dict[str, float]:
    """Peak memory of one way, in MiB."""
    command = [sys.executable, "-m", "benchmarks.decode", "--memory-of", way, "--models", model]
    command += ["--hypotheses", str(hypotheses), "--threads", str(args.threads), *llama_arguments(args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def llama_arguments(args: argparse.Namespace) -> list[str]:
    """The command line's words for the Llama's shape."""
    return [f"--layers={args.layers}", f"--hidden={args.hidden}", f"--prompt={args.prompt}", f"--new={args.new}"]


def llama_shape(args: argparse.Namespace) -> LlamaShape:
    """The shape asked for; heads of 64 channels."""
    return replace(
        LlamaShape(),
        num_hidden_layers=args.layers,
        hidden_size=args.hidden,
        intermediate_size=args.hidden * 8 // 3 // 64 * 64,
        num_attention_heads=max(1, args.hidden // 64),
        prompt_tokens=args.prompt,
        max_new_tokens=args.new,
    )


def measure(args: argparse.Namespace, model: str, hypotheses: int) -> dict[str, Any]:
    """One model at one K: the three ways, and where the time of ours goes."""
    # A decode of a Llama takes tens of seconds; what is set up at the first call is nothing against that.
    warm_up = 1 if model == "embedded" else 0
    with tempfile.TemporaryDirectory() as folder:

        def make() -> Subject:
            return subject_of(model, hypotheses, Path(folder), llama_shape(args))

        ways = compare(ways_of(make), args.rounds, warm_up)
        for way in WAYS:
            ways[way] |= memory_in_subprocess(args, model, way, hypotheses)
        return {"ways": ways, "lockstep_time": breakdown(make(), warm_up)}


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What results must have in common to stand in one table."""
    return {
        "rounds": args.rounds,
        "threads": args.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "llama": {
            "layers": args.layers,
            "hidden_size": args.hidden,
            "prompt_tokens": args.prompt,
            "max_new_tokens": args.new,
        },
    }


def kept(path: Path | None, common: dict[str, Any]) -> dict[str, Any]:
    """Results to add to: those in the file, if there are some and they were measured at the same settings."""
    if path and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if {name: before.get(name) for name in common} == common:
            return before
    return {**common, "models": {}}


def benchmark(args: argparse.Namespace, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The whole table; ``save`` is shown it after every model and K."""
    results = kept(RESULTS if args.save else None, settings(args))
    results["page"] = page()
    for model in args.models:
        for hypotheses in tqdm(args.hypotheses or MODELS[model], desc=model):
            results["models"].setdefault(model, {})[str(hypotheses)] = measure(args, model, hypotheses)
            results["models"] = {
                name: dict(sorted(results["models"][name].items(), key=lambda case: int(case[0])))
                for name in MODELS
                if name in results["models"]
            }
            save(results)
    return results


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| model | K | way | all columns begin, s | all are done, s | times faster | peak above the model, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, by_count in results["models"].items():
        for hypotheses, case in by_count.items():
            for way, row in case["ways"].items():
                faster = row["total_times_faster"]
                lines.append(
                    f"| {model} | {hypotheses} | {way} | {row['first_seconds']['median']:.2f} "
                    f"| {row['total_seconds']['median']:.2f} "
                    f"| {faster['median']:.2f} ({faster['least']:.2f} to {faster['most']:.2f}) "
                    f"| {row['above_model_mib']:.0f} |"
                )
    return "\n".join(lines)


def targets(results: dict[str, Any]) -> str:
    """What is aimed at and what was found, as a Markdown table; and why, where more was aimed at."""
    page, missed = results["page"], []
    lines = ["| aim | found | reached |", "| --- | --- | --- |"]
    for what, bound, name in (("first words", FIRST_WORDS, "first_seconds"), ("done", DONE, "total_seconds")):
        found = page[name]["median"]
        answer = "yes" if found < bound else "no"
        lines.append(f"| embedded page, {what}: less than {bound:g} s | {found:.2f} s | {answer} |")
    for model, by_count in results["models"].items():
        if "3" in by_count:
            found = by_count["3"]["ways"]["lockstep"]["total_times_faster"]["median"]
            answer = "yes" if found >= TIMES_FASTER else "no"
            lines.append(f"| {model}, K = 3: {TIMES_FASTER:g} times faster than sequential | {found:.2f} | {answer} |")
            if found < TIMES_FASTER:
                missed.append(why(model, by_count["3"]["lockstep_time"]))
    return "\n".join([*lines, *(f"\n{reason}" for reason in missed)])


def why(model: str, stages: dict[str, Any]) -> str:
    """What keeps a model's lockstep decode at K = 3 from being faster, and what would be next: from its profile."""
    whole = sum(stage["seconds"] for stage in stages.values())
    name, stage = max(stages.items(), key=lambda item: item[1]["seconds"])
    part, share = max(stage["shares"].items(), key=itemgetter(1))
    if name == "prefill":
        what = "reading the prompt, once for each adapter, takes"
        then = "adapters on fewer layers, so that more of it is read once for all, and cheaper arithmetic"
    elif part in ("layers of the base", "output layer"):
        what, then = "the steps take", "weights of fewer bytes (`--dtype bfloat16`, where the machine has it)"
    else:
        what, then = "the steps take", "fewer and larger operations: a compiled step"
    return (
        f"What limits {model} at K = 3: {what} {stage['seconds'] / whole:.0%} of the lockstep decode, {share:.0%} of "
        f"that in the {part}. Next would be {then}."
    )


def passage(results: dict[str, Any]) -> str:
    """The results as a passage of the guide."""
    page = results["page"]
    threads = "1 CPU thread" if results["threads"] == 1 else f"{results['threads']} CPU threads"
    lines = [
        f"On {threads}, in {results['rounds']} rounds; the Llamas read "
        f"{results['llama']['prompt_tokens']} tokens and write {results['llama']['max_new_tokens']}. The embedded page "
        f"shows its first words after {page['first_seconds']['median']:.2f} s and is done after "
        f"{page['total_seconds']['median']:.2f} s.",
        "",
        targets(results),
        "",
        table(results),
        "",
        "Where the time of the lockstep decode goes:",
        "",
        "| model | K | stage | seconds | of it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for model, by_count in results["models"].items():
        for hypotheses, case in by_count.items():
            for stage, found in case["lockstep_time"].items():
                largest = sorted(found["shares"].items(), key=itemgetter(1), reverse=True)
                shares = ", ".join(f"{part} {share:.0%}" for part, share in largest if share >= 0.05)
                lines.append(f"| {model} | {hypotheses} | {stage} | {found['seconds']:.2f} | {shares} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark, or measure the memory of one way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--hypotheses", type=int, nargs="+", metavar="K", help="by default 1, 3, 5 and 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--layers", type=int, default=12, help="of the Llama")
    parser.add_argument("--hidden", type=int, default=768, help="channels of the Llama")
    parser.add_argument("--prompt", type=int, default=600, help="tokens the Llama reads")
    parser.add_argument("--new", type=int, default=48, help="tokens the Llama writes")
    parser.add_argument("--save", action="store_true", help="keep the results in the repository and its guide")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    transformers_logging.disable_progress_bar()
    if args.memory_of:
        with tempfile.TemporaryDirectory() as folder:
            shape, hypotheses = llama_shape(args), args.hypotheses[0]
            ways = ways_of(lambda: subject_of(args.models[0], hypotheses, Path(folder), shape), (args.memory_of,))
            above_model, process = peak_memory(ways[args.memory_of])
            megabytes = {"above_model_mib": above_model / 2**20, "process_mib": process / 2**20}
            print(json.dumps({name: round(value, 1) for name, value in megabytes.items()}))
        return

    def save(results: dict[str, Any]) -> None:
        if args.save:
            RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            GUIDE.write_text(filled(GUIDE.read_text(encoding="utf-8"), {"decode": passage(results)}), encoding="utf-8")

    print(table(benchmark(args, save)))


if __name__ == "__main__":
    main()
