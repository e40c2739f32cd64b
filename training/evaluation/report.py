"""From the lines of all media to the results: quality, diversity, likelihood, specialisation, cost; and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lora_mcl.metrics import (
    Tokenized,
    Unavailable,
    distinct_n,
    mutual_bleu,
    quality,
    set_score,
    tokenize,
    vocabulary,
)
from lora_mcl.metrics.likelihood import likelihood
from training.evaluation.specialisation import specialisation

SHOWN = ("spider", "cider_d", "spice", "meteor", "rouge_l", "bleu_4")
_HEADINGS = {
    "spider": "SPIDEr",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "bleu_4": "BLEU-4",
}

Line = Mapping[str, Any]


def results_of(lines: Sequence[Line], hypotheses: int, systems: Mapping[str, int]) -> dict[str, Any]:
    """Measures of every system, and of the references' likelihood.

    Args:
        lines: one for each medium, as ``captions.jsonl`` holds them.
        hypotheses: K.
        systems: name and decoding rows a medium of each.
    """
    names = list(systems)
    rows = [[caption for name in names for caption in line["captions"][name]] for line in lines]
    # All systems at once: METEOR's program starts slowly.
    found = quality(rows, [line["references"] for line in lines])
    report: dict[str, Any] = {}
    start = 0
    for name in names:
        count = len(lines[0]["captions"][name])
        columns = slice(start, start + count)
        start += count
        costs = [line["cost"][name] for line in lines]
        report[name] = {
            "captions": count,
            "rows": systems[name],
            "quality": {
                metric: str(scores)
                if isinstance(scores, Unavailable)
                else _rounded(vars(set_score(scores[:, columns])))
                for metric, scores in found.scores.items()
            },
            "diversity": diversity_of([line["captions"][name] for line in lines]) if count > 1 else None,
            "forwards": round(sum(cost["forwards"] for cost in costs), 1),
            "seconds": round(sum(cost["seconds"] for cost in costs), 2),
            "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs), 2),
        }
    results = {
        "media": len(lines),
        "tokens": found.tokens,
        "systems": report,
        "likelihood": _likelihoods(lines, hypotheses),
    }
    if hypotheses > 1:
        results["specialisation"] = specialisation(lines, hypotheses)
    return results


def diversity_of(captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """mBLEU-4, Div-1, Div-2 and vocabulary of [B][K] captions, as the official evaluation has them."""
    tokens: Tokenized = tokenize(captions)
    split = [[caption.split() for caption in row] for row in tokens.captions]
    return {
        "mutual_bleu_4": round(mutual_bleu(split, always_4=True), 4),
        "distinct_1": round(distinct_n(split, 1), 4),
        "distinct_2": round(distinct_n(split, 2), 4),
        "vocabulary": vocabulary(split),
    }


def _likelihoods(lines: Sequence[Line], hypotheses: int) -> dict[str, Any]:
    # [A, all references]: hypotheses first, then the baseline if it is another adapter.
    nll = torch.cat([torch.tensor(line["nll"]) for line in lines], dim=1)
    tokens = torch.cat([torch.tensor(line["tokens"]) for line in lines])
    found = {"hypotheses": _rounded(likelihood(nll[:hypotheses], tokens).to_dict())}
    if len(nll) > hypotheses:
        found["baseline"] = _rounded(likelihood(nll[hypotheses:], tokens).to_dict())
    return found


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def tables_of(results: Mapping[str, Any]) -> str:
    """The results in Markdown, in the paper's form: the best of K (oracle), then the mean and the worst."""
    reasons: dict[str, str] = {}
    head = ["system", *(_HEADINGS[metric] for metric in SHOWN), "mBLEU-4 ↓", "Div-1 ↑", "Div-2 ↑", "words", "rows"]
    lines = ["Best of K captions, mean over media (the paper's oracle); in brackets the mean and the worst of K.", ""]
    lines += [_row(head), _row(["---"] * len(head))]
    for name, system in results["systems"].items():
        cells = [name]
        for metric in SHOWN:
            value = system["quality"][metric]
            if isinstance(value, str):
                reasons[_HEADINGS[metric]] = value
                cells.append("–")
            else:
                cells.append(f"{value['best']:.3f} ({value['mean']:.3f}, {value['worst']:.3f})")
        diversity = system["diversity"]
        cells += (
            [f"{diversity[key]:.3f}" for key in ("mutual_bleu_4", "distinct_1", "distinct_2")]
            + [str(diversity["vocabulary"])]
            if diversity
            else ["–"] * 4
        )
        lines.append(_row([*cells, str(system["rows"])]))
    lines += ["", *(f"- {name}: {reason}." for name, reason in reasons.items())]
    if results["tokens"] == "words":
        lines.append("- Scores are on plain words, not on Penn Treebank tokens, which need Java.")
    lines += ["", _row(["NLL, nats per token", "best", "mean", "mixture"]), _row(["---"] * 4)]
    for name, figures in results["likelihood"].items():
        lines.append(_row([name, *(f"{figures[key]:.3f}" for key in ("best", "mean", "mixture"))]))
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
