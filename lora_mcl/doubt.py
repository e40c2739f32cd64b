"""When to doubt a caption: a threshold on a signal of its comparison, measured on photographs with known content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from lora_mcl.errors import BundleError
from lora_mcl.languages import languages_of
from lora_mcl.types import Comparison
from lora_mcl.variety import overlap

AGREEMENT_OF_BEAMS = "agreement_of_beams"
"""How much the candidates of beam search agree: ``agreement`` of their texts."""
PAGE_SIGNALS = (AGREEMENT_OF_BEAMS, "least_log_prob", "mean_log_prob", "log_prob")
"""Signals that a comparison has: that one, and fields of a hypothesis' greedy ``Caption``."""
# Below this AUC a signal is hardly better than chance (0.5).
_LEAST_AUC = 0.6


@dataclass(frozen=True)
class Doubt:
    """A threshold for one column's captions, and what it was worth on photographs that did not choose it.

    Attributes:
        column: id of the column.
        signal: one of ``PAGE_SIGNALS``; lower is more doubtful.
        threshold: captions with a signal below it are doubted.
        auc: probability that a right caption's signal is above a wrong one's.
        sure, sure_right: captions at or above the threshold, and those of them that name the main thing.
        doubted, doubted_right: the same below it.
        beams: candidates of beam search whose agreement was measured: that of fewer or more is another figure.
    """

    column: str
    signal: str
    threshold: float
    auc: float
    sure: int
    sure_right: int
    doubted: int
    doubted_right: int
    beams: int | None = None

    def doubts(self, comparison: Comparison) -> bool:
        """Whether the column's caption in a complete comparison is to be doubted."""
        value = self._value(comparison)
        return value is not None and value < self.threshold

    def _value(self, comparison: Comparison) -> float | None:
        """The signal; None where the comparison lacks it."""
        wanted = "beam" if self.signal == AGREEMENT_OF_BEAMS else self.column
        captions = next((column.captions for column in comparison.columns if column.id == wanted), ())
        if self.signal == AGREEMENT_OF_BEAMS:
            return agreement([caption.text for caption in captions]) if len(captions) == self.beams else None
        return getattr(captions[0], self.signal) if len(captions) == 1 else None


def agreement(texts: Sequence[str]) -> float:
    """Mean share of content words that two captions of one language have in common; 0 without such a pair."""
    languages = languages_of(texts)
    shared = [
        overlap(texts[i], texts[j], languages[i])
        for i, j in combinations(range(len(texts)), 2)
        if languages[i] == languages[j]
    ]
    return fmean(shared) if shared else 0.0


def captions_key(photographs: Mapping[str, Any]) -> str:
    """What identifies the captions that a measurement was made of: the photographs' part of ``image.json``."""
    captions = [[entry["photograph"], entry["captions"]] for entry in photographs["entries"]]
    return hashlib.sha256(json.dumps(captions).encode()).hexdigest()[:16]


def load_doubt(doubt: Path, results: Path) -> Doubt | None:
    """The threshold in ``doubt.json``; ``None`` if there is none, if it was measured on other captions than those of
    ``results`` (``image.json``: the model was retrained since), or if it separates hardly better than chance.

    Raises:
        BundleError: a file does not hold what it should.
    """
    if not doubt.is_file():
        return None
    try:
        found = json.loads(doubt.read_text(encoding="utf-8"))
        photographs = json.loads(results.read_text(encoding="utf-8"))["photographs"]
        auc = found["auc"][found["signal"]]
        if found["signal"] not in PAGE_SIGNALS:
            raise ValueError(f"signal {found['signal']!r}")
        if found["captions"] != captions_key(photographs) or auc < _LEAST_AUC:
            return None
        column = f"hypothesis-{int(found['column'].rpartition('/')[2])}"
        beams = found["beams"] if found["signal"] == AGREEMENT_OF_BEAMS else None
        return Doubt(column, found["signal"], found["threshold"], auc, **found["held_out"], beams=beams)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{doubt} does not hold a measured threshold: {error!r}.") from error
