"""Specialisation of each hypothesis: the modes it wins and the words typical of its captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from statistics import fmean
from typing import Any

from lora_mcl.metrics import words
from training.evaluation.description import language_shares

WORDS = 8
PRIOR = 0.5
"""Pseudo-count of a word in the log-odds."""

Line = Mapping[str, Any]


def specialisation(lines: Sequence[Line], hypotheses: int) -> dict[str, Any]:
    """Report of the lines of an evaluation (``captions.jsonl``) whose system "hypotheses" gives one caption each.

    ``hypotheses``: of each, ``wins``, the share of references that it explains best; ``languages``, the share of its
    captions in each; ``words``, their mean length; ``typical``, the words with the highest log-odds against the other
    hypotheses' captions. ``modes``, where the data name them: see ``mode_report``.
    """
    captions = [[line["captions"]["hypotheses"][k] for line in lines] for k in range(hypotheses)]
    winners = [_winners(line["nll"][:hypotheses]) for line in lines]
    flat = [winner for of_medium in winners for winner in of_medium]
    report: dict[str, Any] = {
        "hypotheses": [
            {
                "wins": round(flat.count(k) / len(flat), 4),
                "languages": language_shares(captions[k]),
                "words": round(fmean(len(words(caption)) for caption in captions[k]), 2),
                "typical": typical,
            }
            for k, typical in enumerate(typical_words(captions))
        ]
    }
    pairs = [
        (mode, winner)
        for line, of_medium in zip(lines, winners, strict=True)
        for mode, winner in zip(line["modes"], of_medium, strict=True)
        if mode is not None
    ]
    report["modes"] = mode_report(pairs, hypotheses) if pairs else None
    return report


def _winners(nll: Sequence[Sequence[float]]) -> list[int]:
    """The hypothesis of least NLL for each reference, from [K][R]; the first one on ties."""
    return [min(range(len(nll)), key=lambda k: nll[k][r]) for r in range(len(nll[0]))]


def mode_report(pairs: Sequence[tuple[str, int]], hypotheses: int) -> dict[str, Any]:
    """Agreement of modes and winners, from (mode, winning hypothesis) of every reference.

    ``share``: of each mode's references, the share won by each hypothesis, a matrix [modes][K]. Conditional entropies
    in nats, with equal weight for every mode: ``winner_given_mode`` is 0 where every mode has one hypothesis,
    ``mode_given_winner`` where every hypothesis has one mode.
    """
    modes = sorted({mode for mode, _ in pairs})
    counts = Counter(pairs)
    share = []
    for mode in modes:
        total = sum(counts[mode, k] for k in range(hypotheses))
        share.append([counts[mode, k] / total for k in range(hypotheses)])
    joint = [value / len(modes) for row in share for value in row]
    of_winner = [sum(row[k] for row in share) / len(modes) for k in range(hypotheses)]
    return {
        "modes": modes,
        "share": [[round(value, 4) for value in row] for row in share],
        "winner_given_mode": round(_entropy(joint) - log(len(modes)), 4),
        "mode_given_winner": round(_entropy(joint) - _entropy(of_winner), 4),
    }


def _entropy(probabilities: Sequence[float]) -> float:
    return -sum(p * log(p) for p in probabilities if p > 0)


def typical_words(captions: Sequence[Sequence[str]], count: int = WORDS) -> list[list[str]]:
    """For each hypothesis the words with the highest z-score of their log-odds against all others' captions.

    Log-odds with a flat prior over the standard error (Monroe et al. 2008, "Fightin' Words", section 3.3); only those
    above 1.96 are kept.

    Args:
        captions: [K][N].
    """
    counts = [Counter(word for caption in own for word in words(caption)) for own in captions]
    everything = sum(counts, Counter())
    found = []
    for own in counts:
        others = everything - own
        scores = {word: _log_odds(word, own, others, len(everything)) for word in own}
        likely = sorted((word for word in scores if scores[word] > 1.96), key=lambda word: (-scores[word], word))
        found.append(likely[:count])
    return found


def _log_odds(word: str, own: Counter[str], others: Counter[str], vocabulary: int) -> float:
    """The z-score of one word's log-odds."""
    a, b = own[word] + PRIOR, others[word] + PRIOR
    total_a, total_b = own.total() + PRIOR * vocabulary, others.total() + PRIOR * vocabulary
    delta = log(a / (total_a - a)) - log(b / (total_b - b))
    return delta / (1 / a + 1 / b) ** 0.5
