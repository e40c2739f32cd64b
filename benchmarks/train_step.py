"""The cost of one training step of K hypotheses: two baselines and our three ways, compared in one run.

    python -m benchmarks.train_step --out assets/results/train_step.json
    python -m benchmarks.train_step --device cuda --dtype bfloat16 --layers 32 --hidden 4096 --heads 32 --batch 1

A step is forward, backward and AdamW on the adapters of a frozen Llama of random weights; winner-takes-all decides.
For each K the ways take turns, round after round, so that a slow moment of the machine meets them all, and ratios are
taken within a round. Peak memory is measured in a process of its own for every way and K, in which nothing else was
allocated: by how much the peak of the resident set exceeds what it is just before the step, and the peak itself.

    sequential            K plain adapters, one forward each, all K graphs kept, logits at every position
    grouped-convolution   the batch repeated K times, adapters as convolutions of K groups, logits at every position
    all, every logit      ours, one forward of gathered adapters, gradient of all K, logits at every position
    all                   the same, logits where captions are
    all, one at a time    the same, one hypothesis after the other, each computed again for its backward pass
    sampled, winner       scores without gradient, then forward and backward of one hypothesis per example
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.measuring import peak_memory
from benchmarks.training_baselines import GroupedConvolutionLora, SequentialLora, replace_linears
from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS, AdapterSpec, AdapterStack
from lora_mcl.loss import mean_token_nll
from lora_mcl.objectives import ObjectiveOptions, weighted_loss, winner_takes_all
from lora_mcl.trainer import Batch, MultipleChoiceLearner, StepOptions
from lora_mcl.trainer.batch import IGNORE_INDEX

WAYS = (
    "sequential",
    "grouped-convolution",
    "all, every logit",
    "all",
    "all, one at a time",
    "sampled",
    "winner",
)
REFERENCE = "grouped-convolution"
Step = Callable[[], float]


@dataclass(frozen=True)
class Workload:
    """The model and the batch. Defaults: a small model, a picture's worth of prompt, a caption of 24 tokens."""

    layers: int = 8
    hidden: int = 512
    heads: int = 8
    vocab: int = 32_000
    tokens: int = 160
    caption: int = 24
    batch: int = 4
    rank: int = 8
    device: str = "cpu"
    dtype: str = "float32"

    def model(self) -> LlamaForCausalLM:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=int(self.hidden * 8 / 3) // 32 * 32,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=self.tokens,
        )
        with torch.device(self.device):
            model = LlamaForCausalLM(config)
        return model.to(getattr(torch, self.dtype)).train()

    def examples(self) -> Batch:
        generator = torch.Generator().manual_seed(1)
        ids = torch.randint(self.vocab, (self.batch, self.tokens), generator=generator)
        labels = ids.clone()
        labels[:, : self.tokens - self.caption] = IGNORE_INDEX
        return Batch({"input_ids": ids.to(self.device)}, labels.to(self.device))


def prepare(way: str, workload: Workload, hypotheses: int) -> Step:
    """Build a model for one way; the step that is returned trains it and gives the loss."""
    model, examples = workload.model(), workload.examples()
    scaling = 2.0
    if way in ("sequential", "grouped-convolution"):
        spec = AdapterSpec("any", workload.rank, scaling * workload.rank)
        kind = SequentialLora if way == "sequential" else GroupedConvolutionLora
        layers = replace_linears(
            model, list(spec.layers(model)), kind, count=hypotheses, rank=workload.rank, scaling=scaling
        )
        model.to(workload.device)
        loss = sequential_loss if way == "sequential" else grouped_loss
        return training_step(model, lambda: loss(model, layers, examples, hypotheses))
    specs = [
        AdapterSpec(f"hypothesis-{k}", workload.rank, scaling * workload.rank, target_modules=LANGUAGE_MODEL_LINEARS)
        for k in range(hypotheses)
    ]
    stack = AdapterStack.attach(model, specs)
    if way == "all, every logit":
        return training_step(model, lambda: every_logit_loss(stack, examples, hypotheses))
    options = StepOptions("all", hypotheses_per_forward=1) if way == "all, one at a time" else StepOptions(way)
    learner = MultipleChoiceLearner(model, stack, ObjectiveOptions("wta"), options=options)
    return training_step(model, lambda: learner(examples, 0, 1).loss)


def training_step(model: nn.Module, loss_of: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return float(loss.detach())  # on a GPU this waits until everything is done

    return step


def whole_nll(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """NLL per row from logits at every position, as the authors' code computes it."""
    return mean_token_nll(model(**inputs, use_cache=False).logits, labels).mean


def sequential_loss(model: nn.Module, layers: dict[str, SequentialLora], examples: Batch, hypotheses: int) -> Tensor:
    losses = []
    for k in range(hypotheses):
        for layer in layers.values():
            layer.active = k
        losses.append(whole_nll(model, dict(examples.inputs), examples.labels))
    nll = torch.stack(losses)
    return weighted_loss(nll, winner_takes_all(nll))


def grouped_loss(
    model: nn.Module, layers: dict[str, GroupedConvolutionLora], examples: Batch, hypotheses: int
) -> Tensor:
    inputs = {name: value.repeat_interleave(hypotheses, dim=0) for name, value in examples.inputs.items()}
    rows = whole_nll(model, inputs, examples.labels.repeat_interleave(hypotheses, dim=0))
    nll = rows.view(len(examples), hypotheses).T
    return weighted_loss(nll, winner_takes_all(nll))


def every_logit_loss(stack: AdapterStack, examples: Batch, hypotheses: int) -> Tensor:
    repeated = examples.repeat(hypotheses)
    with stack.rows(torch.arange(hypotheses).repeat_interleave(len(examples))):
        nll = whole_nll(stack.model, dict(repeated.inputs), repeated.labels).view(hypotheses, len(examples))
    return weighted_loss(nll, winner_takes_all(nll))


def time_ways(workload: Workload, hypotheses: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way's step, one per round, after a round to warm up."""
    steps = {way: prepare(way, workload, hypotheses) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in tqdm(range(rounds + 1), desc=f"K = {hypotheses}"):
        for way, step in steps.items():
            started = time.perf_counter()
            step()
            if number:
                times[way].append(1000 * (time.perf_counter() - started))
    return times


def measure_memory(way: str, workload: Workload, hypotheses: int) -> dict[str, float]:
    """MiB of one step in this process: above what was in use before it, and in all."""
    step = prepare(way, workload, hypotheses)
    above, peak = peak_memory(step, workload.device)
    return {"step_mib": above / 2**20, "peak_mib": peak / 2**20}


def memory_in_subprocess(way: str, workload: Workload, hypotheses: int, threads: int) -> dict[str, float]:
    options = [f"--{name}={value}" for name, value in asdict(workload).items()]
    command = [sys.executable, "-m", "benchmarks.train_step", *options, f"--threads={threads}"]
    done = subprocess.run(
        [*command, "--memory-of", way, "--hypotheses", str(hypotheses)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def summary(times: list[float], reference: list[float]) -> dict[str, Any]:
    """Median and spread of a way's times, and of how many times faster than the reference its rounds were."""
    faster = [theirs / own for own, theirs in zip(times, reference, strict=True)]
    return {
        "ms": round(statistics.median(times), 1),
        "ms_least_most": [round(min(times), 1), round(max(times), 1)],
        "times_faster": round(statistics.median(faster), 3),
        "times_faster_least_most": [round(min(faster), 3), round(max(faster), 3)],
    }


def benchmark(workload: Workload, counts: list[int], rounds: int, threads: int) -> dict[str, Any]:
    """The whole table."""
    cases: dict[str, Any] = {}
    for hypotheses in counts:
        times = time_ways(workload, hypotheses, rounds)
        cases[str(hypotheses)] = {way: summary(times[way], times[REFERENCE]) for way in WAYS}
    for hypotheses in counts:
        row = cases[str(hypotheses)]
        for way in tqdm(WAYS, desc=f"memory, K = {hypotheses}"):
            row[way] |= {
                name: round(value, 1)
                for name, value in memory_in_subprocess(way, workload, hypotheses, threads).items()
            }
        for way in WAYS:
            row[way]["memory_share"] = round(row[way]["step_mib"] / row[REFERENCE]["step_mib"], 3)
    return {
        "shape": asdict(workload),
        "reference": REFERENCE,
        "rounds": rounds,
        "threads": threads,
        "torch": torch.__version__,
        "hypotheses": cases,
    }


def table(results: dict[str, Any]) -> str:
    """The results as aligned text."""
    lines = [f"{'K':>2}  {'way':22}{'ms':>9}  {'times faster':>22}  {'step MiB':>9}  {'share':>6}"]
    for hypotheses, row in results["hypotheses"].items():
        for way, case in row.items():
            least, most = case["times_faster_least_most"]
            faster = f"{case['times_faster']:.2f} ({least:.2f} to {most:.2f})"
            lines.append(
                f"{hypotheses:>2}  {way:22}{case['ms']:9.0f}  {faster:>22}  {case['step_mib']:9.0f}"
                f"  {case['memory_share']:6.2f}"
            )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in fields(Workload):
        parser.add_argument(f"--{option.name}", type=type(option.default), default=option.default)
    parser.add_argument("--hypotheses", type=int, nargs="+", default=[1, 3, 5, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="also write the results there, as JSON")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    workload = Workload(**{option.name: getattr(args, option.name) for option in fields(Workload)})
    if args.memory_of:
        print(json.dumps(measure_memory(args.memory_of, workload, args.hypotheses[0])))
        return
    results = benchmark(workload, args.hypotheses, args.rounds, args.threads)
    print(table(results))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
