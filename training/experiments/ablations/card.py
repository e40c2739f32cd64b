"""Write the tables of ``docs/experiments.md`` from the results files; no figure is typed by hand.

python -m training.experiments.ablations.card
"""

from __future__ import annotations

import json

from training.embedded.common.tables import filled, percent, table
from training.experiments.ablations.variants import SAME
from training.experiments.statistics import mean_and_std_text
from training.paths import RESULTS, ROOT

DOCUMENT = ROOT / "docs" / "experiments.md"
COLUMNS = {
    "markov": {"loss": "loss", "accuracy": "winner = chain", "used": "hypotheses in use"},
    "image": {"loss": "loss, best of K", "main_nll": "NLL of the main one", "stability": "stability", "used": "in use"},
}
SHARES = ("accuracy", "stability")


def variants(data: str) -> str:
    """One row per variant, under the question that it helps to answer: mean ± deviation over seeds."""
    result = json.loads((RESULTS / f"method-{data}.json").read_text(encoding="utf-8"))
    rows, question = [], None
    for name, variant in result["arms"].items():
        asked = variant["options"]["question"]
        summary = variant["summary"]
        steps = f"{summary['steps']['mean']:.0f}"
        cells = [cell(key, summary[key]) for key in COLUMNS[data]]
        # Only these variants are compared by time.
        seconds = f"{summary['seconds']['mean']:.0f}" if asked == SAME else ""
        rows.append([asked if asked != question else "", name, steps, *cells, seconds])
        question = asked
    return table(["question", "variant", "steps", *COLUMNS[data].values(), "seconds"], rows)


def cell(key: str, value: dict[str, float]) -> str:
    """Mean ± standard deviation of one figure."""
    if key in SHARES:
        return f"{percent(value['mean'])} ± {100 * value['std']:.1f}"
    if key == "used":
        return f"{value['mean']:.1f}"
    return mean_and_std_text(value)


def step_costs() -> str:
    """Time and memory of a training step against the grouped convolution of the same K."""
    result = json.loads((RESULTS / "train_step.json").read_text(encoding="utf-8"))
    rows = []
    for hypotheses, cases in result["hypotheses"].items():
        for number, (way, case) in enumerate(cases.items()):
            least, most = case["times_faster_least_most"]
            rows.append(
                [
                    hypotheses if number == 0 else "",
                    way,
                    f"{case['ms']:.0f}",
                    f"{case['times_faster']:.2f} ({least:.2f} to {most:.2f})",
                    f"{case['step_mib']:.0f}",
                    f"{case['memory_share']:.2f}",
                ]
            )
    made = f"On {result['threads']} CPU thread(s), medians of {result['rounds']} rounds and least to most.\n\n"
    return made + table(["K", "way", "ms a step", "times faster", "MiB a step", "share of memory"], rows)


def passages() -> dict[str, str]:
    """Every generated passage, by the name its markers carry."""
    return {"markov": variants("markov"), "image": variants("image"), "step": step_costs()}


def main() -> None:
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), passages()), encoding="utf-8")
    print(DOCUMENT)


if __name__ == "__main__":
    main()
