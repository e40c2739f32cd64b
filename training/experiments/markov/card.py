"""Write the tables of ``docs/markov.md`` from the results files; no figure is typed by hand.

python -m training.experiments.markov.card
"""

from __future__ import annotations

import json
from typing import Any

from training.embedded.common.tables import filled, percent, table
from training.experiments.statistics import mean_and_std_text
from training.paths import ASSETS, ROOT

CARD = ROOT / "docs" / "markov.md"
RESULTS = ASSETS / "results" / "markov"
SETUPS = ("transition1", "transition1-paper", "transition2", "transition2-paper")
RANDOM = "random-4x3"


def load(name: str) -> dict[str, Any]:
    """A results file by the name of its folder, or ``gate``."""
    file = RESULTS / "gate.json" if name == "gate" else RESULTS / name / "result.json"
    return json.loads(file.read_text(encoding="utf-8"))


def setups() -> str:
    """The paper's set-ups by both recipes."""
    rows = []
    for name in SETUPS:
        result = load(name)
        known = result["theory"]
        for k, figures in result["summary"].items():
            one = k == "1"
            rows.append(
                [
                    result["setup"]["name"] if one else "",
                    result["recipe"]["name"] if one else "",
                    k,
                    mean_and_std_text(figures["loss"]),
                    f"{known['on_test_sequences']['one_model' if one else 'true_matrices']:.4f}",
                    "–" if one else percent(figures["accuracy"]["mean"]),
                    f"{figures['first_position']['error']:.3f}",
                    f"{figures['later_positions']['error']:.3f}",
                ]
            )
    heads = ["set-up", "recipe", "K", "loss", "reference", "winner = chain", "matrix error, first position", "later"]
    return table(heads, rows)


def limits() -> str:
    """The largest probability that the frozen output layer can give, by seed: the paper's recipe and the tuned one."""
    runs = [run for run in load("transition1-paper")["runs"] if run["hypotheses"] == 2]
    odds = [run["test"]["largest_odds"] for run in runs]
    shares = ", ".join(f"{value / (1 + value):.3f} (seed {run['seed']})" for value, run in zip(odds, runs, strict=True))
    tuned = [run["test"]["largest_odds"] for run in load("transition1")["runs"] if run["hypotheses"] == 2]
    least = min(value / (1 + value) for value in tuned)
    return (
        f"The largest probability it can give is {shares} with the paper's weights, and at least {least:.3f} with "
        "weights drawn twice as wide."
    )


def numbers() -> str:
    """Random chains, K from 1 to two more than there are."""
    result = load(RANDOM)
    rows = [
        [
            k,
            mean_and_std_text(figures["loss"]),
            f"{result['theory']['lower_bound'][k]:.4f}",
            f"{figures['every_chain_has_a_hypothesis']} of {figures['seeds']}",
            percent(figures["accuracy"]["mean"]),
            str(round(used(result, int(k)), 1)),
        ]
        for k, figures in result["summary"].items()
    ]
    return table(["K", "loss", "lower bound", "all chains found, seeds", "winner = chain", "hypotheses in use"], rows)


def used(result: dict[str, Any], k: int) -> float:
    """Mean over seeds of how many hypotheses win at least 1 % of all sequences."""
    counts = []
    for run in result["runs"]:
        if run["hypotheses"] == k:
            wins = run["test"]["wins"]
            counts.append(sum(sum(row[h] for row in wins) / len(wins) >= 0.01 for h in range(k)))
    return sum(counts) / len(counts)


def gate() -> str:
    """The caption gate's two features next to the objectives without a gate."""
    rows = [
        [
            mixture if first else "",
            variant,
            mean_and_std_text(figures["loss"]),
            f"{figures['loss_of_true_matrices']['mean']:.4f}",
            percent(figures["accuracy"]["mean"]),
            percent(figures.get("gate_accuracy", {}).get("mean")),
        ]
        for mixture, variants in load("gate")["results"].items()
        for first, (variant, figures) in zip([True] + [False] * len(variants), variants.items(), strict=False)
    ]
    return table(["mixture", "assignment", "loss", "true matrices", "winner = chain", "gate alone = chain"], rows)


def passages() -> dict[str, str]:
    return {"setups": setups(), "limits": limits(), "numbers": numbers(), "gate": gate()}


def main() -> None:
    CARD.write_text(filled(CARD.read_text(encoding="utf-8"), passages()), encoding="utf-8")
    print(CARD)


if __name__ == "__main__":
    main()
