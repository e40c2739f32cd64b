"""The variants that are compared, one per way of training, their runs over seeds, and the results file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lora_mcl.gate import Balance
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import StepOptions
from training.experiments.statistics import mean_and_std
from training.run.options import GateStart

SAME, START, SHARES, SURPLUS, DROPOUT = (
    "does the sampled step learn as well",
    "where the gate starts",
    "unequal mode shares",
    "surplus hypotheses",
    "winners without dropout noise",
)
ALL, SAMPLED, WINNER = StepOptions("all"), StepOptions("sampled"), StepOptions("winner")
CLEAN = StepOptions("sampled", score_with_dropout=False)
UNEQUAL = (0.6, 0.3, 0.1)


@dataclass(frozen=True)
class Variant:
    """One way of training.

    Attributes:
        question: the question that the variant helps to answer; variants of the same question are compared.
        objective, hypotheses, step, dropout, balance, gate_start: of the training.
        shares: how often each mode occurs in the training data; equally often by default.
        seconds_of: (a, b): train like variant b, for as many seconds as variant a took instead of as many examples.
    """

    question: str
    objective: ObjectiveOptions
    hypotheses: int = 3
    step: StepOptions = ALL
    dropout: float = 0.0
    balance: Balance = "uniform"
    gate_start: GateStart = "random"
    shares: tuple[float, ...] | None = None
    seconds_of: tuple[str, str] | None = None


Run = dict[str, Any]
"""``seed``, ``steps``, ``seconds``, ``test`` (figures by name), ``curve`` (a list of points)."""


def run_variants(
    variants: Mapping[str, Variant],
    seeds: Iterable[int],
    steps: int,
    kept: Path,
    train: Callable[[str, Variant, int, int], Run],
) -> dict[str, list[Run]]:
    """Run every variant with every seed, or read what an earlier call left in ``kept``; seeds outermost.

    Variants that go by seconds take the number of steps from the runs of the same seed that they name.
    """
    runs: dict[str, list[Run]] = {name: [] for name in variants}
    kept.mkdir(parents=True, exist_ok=True)
    with tqdm([(seed, name) for seed in seeds for name in variants]) as todo:
        for seed, name in todo:
            todo.set_description(f"{name}, seed {seed}")
            own_steps = steps
            if variants[name].seconds_of is not None:
                whole, own = (next(run for run in runs[a] if run["seed"] == seed) for a in variants[name].seconds_of)
                own_steps = round(steps * whole["seconds"] / own["seconds"])
            # By their written form: a tuple is a list there.
            arguments = json.loads(json.dumps([asdict(variants[name]), seed, own_steps]))
            file = kept / f"{file_name(name, seed)}.json"
            earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            if earlier.get("arguments") != arguments:
                earlier = {"arguments": arguments, "run": train(name, variants[name], seed, own_steps)}
                file.write_text(json.dumps(earlier), encoding="utf-8")
            runs[name].append(earlier["run"])
    return runs


def file_name(variant: str, seed: int) -> str:
    """A file name for a run: the variant's name and the seed, without spaces and signs."""
    return f"{variant.replace(' = ', '').replace(', ', '-').replace(' ', '-')}-seed{seed}"


def report(
    variants: Mapping[str, Variant], runs: Mapping[str, list[Run]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The results file's content: settings, then each variant with its summary over seeds and its runs."""
    return {
        "settings": dict(settings),
        "arms": {
            name: {"options": _options(variant), "summary": summary(runs[name]), "runs": runs[name]}
            for name, variant in variants.items()
        },
    }


def _options(variant: Variant) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(variant)))


def summary(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over runs of seconds, steps and every figure that is a number."""
    figures = [{"seconds": run["seconds"], "steps": run["steps"], **run["test"]} for run in runs]
    numbers = [name for name, value in figures[0].items() if isinstance(value, int | float)]
    return {name: mean_and_std(run[name] for run in figures) for name in numbers}


def table(result: Mapping[str, Any], names: Iterable[str]) -> str:
    """Summaries as aligned text: one line per variant, one column per named figure, mean ± standard deviation."""
    names = list(names)
    lines = [f"{'variant':34}" + "".join(f"{name:>20}" for name in names)]
    question = None
    for variant, entry in result["arms"].items():
        if entry["options"]["question"] != question:
            question = entry["options"]["question"]
            lines.append(f"-- {question}")
        cells = [f"{entry['summary'][n]['mean']:.4g} ± {entry['summary'][n]['std']:.2g}" for n in names]
        lines.append(f"{variant:34}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def write(result: Mapping[str, Any], file: Path) -> None:
    """As JSON with one line for each variant's options, summary and run."""
    variants = []
    for name, entry in result["arms"].items():
        runs = ",\n    ".join(json.dumps(run, separators=(",", ":")) for run in entry["runs"])
        variants.append(
            f'  {json.dumps(name)}: {{"options": {json.dumps(entry["options"])},\n'
            f'   "summary": {json.dumps(entry["summary"])},\n   "runs": [\n    {runs}]}}'
        )
    text = f' "settings": {json.dumps(result["settings"])},\n "arms": {{\n' + ",\n".join(variants) + "}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + text + "\n}\n", encoding="utf-8")
