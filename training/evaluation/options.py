"""Settings of an evaluation, and its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_mcl.errors import OptionsError
from lora_mcl.modality import Modality
from lora_mcl.option_checks import Count, NonNegativeInt, Positive, Seed, check_fields
from training.data import DataOptions

# Where docs/evaluation.md puts the published test sets; TextCaps' test captions are not public.
PUBLISHED = {
    "audiocaps": DataOptions("audiocaps", "data/audiocaps/test.csv", "data/audiocaps/test", max_missing=10_000),
    "clotho": DataOptions("clotho", "data/clotho/clotho_captions_evaluation.csv", "data/clotho/evaluation"),
    "textcaps": DataOptions("coco", "data/textcaps/TextCaps_0.1_val.json", "data/textcaps/train_images"),
}
_TABLES = {".csv", ".tsv", ".jsonl", ".json", ".parquet"}


@dataclass(frozen=True)
class EvaluationOptions:
    """Settings of an evaluation; results of other settings are not continued.

    Attributes:
        captions: captions each system gives a medium, K; 0 for as many as the bundle has hypotheses.
        beams: of each hypothesis, B; every other system searches with K * B beams.
        max_new_tokens: longest caption, in tokens.
        repetition_penalty: of all systems; the paper's is 1.1.
        no_repeat_ngram_size: of all systems; 0 is off, as in the paper.
        seed: of the samples and of the augmentations.
        limit: only the first so many media; 0 for all.
        batch: media decoded together.

    Raises:
        OptionsError: a value is out of range.
    """

    captions: NonNegativeInt = 0
    beams: Count = 1
    max_new_tokens: Count = 64
    repetition_penalty: Positive = 1.0
    no_repeat_ngram_size: NonNegativeInt = 0
    seed: Seed = 0
    limit: NonNegativeInt = 0
    batch: Count = 4

    def __post_init__(self) -> None:
        check_fields(self)


def data_options(data: str, media: str, modality: Modality, limit: int, hub_split: str) -> DataOptions:
    """The data that a name, folder, file or Hub dataset means.

    Args:
        data: ``audiocaps``, ``clotho`` or ``textcaps``; a folder of media with captions; a CSV, TSV, JSON, JSONL or
            parquet table (a CSV of Clotho's or AudioCaps' columns too); or a dataset of the Hub, ``owner/name``.
        media: folder of the media files, where it is not the one that holds the captions.
        hub_split: of a Hub dataset.

    Raises:
        OptionsError: it is none of these, or of another modality than the bundle.
    """
    if data in PUBLISHED:
        found = PUBLISHED[data]
        own: Modality = "image" if found.kind == "coco" else "audio"
        if own != modality:
            raise OptionsError(f"{data} holds {own} data, and the bundle is for {modality} data")
        return DataOptions(found.kind, found.path, media or found.media, max_missing=found.max_missing, limit=limit)
    path = Path(data).expanduser()
    if path.is_dir():
        return DataOptions("folder", data, media, modality, limit=limit)
    if path.is_file():
        if path.suffix.lower() not in _TABLES:
            raise OptionsError(f"{data} is no table of captions: give a {', '.join(sorted(_TABLES))} file or a folder")
        return DataOptions("table", data, media, modality, limit=limit)
    if data.count("/") == 1 and not path.suffix and not data.startswith((".", "/", "~")):
        return DataOptions("hub", data, modality=modality, split=hub_split, limit=limit)
    raise OptionsError(
        f"There are no data {data}: give {', '.join(PUBLISHED)}, a folder, a table, or a Hub dataset (owner/name)"
    )
