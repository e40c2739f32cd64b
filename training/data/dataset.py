"""The torch Dataset of captioned media, decoded in the Trainer's workers; broken files are skipped and counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.models.labels import ChatLabels
from training.data.cache import FeatureCache
from training.data.example import DataError, Example
from training.data.options import DataOptions
from training.data.preprocess import blank_inputs, estimate_positions, load_media_inputs, without_weights
from training.data.sampler import LengthGroupedSampler

logger = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4
"""Roughly; only to put captions of like length together."""


@dataclass(frozen=True)
class Sample:
    """An image or sound with one of its captions, ready for a collator.

    Attributes:
        tensors: the media tower's inputs (``training.data.preprocess.MediaInputs``), or its features from the cache.
        cached: whether they are features.
        key: where the features are to be cached; None without a cache.
        prompt: [P] the prompt's tokens, with a placeholder for each position of the media.
        caption: the caption's tokens and the end token; empty if the media could not be decoded: no targets.
    """

    tensors: dict[str, Tensor]
    cached: bool
    key: str | None
    prompt: Tensor
    caption: list[int]


class CaptionDataset(Dataset):
    """``length`` samples; the sample at an index is always the same, in every process.

    Media that cannot be decoded keep their index, so that batches and processes stay in step, but have no targets: the
    Trainer leaves them out of every mean and counts them as ``skipped``.

    Attributes:
        epoch_length: samples that make an epoch.

    Args:
        examples: media and their captions.
        model: whose processor reads the media; its tower is not run here.
        labels: tokens of the prompt and of captions.
        sampler: which example and caption has which index.
        length: number of samples.
        num_fillers: of them, at the end, without targets.
        max_broken: media that may turn out undecodable.
        cache: features of media that were seen before.

    Raises:
        OptionsError: a caption holds a special token.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        model: MediaLanguageModel,
        labels: ChatLabels,
        sampler: LengthGroupedSampler,
        length: int,
        *,
        num_fillers: int = 0,
        max_broken: int = 0,
        cache: FeatureCache | None = None,
    ) -> None:
        self.examples, self.labels, self.sampler, self.length = examples, labels, sampler, length
        self.epoch_length = sampler.epoch_length
        # Where workers are not forks of this process, the whole dataset is pickled for them.
        self._model = without_weights(model)
        self._cache, self._max_broken, self._num_fillers = cache, max_broken, num_fillers
        # [examples], shared with the workers: a broken file counts once, for all of them and in every epoch.
        self._broken = torch.zeros(len(examples), dtype=torch.uint8).share_memory_()
        try:
            for example in examples:
                for caption in example.captions:
                    labels.check_caption(caption)
        except OptionsError as error:
            raise DataError(str(error)) from None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        if index >= self.length - self._num_fillers:
            return self._without_targets()
        number, caption = self.sampler.example_and_caption(index)
        example = self.examples[number]
        try:
            tensors, positions, key, cached = self._read(example)
        except (MediaError, OSError) as error:
            self._skip(number, error)
            return self._without_targets()
        targets = self.labels.caption_ids(example.captions[caption])
        return Sample(tensors, cached, key, self.labels.prompt_ids(positions), targets)

    def caption_ids(self, index: int) -> list[int]:
        """The tokens of a sample's caption, without the end token; nothing is decoded for it."""
        number, caption = self.sampler.example_and_caption(index)
        return self.labels.caption_ids(self.examples[number].captions[caption])[:-1]

    @property
    def broken(self) -> list[str]:
        """Names of the media that could not be decoded so far."""
        return [self.examples[number].name for number in self._broken.nonzero().flatten().tolist()]

    def _without_targets(self) -> Sample:
        """A sample that adds nothing to the loss."""
        blank = blank_inputs(self._model)
        return Sample(blank.tensors, False, None, self.labels.prompt_ids(blank.positions), [])

    def _read(self, example: Example) -> tuple[dict[str, Tensor], int, str | None, bool]:
        key = None if self._cache is None else self._cache.key(example)
        if key is not None and (features := self._cache.get(key)) is not None:
            return features, int(features["positions"]), key, True
        inputs = load_media_inputs(self._model, example)
        return inputs.tensors, inputs.positions, key, False

    def _skip(self, number: int, error: Exception) -> None:
        if self._broken[number]:
            return
        self._broken[number] = 1
        count, name = int(self._broken.sum()), self.examples[number].name
        if count > self._max_broken:
            raise DataError(
                f"{count} media cannot be decoded, and max_broken is {self._max_broken}; the last is {name}: {error}"
            )
        logger.warning("%s is skipped (%d of at most %d): %s", name, count, self._max_broken, error)


def _chat_labels(model: MediaLanguageModel, prompt: str) -> ChatLabels:
    """Tokens of the prompt with any caption; raises DataError where the chat template lets no answer follow it."""
    try:
        return ChatLabels(model, prompt)
    except OptionsError as error:
        raise DataError(str(error)) from None


def train_dataset(
    examples: Sequence[Example],
    options: DataOptions,
    model: MediaLanguageModel,
    prompt: str,
    *,
    epochs: float | None = None,
    length: int | None = None,
    batch_size: int,
    seed: int,
    cache: FeatureCache | None = None,
) -> CaptionDataset:
    """The training set, already shuffled: to be read in order (``train_sampling_strategy="sequential"``).

    Args:
        epochs, length: how many epochs or how many samples: one of the two.
        batch_size: examples of one batch over all processes; of like length if the options say so.

    Raises:
        OptionsError: not one of ``epochs`` and ``length``, a caption holds a special token, or the chat template does
            not fit.
    """
    if (epochs is None) == (length is None):
        raise OptionsError("give either epochs or length")
    labels, lengths = _chat_labels(model, prompt), _lengths(examples, model, options.bucket_by_length)
    sampler = LengthGroupedSampler(
        lengths, options.captions_per_epoch, batch_size=batch_size, seed=seed, group_by_length=options.bucket_by_length
    )
    length = max(1, round(epochs * sampler.epoch_length)) if length is None else length
    return CaptionDataset(examples, model, labels, sampler, length, max_broken=options.max_broken, cache=cache)


def validation_dataset(
    examples: Sequence[Example],
    options: DataOptions,
    model: MediaLanguageModel,
    prompt: str,
    *,
    multiple_of: int = 1,
    cache: FeatureCache | None = None,
) -> CaptionDataset:
    """The validation set: every caption of every example once, as the paper's test loss is a mean over both.

    Args:
        multiple_of: samples without targets fill up to a multiple of this, the batch of all processes: otherwise a
            sampler that splits it evenly over processes would repeat examples.
    """
    labels, lengths = _chat_labels(model, prompt), _lengths(examples, model, options.bucket_by_length)
    sampler = LengthGroupedSampler(lengths, "all", batch_size=1, seed=None, group_by_length=options.bucket_by_length)
    num_fillers = -sampler.epoch_length % multiple_of
    length = sampler.epoch_length + num_fillers
    return CaptionDataset(
        examples, model, labels, sampler, length, num_fillers=num_fillers, max_broken=options.max_broken, cache=cache
    )


def _lengths(examples: Sequence[Example], model: MediaLanguageModel, measure: bool) -> list[list[int]]:
    positions = [estimate_positions(model, example) if measure else 0 for example in examples]
    return [
        [own + len(caption) // CHARACTERS_PER_TOKEN for caption in example.captions]
        for own, example in zip(positions, examples, strict=True)
    ]
