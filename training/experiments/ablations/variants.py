"""What is compared: arms, one per way of training, their runs over seeds, and the results file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from tqdm import tqdm

from lora_mcl.gate import Balance
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import StepOptions
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
class Arm:
    """One way of training.

    Attributes:
        question: what the arm helps to answer; arms of the same question are compared.
        objective, hypotheses, step, dropout, balance, gate_start: of the training.
        shares: how often each mode occurs in the training data; equally often by default.
        seconds_of: (a, b): the arm trains like arm b, for as many seconds as arm a took instead of as many examples.
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


def run_arms(
    arms: Mapping[str, Arm],
    seeds: Iterable[int],
    steps: int,
    kept: Path,
    train: Callable[[str, Arm, int, int], Run],
) -> dict[str, list[Run]]:
    """Run every arm with every seed, or read what an earlier call left in ``kept``; seeds outermost.

    Arms that go by seconds take the number of steps from the runs of the same seed that they name.
    """
    runs: dict[str, list[Run]] = {name: [] for name in arms}
    kept.mkdir(parents=True, exist_ok=True)
    with tqdm([(seed, name) for seed in seeds for name in arms]) as todo:
        for seed, name in todo:
            todo.set_description(f"{name}, seed {seed}")
            own_steps = steps
            if arms[name].seconds_of is not None:
                whole, own = (next(run for run in runs[a] if run["seed"] == seed) for a in arms[name].seconds_of)
                own_steps = round(steps * whole["seconds"] / own["seconds"])
            # By their written form: a tuple is a list there.
            arguments = json.loads(json.dumps([asdict(arms[name]), seed, own_steps]))
            file = kept / f"{file_name(name, seed)}.json"
            earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            if earlier.get("arguments") != arguments:
                earlier = {"arguments": arguments, "run": train(name, arms[name], seed, own_steps)}
                file.write_text(json.dumps(earlier), encoding="utf-8")
            runs[name].append(earlier["run"])
    return runs


def file_name(arm: str, seed: int) -> str:
    """The arm's name and seed without spaces and signs."""
    return f"{arm.replace(' = ', '').replace(', ', '-').replace(' ', '-')}-seed{seed}"


def report(arms: Mapping[str, Arm], runs: Mapping[str, list[Run]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The results file's content: settings, then each arm with its summary over seeds and its runs."""
    return {
        "settings": dict(settings),
        "arms": {
            name: {"options": _options(arm), "summary": summary(runs[name]), "runs": runs[name]}
            for name, arm in arms.items()
        },
    }


def _options(arm: Arm) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(arm)))


def summary(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over runs of seconds, steps and every figure that is a number."""
    figures = [{"seconds": run["seconds"], "steps": run["steps"], **run["test"]} for run in runs]
    numbers = [name for name, value in figures[0].items() if isinstance(value, int | float)]
    return {
        name: {
            "mean": round(fmean(float(f[name]) for f in figures), 4),
            "std": round(pstdev(float(f[name]) for f in figures), 4),
        }
        for name in numbers
    }


def table(result: Mapping[str, Any], names: Iterable[str]) -> str:
    """Summaries as aligned text: one line per arm, one column per named figure, mean ± standard deviation."""
    names = list(names)
    lines = [f"{'arm':34}" + "".join(f"{name:>20}" for name in names)]
    question = None
    for arm, entry in result["arms"].items():
        if entry["options"]["question"] != question:
            question = entry["options"]["question"]
            lines.append(f"-- {question}")
        cells = [f"{entry['summary'][n]['mean']:.4g} ± {entry['summary'][n]['std']:.2g}" for n in names]
        lines.append(f"{arm:34}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def write(result: Mapping[str, Any], file: Path) -> None:
    """As JSON with one line for each arm's options, summary and run."""
    arms = []
    for name, entry in result["arms"].items():
        runs = ",\n    ".join(json.dumps(run, separators=(",", ":")) for run in entry["runs"])
        arms.append(
            f'  {json.dumps(name)}: {{"options": {json.dumps(entry["options"])},\n'
            f'   "summary": {json.dumps(entry["summary"])},\n   "runs": [\n    {runs}]}}'
        )
    text = f' "settings": {json.dumps(result["settings"])},\n "arms": {{\n' + ",\n".join(arms) + "}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + text + "\n}\n", encoding="utf-8")
