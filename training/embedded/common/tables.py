"""Markdown tables of a results file, and the passages of a card they replace: no figure is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

RUNS = {"caption-gate": "LoRA-MCL, caption gate", "relaxed": "LoRA-MCL, relaxed WTA (ε = 0.1)"}
BASELINES = {"beam": "LoRA-MLE, beam search (3)", "diverse-beam": "LoRA-MLE, diverse beam search (3 groups)"}
BLOCK = re.compile(r"(<!-- (\w+) -->\n)((?:.*?\n)?)(<!-- /\2 -->)", re.S)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def filled(text: str, passages: Mapping[str, str]) -> str:
    """``text`` with what stands between each ``<!-- name -->`` and ``<!-- /name -->`` replaced.

    A passage whose name is not among ``passages`` is another card's, and stays.
    """
    return BLOCK.sub(
        lambda match: match[1] + (passages[match[2]] + "\n" if match[2] in passages else match[3]) + match[4], text
    )


def quality(split: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """Best, mean and worst caption of each method; ``columns`` maps a score's field to its heading."""
    generation = split["generation"]
    rows = [
        [
            name if which == "best" else "",
            which,
            *(percent(generation[method][which][field]) for field in columns),
        ]
        for method, name in (RUNS | BASELINES).items()
        for which in ("best", "mean", "worst")
    ]
    return table(["method", "of its 3 captions", *columns.values()], rows)


def hypotheses(
    split: Mapping[str, Any],
    columns: Mapping[str, str],
    labels: Mapping[str, str],
    blank: Collection[tuple[str, str]] = (),
) -> str:
    """Each hypothesis of the caption gate: captions won, captions in its mode's form, scores.

    Args:
        columns: a score's field to its heading.
        labels: a mode to what its annotator is called.
        blank: (mode, field) of what an annotator never mentions.
    """
    likelihood, generation = split["likelihood"]["caption-gate"], split["generation"]["caption-gate"]
    main = likelihood["stability"]["main"]
    rows = []
    for m, mode in enumerate(split["modes"]):
        report = generation["hypotheses"][f"caption-gate/{main[m]}"]
        rows.append(
            [
                labels[mode],
                str(main[m]),
                percent(likelihood["stability"]["share"][m]),
                percent(report["in_mode"]),
                *(percent(None if (mode, field) in blank else report[field]) for field in columns),
            ]
        )
    header = ["annotator (mode)", "main hypothesis", "captions it wins", "generates in that mode", *columns.values()]
    return table(header, rows)


def stabilities(split: Mapping[str, Any]) -> str:
    rows = []
    for run, name in RUNS.items():
        found = split["likelihood"][run]["stability"]
        rows.append([name, " / ".join(percent(s) for s in found["share"]), "yes" if found["distinct"] else "no"])
    modes = " / ".join(split["modes"])
    return table(["assignment", f"captions won by the mode's main hypothesis: {modes}", "three different ones"], rows)


def likelihoods(split: Mapping[str, Any]) -> str:
    """K x modes NLL of both assignments and the LoRA-MLE baselines, nats per token."""
    likelihood, rows = split["likelihood"], []
    for run, name in RUNS.items():
        for k, values in enumerate(likelihood[run]["mode_matrix"]):
            rows.append([f"{name}, hypothesis {k}", *(f"{value:.3f}" for value in values), ""])
        blank = [""] * len(split["modes"])
        rows.append([f"{name}, **min over hypotheses**", *blank, f"**{likelihood[run]['oracle_nll']:.3f}**"])
    for run, name in (("mle", "LoRA-MLE, rank r"), ("mle-wide", "LoRA-MLE, rank 3r")):
        values = [f"{value:.3f}" for value in likelihood[run]["mode_nll"]]
        rows.append([name, *values, f"{likelihood[run]['nll']:.3f}"])
    return table(["adapter", *split["modes"], "mean"], rows)


def diversities(split: Mapping[str, Any]) -> str:
    rows = []
    for method, name in (RUNS | BASELINES).items():
        found = split["generation"][method]["diversity"]
        rows.append([name, *(f"{found[key]:.3f}" for key in ("distinct_1", "distinct_2", "mutual_bleu"))])
    return table(["method", "distinct-1 ↑", "distinct-2 ↑", "mutual BLEU ↓"], rows)


def training(results: Mapping[str, Any]) -> str:
    rows = [
        [
            run,
            str(summary["steps"]),
            str(summary["batch_size"]),
            f"{summary['learning_rate']:g}",
            f"{summary['seconds'] / 60:.0f} min",
        ]
        for run, summary in results["training"].items()
    ]
    return table(["run", "steps", "batch", "learning rate", "on 2 CPU cores"], rows)
