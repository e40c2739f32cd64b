"""Write the model's cards and the README's figures from the results file.

    python -m training.image.card

No figure is typed by hand: ``tests/test_cards.py`` fails where a card and the results disagree.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from training.image.bundle import BUNDLE_DIR, MODEL_DIR, pretty_mode
from training.image.evaluate import RESULTS
from training.image.lexicon import load_lexicon
from training.image.places import load_places

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
RUNS = {"caption-gate": "LoRA-MCL, caption gate", "relaxed": "LoRA-MCL, relaxed WTA (ε = 0.1)"}
BASELINES = {"beam": "LoRA-MLE, beam search (3)", "diverse-beam": "LoRA-MLE, diverse beam search (3 groups)"}
BLOCK = re.compile(r"(<!-- (\w+) -->\n)(?:.*?\n)?(<!-- /\2 -->)", re.S)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def quality(split: dict[str, Any]) -> str:
    """Best, mean and worst caption of each method."""
    generation = split["generation"]
    rows = [
        [
            name if which == "best" else "",
            which,
            *(percent(generation[method][which][key]) for key in ("recall", "precision", "place_right", "count_right")),
        ]
        for method, name in (RUNS | BASELINES).items()
        for which in ("best", "mean", "worst")
    ]
    return table(["method", "of its 3 captions", "objects: recall", "precision", "place right", "count right"], rows)


def columns(split: dict[str, Any]) -> str:
    """Each hypothesis of the caption gate: what it wins, how it speaks, how right it is."""
    likelihood, generation = split["likelihood"]["caption-gate"], split["generation"]["caption-gate"]
    main = likelihood["stability"]["main"]
    rows = []
    for m, mode in enumerate(split["modes"]):
        report = generation["hypotheses"][f"caption-gate/{main[m]}"]
        rows.append(
            [
                pretty_mode(mode),
                str(main[m]),
                percent(likelihood["stability"]["share"][m]),
                percent(report["in_mode"]),
                percent(report["recall"]),
                percent(report["precision"]),
                percent(report["place_right"]) if mode != "en-objects" else "–",
                percent(report["count_right"]),
            ]
        )
    return table(
        [
            "annotator (mode)",
            "main hypothesis",
            "captions it wins",
            "generates in that mode",
            "recall",
            "precision",
            "place right",
            "count right",
        ],
        rows,
    )


def stabilities(split: dict[str, Any]) -> str:
    rows = []
    for run, name in RUNS.items():
        found = split["likelihood"][run]["stability"]
        rows.append([name, " / ".join(percent(s) for s in found["share"]), "yes" if found["distinct"] else "no"])
    modes = " / ".join(split["modes"])
    return table(["assignment", f"captions won by the mode's main hypothesis: {modes}", "three different ones"], rows)


def likelihoods(split: dict[str, Any]) -> str:
    """K x modes NLL of both assignments and the LoRA-MLE baselines, nats per token."""
    likelihood, rows = split["likelihood"], []
    for run, name in RUNS.items():
        for k, values in enumerate(likelihood[run]["mode_matrix"]):
            rows.append([f"{name}, hypothesis {k}", *(f"{value:.3f}" for value in values), ""])
        rows.append([f"{name}, **min over hypotheses**", "", "", "", f"**{likelihood[run]['oracle_nll']:.3f}**"])
    for run, name in (("mle", "LoRA-MLE, rank r"), ("mle-wide", "LoRA-MLE, rank 3r")):
        values = [f"{value:.3f}" for value in likelihood[run]["mode_nll"]]
        rows.append([name, *values, f"{likelihood[run]['nll']:.3f}"])
    return table(["adapter", *split["modes"], "mean"], rows)


def diversities(split: dict[str, Any]) -> str:
    rows = []
    for method, name in (RUNS | BASELINES).items():
        found = split["generation"][method]["diversity"]
        rows.append([name, *(f"{found[key]:.3f}" for key in ("distinct_1", "distinct_2", "mutual_bleu"))])
    return table(["method", "distinct-1 ↑", "distinct-2 ↑", "mutual BLEU ↓"], rows)


def photographs(results: dict[str, Any], *, right: bool, limit: int) -> str:
    """Some photographs that went well, or badly, in file order, with what the hypotheses said."""
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    chosen = [e for e in results["photographs"]["entries"] if e["committed"] and (e["named"] == 1) == right]
    rows = [
        [
            f"`{entry['photograph']}`: {', '.join(entry['concepts']).replace('_', ' ')}",
            *(entry["captions"][f"caption-gate/{k}"][0] for k in main),
        ]
        for entry in chosen[:limit]
    ]
    return table(["photograph", *results["test"]["modes"]], rows)


def training(results: dict[str, Any]) -> str:
    rows = []
    for run, summary in results["training"].items():
        rows.append(
            [
                run,
                str(summary["steps"]),
                str(summary["batch_size"]),
                f"{summary['learning_rate']:g}",
                f"{summary['seconds'] / 60:.0f} min",
            ]
        )
    return table(["run", "steps", "batch", "learning rate", "on 2 CPU cores"], rows)


def blocks(results: dict[str, Any]) -> dict[str, str]:
    """Every generated passage, by the name its markers carry."""
    lexicon = load_lexicon().values()
    drawn = sum(concept.role == "sprite" for concept in lexicon)
    shots = results["photographs"]
    best = results["test"]["generation"]["caption-gate"]["best"]
    return {
        "counts": f"{drawn} things it was drawn or photographed for, {len(lexicon) - drawn} more it can only name "
        f"through its vision tower's ImageNet classes, {len(load_places())} places.",
        "headline": f"On {results['test']['captioned']:,} test scenes the best hypothesis names "
        f"{percent(best['recall'])} of the objects with {percent(best['precision'])} precision; some hypothesis has "
        f"the place right in {percent(best['place_right'])} and the counts in {percent(best['count_right'])}.",
        "quality": quality(results["test"]),
        "quality_seen": quality(results["seen"]),
        "columns": columns(results["test"]),
        "stability": stabilities(results["test"]),
        "likelihood": likelihoods(results["test"]),
        "diversity": diversities(results["test"]),
        "photographs": f"On {shots['photographs']} real photographs, some hypothesis names "
        f"{percent(shots['named'])} of the labelled things (LoRA-MLE with beam search: "
        f"{percent(shots['named_by_beam'])}), and the place in {percent(shots['place_named'])} of those whose place "
        "is clear.",
        "photographs_right": photographs(results, right=True, limit=8),
        "photographs_wrong": photographs(results, right=False, limit=8),
        "training": training(results),
    }


def filled(text: str, passages: dict[str, str]) -> str:
    """``text`` with what stands between each ``<!-- name -->`` and ``<!-- /name -->`` replaced."""
    return BLOCK.sub(lambda match: match[1] + passages[match[2]] + "\n" + match[3], text)


CARDS = (MODEL_DIR / "README.md", BUNDLE_DIR / "README.md", README)


def main() -> None:
    passages = blocks(json.loads(RESULTS.read_text(encoding="utf-8")))
    for card in CARDS:
        card.write_text(filled(card.read_text(encoding="utf-8"), passages), encoding="utf-8")
        print(f"wrote {card.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
