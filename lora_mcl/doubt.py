"""When to doubt a caption: a threshold on its log-probability that was measured on photographs with known content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_mcl.errors import BundleError
from lora_mcl.types import ColumnResult

PAGE_SIGNALS = ("least_log_prob", "mean_log_prob", "log_prob")
"""Signals that a hypothesis' greedy caption has in a comparison: fields of ``Caption``."""
# Below this AUC a signal is hardly better than chance (0.5).
_LEAST_AUC = 0.6


@dataclass(frozen=True)
class Doubt:
    """A threshold on one column's captions, and what it was worth on photographs that did not choose it.

    Attributes:
        column: id of the column.
        signal: a field of ``Caption``; lower is more doubtful.
        threshold: captions below it are doubted.
        auc: probability that a right caption's signal is above a wrong one's.
        sure, sure_right: captions at or above the threshold, and those of them that name the main thing.
        doubted, doubted_right: the same below it.
    """

    column: str
    signal: str
    threshold: float
    auc: float
    sure: int
    sure_right: int
    doubted: int
    doubted_right: int

    def doubts(self, result: ColumnResult) -> bool:
        """Whether a finished column's caption is to be doubted."""
        if result.id != self.column or len(result.captions) != 1:
            return False
        value = getattr(result.captions[0], self.signal)
        return value is not None and value < self.threshold


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
        return Doubt(column, found["signal"], found["threshold"], auc, **found["held_out"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{doubt} does not hold a measured threshold: {error!r}.") from error
