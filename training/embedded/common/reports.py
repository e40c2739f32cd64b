"""Correctness and diversity of captions over many media, for the results files.

A *score* is a frozen dataclass of fractions (or None where there is nothing to judge) with at least ``recall`` and
``precision`` of what a caption names; its other fields are judged on their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any, Protocol

from lora_mcl.metrics import diversity

NAMING = ("recall", "precision")


class Score(Protocol):
    recall: float
    precision: float


@dataclass(frozen=True)
class ScoredCaption:
    """A caption, the mode it was read to be in, and its score."""

    text: str
    mode: str | None
    score: Score

    @property
    def f1(self) -> float:
        total = self.score.recall + self.score.precision
        return 2 * self.score.recall * self.score.precision / total if total else 0.0


def hypothesis_report(captions: Sequence[ScoredCaption], mode: str) -> dict[str, float | None]:
    """One hypothesis over all media; ``in_mode`` is the share of its captions that have its mode's form."""
    report = {"in_mode": mean(caption.mode == mode for caption in captions)}
    for name in _fields(captions):
        report[name] = mean(_values(captions, name))
    return report


def set_report(sets: Sequence[Sequence[ScoredCaption]]) -> dict[str, dict[str, float | None]]:
    """Several captions a medium: the best of them (by F1 of what is named), their mean, and the worst.

    What else a score holds is judged on its own, by the best and the worst set member at each: a caption that names
    nothing may still name the place.
    """
    best = [max(captions, key=lambda caption: caption.f1) for captions in sets]
    worst = [min(captions, key=lambda caption: caption.f1) for captions in sets]
    report: dict[str, dict[str, float | None]] = {"best": {}, "mean": {}, "worst": {}}
    for name in _fields(best):
        values = [found for found in (_values(captions, name) for captions in sets) if found]
        report["mean"][name] = mean(value for found in values for value in found)
        if name in NAMING:
            report["best"][name], report["worst"][name] = mean(_values(best, name)), mean(_values(worst, name))
        else:
            report["best"][name] = mean(max(found) for found in values)
            report["worst"][name] = mean(min(found) for found in values)
    return report


def diversity_report(sets: Sequence[Sequence[str]]) -> dict[str, float | None]:
    """Mean over media of each medium's diversity."""
    found = [diversity(captions) for captions in sets]
    return {name: mean(getattr(one, name) for one in found) for name in ("distinct_1", "distinct_2", "mutual_bleu")}


def mean(values: Iterable[float]) -> float | None:
    """None where there is nothing to average: no caption named a thing rightly, so none could count it."""
    found = [float(value) for value in values]
    return round(fmean(found), 4) if found else None


def _fields(captions: Sequence[ScoredCaption]) -> list[str]:
    score: Any = captions[0].score
    return [field.name for field in fields(score)]


def _values(captions: Sequence[ScoredCaption], name: str) -> list[float]:
    return [value for caption in captions if (value := getattr(caption.score, name)) is not None]
