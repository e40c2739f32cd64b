"""Where the training data are and how they are read: the ``data`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lora_mcl.errors import OptionsError
from lora_mcl.modality import Modality
from lora_mcl.option_checks import NonNegative, NonNegativeInt, Positive, Share, check_fields

Kind = Literal["folder", "table", "audiocaps", "clotho", "coco", "hub", "scenes"]
CaptionsPerEpoch = Literal["one", "all"]
Split = Literal["train", "validation"]

_AUDIO_KINDS, _IMAGE_KINDS = ("audiocaps", "clotho"), ("coco",)


@dataclass(frozen=True)
class DataOptions:
    """The source of the examples, and how they are read.

    Attributes:
        kind: how captions are stored.
            ``folder``: media files and text files of the same names, ``dog.jpg`` and ``dog.txt`` with one caption a
            line, or a ``captions`` or ``metadata`` table (``.csv``, ``.tsv``, ``.jsonl``) in the folder.
            ``table``: a CSV, TSV, JSONL, JSON or parquet file with a media file and captions in each row; also LLaVA's
            JSON.
            ``audiocaps``, ``clotho``: their CSV files and a folder of sounds.
            ``coco``: JSON in the form of COCO captions or of TextCaps, and a folder of images.
            ``hub``: a Hugging Face dataset with an image or audio column; needs the package ``datasets``.
            ``scenes``: generated scenes, the embedded models' own data; ``path`` is the folder of the features that
            ``training.embedded.features`` cached.
        path: the folder, the table, the CSV or JSON file, or the dataset (its id, or a folder that holds it).
        media: folder that file names are relative to; by default the one that holds the captions. Not for ``hub``.
        modality: ``image`` or ``audio``; by default what the kind or the files' endings say.
        media_column, caption_columns, mode_column: names in a table or dataset; by default the usual ones that are
            there (``file_name``, ``path``, ``image``, ``caption``, ``caption_1``, ``mode``, ...).
        subset, revision: of a ``hub`` dataset.
        split, validation_split: of a ``hub`` dataset, or subfolders (``train``, ``test``, ...) of a ``folder``.
        validation_path, validation_media: another folder, table, ... to validate on, of the same kind.
        validation_share: or the share of the media that is used for validation in place of training; always the same
            ones.
        limit: read at most so many media, the first ones; 0 for all.
        captions_per_epoch: ``one``: an epoch has each example once, with a random one of its captions; ``all``: once
            with each of its captions. Validation always takes all.
        max_missing: files that a table names and that are not there are left out up to this number.
        max_broken: media that cannot be decoded are skipped up to this number, which each process counts for itself.
        bucket_by_length: put examples of like length in a batch, so that there is little padding.
        workers: processes that decode; 0 to decode in the training process.
        feature_cache: folder where the frozen media tower's features are cached for the next epoch; empty for none.
        feature_cache_gib: it never grows beyond this, in GiB.
        feature_dropout: share of the tower's features that is zeroed in every training step, against memorising a few
            media. For adapters on the language model alone.
        mode_shares: of ``scenes``: how often each annotator captions; equally often by default.

    Raises:
        OptionsError: a field is out of range or contradicts another.
    """

    kind: Kind
    path: str
    media: str = ""
    modality: Modality | None = None
    media_column: str = ""
    caption_columns: tuple[str, ...] = ()
    mode_column: str = ""
    subset: str = ""
    split: str = "train"
    validation_split: str = ""
    revision: str = ""
    validation_path: str = ""
    validation_media: str = ""
    validation_share: Share = 0.0
    limit: NonNegativeInt = 0
    captions_per_epoch: CaptionsPerEpoch = "one"
    max_missing: NonNegativeInt = 0
    max_broken: NonNegativeInt = 10
    bucket_by_length: bool = True
    workers: NonNegativeInt = 2
    feature_cache: str = ""
    feature_cache_gib: Positive = 20.0
    feature_dropout: Share = 0.0
    mode_shares: tuple[NonNegative, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.caption_columns, str):
            raise OptionsError(f"caption_columns is a list of names: [{self.caption_columns}]")
        check_fields(self)
        if not self.path:
            raise OptionsError(f"path is empty: say where the {self.kind} data are")
        own: Modality | None = "audio" if self.kind in _AUDIO_KINDS else "image" if self.kind in _IMAGE_KINDS else None
        if own is not None and self.modality not in (None, own):
            raise OptionsError(f"{self.kind} data are of modality {own}, not {self.modality}")
        sources = [n for n in ("validation_path", "validation_split", "validation_share") if getattr(self, n)]
        if len(sources) > 1:
            raise OptionsError(f"give one of {' and '.join(sources)}, not {len(sources)}")
        if self.mode_shares and not sum(self.mode_shares):
            raise OptionsError(f"mode_shares must not be all 0; got {list(self.mode_shares)}")
        self._check_belonging()

    def _check_belonging(self) -> None:
        """Refuse options that the kind does not read: they would be ignored silently."""
        hub, columns, scenes = self.kind == "hub", self.kind in ("hub", "table", "folder"), self.kind == "scenes"
        misplaced = {
            "media": bool(self.media) and (hub or scenes),
            "validation_media": bool(self.validation_media) and (hub or not self.validation_path),
            "subset": bool(self.subset) and not hub,
            "validation_split": bool(self.validation_split) and not hub and self.kind != "folder",
            "split": self.split != "train" and not hub and self.kind != "folder",
            "revision": bool(self.revision) and not hub,
            "media_column": bool(self.media_column) and not columns,
            "caption_columns": bool(self.caption_columns) and not columns,
            "mode_column": bool(self.mode_column) and not columns,
            "mode_shares": bool(self.mode_shares) and not scenes,
            "validation_path": bool(self.validation_path) and scenes,
            "validation_share": bool(self.validation_share) and scenes,
            "captions_per_epoch": self.captions_per_epoch != "one" and scenes,
            "limit": bool(self.limit) and scenes,
            "feature_cache": bool(self.feature_cache) and scenes,
        }
        for name, wrong in misplaced.items():
            if wrong and name == "validation_media" and not hub:
                raise OptionsError("validation_media needs validation_path")
            if wrong:
                raise OptionsError(f"{name} has no meaning for kind {self.kind}")

    @property
    def validates(self) -> bool:
        """Whether there is anything to validate on."""
        return bool(self.validation_path or self.validation_split or self.validation_share)
