"""What ``bundle.json`` refers to: the base model, adapters, the score head."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from lora_mcl.errors import BundleError
from lora_mcl.hub_id import is_hub_id

BUNDLE_FILE = "bundle.json"
SCORE_HEAD_FILE = "score_head.safetensors"


@dataclass(frozen=True)
class BaseRef:
    """Reference to the frozen base model: a folder relative to the bundle, or a Hub id; exactly one of the two.

    Attributes:
        path: folder relative to the bundle, with forward slashes.
        id: Hub repository.
        revision: commit, tag or branch of ``id``.
    """

    path: str | None = None
    id: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.id is None):
            raise BundleError(f"{BUNDLE_FILE}: base: give either path or id.")
        if self.revision is not None and self.id is None:
            raise BundleError(f"{BUNDLE_FILE}: base.revision: only a Hub id has a revision.")

    @classmethod
    def of(cls, base: str | Path, folder: Path, revision: str | None = None) -> BaseRef:
        """Reference from a bundle in ``folder`` to ``base``: a folder if there is one, otherwise a Hub id.

        Raises:
            BundleError: it is neither.
        """
        if str(base) and Path(base).is_dir():
            if revision is not None:
                raise BundleError(f"The base model {base} is a folder; only a Hub id has a revision.")
            return cls(path=Path(os.path.relpath(base, folder)).as_posix())
        if isinstance(base, Path) or not is_hub_id(base):
            raise BundleError(f"The base model {str(base)!r} is neither a folder nor a Hub id (owner/name or name).")
        return cls(id=base, revision=revision)


@dataclass(frozen=True)
class AdapterRef:
    """One PEFT folder of the bundle, with the heading and the line that the page shows for it."""

    path: str
    label: str
    description: str = ""


@dataclass(frozen=True)
class ScoreHeadRef:
    """The score head's file (``lora_mcl.score_head``), and how well it predicted the winners of held-out captions.

    Attributes:
        path: of the file, relative to the bundle.
        captions: how many captions it was measured on.
        accuracy: the share of them whose winner it predicted.
        log_loss: of the winner's probability, in nats.
        frequency_log_loss: the same of each hypothesis' share of the wins, which knows nothing of the medium.
        ece: expected calibration error, ten intervals (Guo et al. 2017).

    Raises:
        BundleError: a figure is out of range.
    """

    path: str
    captions: int
    accuracy: float
    log_loss: float
    frequency_log_loss: float
    ece: float

    def __post_init__(self) -> None:
        if self.captions < 1:
            raise BundleError(f"{BUNDLE_FILE}: score_head.captions: must be positive, not {self.captions}.")
        for name, most in (("accuracy", 1.0), ("log_loss", math.inf), ("frequency_log_loss", math.inf), ("ece", 1.0)):
            value = getattr(self, name)
            if not (0 <= value <= most and math.isfinite(value)):
                raise BundleError(f"{BUNDLE_FILE}: score_head.{name}: {value} is out of range.")
