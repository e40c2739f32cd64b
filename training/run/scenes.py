"""The embedded models' data as the trainer takes them: generated scenes, with the cached answers of their towers.

``data.kind: scenes`` in a configuration. Captions are drawn anew for every visit, so an epoch has no meaning, and
nothing is validated on here: ``training.embedded.image.evaluate`` and ``.audio.evaluate`` measure what was learned.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from lora_mcl.models import ImageLanguageModel
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.batch import PromptBatch
from training.data import DataError, DataOptions
from training.embedded.common.base import with_dropout

# What scenes are rendered with is imported where scenes are asked for: other data do without.


class SceneVisits(Dataset):
    """The visits of an embedded model (image or audio), with what the trainer asks of any training data.

    Attributes:
        broken: names of media that could not be read; none here.
    """

    broken: tuple[str, ...] = ()

    def __init__(self, visits: Dataset, model: MediaLanguageModel) -> None:
        self.visits, self._tokenizer = visits, model.tokenizer

    def __len__(self) -> int:
        return len(self.visits)

    def __getitem__(self, number: int) -> Any:
        return self.visits[number]

    def caption_ids(self, number: int) -> list[int]:
        """The tokens of a visit's caption, without the end."""
        return self._tokenizer(self.visits[number].caption, add_special_tokens=False)["input_ids"]


def scene_visits(options: DataOptions, model: MediaLanguageModel, length: int, block: int, seed: int) -> SceneVisits:
    """``length`` visits of the scenes whose features lie in the folder ``options.path``.

    Args:
        block: examples of one step over all processes.

    Raises:
        DataError: there are none, or ``mode_shares`` are not one per annotator.
    """
    if isinstance(model, ImageLanguageModel):
        from training.embedded.image.captions.grammar import MODES
        from training.embedded.image.stream import adapters_stream
    else:
        from training.embedded.audio.captions.grammar import MODES
        from training.embedded.audio.visits import adapters_stream
    if options.mode_shares and len(options.mode_shares) != len(MODES):
        raise DataError(f"mode_shares: give one for each of {', '.join(MODES)}; got {len(options.mode_shares)}")
    try:
        visits = adapters_stream(model, Path(options.path), length, block, seed, options.mode_shares or None)
    except FileNotFoundError as error:
        raise DataError(f"{options.path}: {error}") from error
    return SceneVisits(visits, model)


def scene_reading(model: MediaLanguageModel, prompt: str, feature_dropout: float) -> dict[str, Callable]:
    """``data_collator`` and ``encode_prompts`` of the Trainer."""
    if isinstance(model, ImageLanguageModel):
        from training.embedded.image import batches
    else:
        from training.embedded.audio import batches

    def encode_prompts(batch: dict[str, Any]) -> PromptBatch:
        return batches.encode_prompts(model.model, with_dropout(batch, feature_dropout, model.model.training))

    return {"data_collator": batches.VisitCollator(model, prompt), "encode_prompts": encode_prompts}
