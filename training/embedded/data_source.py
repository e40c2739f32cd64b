"""Rendered scenes as training data (``data.kind: scenes`` in a configuration), with their cached tower features.

Captions are drawn for every sample, so an epoch has no meaning, and nothing is validated on here:
``training.embedded.evaluate`` measures what was learned.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.batch import PromptBatch
from training.data import DataError, DataOptions
from training.embedded.common.collator import SampleCollator, encode_prompts, with_dropout
from training.embedded.common.domain import load_domain


class SceneSamples(Dataset):
    """The samples of an embedded model, with the interface that the trainer expects of training data.

    Attributes:
        broken: names of inputs that could not be decoded; none here.
        epoch_length: 0, as there are no epochs.
    """

    broken: tuple[str, ...] = ()
    epoch_length = 0

    def __init__(self, samples: Dataset, model: MediaLanguageModel) -> None:
        self.samples, self._tokenizer = samples, model.tokenizer

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        return self.samples[number]

    def caption_ids(self, number: int) -> list[int]:
        """The tokens of a sample's caption, without the end."""
        return self._tokenizer(self.samples[number].caption, add_special_tokens=False)["input_ids"]


class SceneSource:
    """Training data made of rendered scenes, for one model: what ``training.train`` takes in place of files."""

    def __init__(self, model: MediaLanguageModel) -> None:
        self.model, self.domain = model, load_domain(model.modality)

    def samples(self, options: DataOptions, length: int, block: int, seed: int) -> SceneSamples:
        """``length`` samples of the scenes whose features are in the folder ``options.path``.

        Args:
            block: examples of one step over all processes.

        Raises:
            DataError: there are none, or ``mode_shares`` are not one per annotator.
        """
        modes, shares = self.domain.annotators.modes, options.mode_shares
        if shares and len(shares) != len(modes):
            raise DataError(f"mode_shares: give one for each of {', '.join(modes)}; got {len(shares)}")
        try:
            samples = self.domain.training.open_dataset(
                self.model, Path(options.path), "adapters", length, block, seed, shares or None
            )
        except (FileNotFoundError, ValueError) as error:
            raise DataError(f"{options.path}: {error}") from error
        return SceneSamples(samples, self.model)

    def trainer_arguments(self, prompt: str, feature_dropout: float) -> dict[str, Callable]:
        """``data_collator`` and ``encode_prompts`` of the Trainer."""
        language_model = self.model.model

        def encode(batch: dict[str, Any]) -> PromptBatch:
            hidden = with_dropout(batch, feature_dropout, language_model.training)
            return encode_prompts(self.domain, language_model, hidden)

        return {"data_collator": SampleCollator(self.model, prompt), "encode_prompts": encode}
