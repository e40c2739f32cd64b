"""The examples as the Trainer visits them: decoded in its workers, what cannot be decoded skipped and counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.models.base import MediaLanguageModel
from training.data.cache import FeatureCache
from training.data.example import DataError, Example
from training.data.labels import ChatLabels
from training.data.options import DataOptions
from training.data.plan import VisitPlan
from training.data.preprocess import about_how_long, blank, read_media, without_weights

logger = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4
"""Roughly; only to put captions of like length together."""


@dataclass(frozen=True)
class Visit:
    """One medium with one of its captions.

    Attributes:
        tensors: the tower's arguments (``training.data.preprocess.MediaInputs``), or its answer as the cache keeps it.
        cached: which of the two.
        key: where the answer is to be kept; None without a cache.
        prompt: [P] the prompt's tokens, with a placeholder for each position of the medium.
        caption: its tokens and the end; none if the medium could not be decoded: there is nothing to learn then.
    """

    tensors: dict[str, Tensor]
    cached: bool
    key: str | None
    prompt: Tensor
    caption: list[int]


class CaptionVisits(Dataset):
    """``length`` visits; visit number j is always the same, whoever asks for it.

    A medium that cannot be decoded keeps its place, so that batches and processes stay in step, but has no targets: the
    Trainer leaves it out of every mean and counts it as ``skipped``.

    Attributes:
        epoch_length: visits that make an epoch.

    Args:
        examples: what to visit.
        media: the model that reads them; its tower is not run here.
        labels: tokens of the prompt and of captions.
        plan: which visit is what.
        length: number of visits.
        fillers: of them, so many at the end have no targets.
        max_broken: media that may turn out undecodable.
        cache: the tower's answers, where they are known already.

    Raises:
        DataError: a caption holds a special token.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        media: MediaLanguageModel,
        labels: ChatLabels,
        plan: VisitPlan,
        length: int,
        *,
        fillers: int = 0,
        max_broken: int = 0,
        cache: FeatureCache | None = None,
    ) -> None:
        self.examples, self.labels, self.plan, self.length = examples, labels, plan, length
        self.epoch_length = plan.epoch_length
        # Where workers are not forks of this process, all that is here is sent to them.
        self._media = without_weights(media)
        self._cache, self._max_broken, self._fillers = cache, max_broken, fillers
        # Shared with the workers: a file that is broken counts once, whichever of them meets it, and in every epoch.
        self._broken = torch.zeros(len(examples), dtype=torch.uint8).share_memory_()
        for example in examples:
            for caption in example.captions:
                labels.check(caption)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Visit:
        if not 0 <= number < self.length:
            raise IndexError(number)
        if number >= self.length - self._fillers:
            return self._nothing()
        index, caption = self.plan.visit(number)
        example = self.examples[index]
        try:
            tensors, positions, key, cached = self._read(example)
        except (MediaError, OSError) as error:
            self._skip(index, error)
            return self._nothing()
        targets = self.labels.caption_ids(example.captions[caption])
        return Visit(tensors, cached, key, self.labels.prompt_ids(positions), targets)

    def words(self, number: int) -> list[int]:
        """The tokens of a visit's caption, without the end; nothing is decoded for it."""
        index, caption = self.plan.visit(number)
        return self.labels.caption_ids(self.examples[index].captions[caption])[:-1]

    @property
    def broken(self) -> list[str]:
        """Names of the media that could not be decoded so far."""
        return [self.examples[index].name for index in self._broken.nonzero().flatten().tolist()]

    def _nothing(self) -> Visit:
        """A visit that teaches nothing."""
        nothing = blank(self._media)
        return Visit(nothing.tensors, False, None, self.labels.prompt_ids(nothing.positions), [])

    def _read(self, example: Example) -> tuple[dict[str, Tensor], int, str | None, bool]:
        key = None if self._cache is None else self._cache.key(example)
        if key is not None and (answer := self._cache.get(key)) is not None:
            return answer, int(answer["positions"]), key, True
        inputs = read_media(self._media, example)
        return inputs.tensors, inputs.positions, key, False

    def _skip(self, index: int, error: Exception) -> None:
        if self._broken[index]:
            return
        self._broken[index] = 1
        count, name = int(self._broken.sum()), self.examples[index].name
        if count > self._max_broken:
            raise DataError(
                f"{count} media cannot be decoded, and max_broken is {self._max_broken}; the last is {name}: {error}"
            )
        logger.warning("%s is skipped (%d of at most %d): %s", name, count, self._max_broken, error)


def train_visits(
    examples: Sequence[Example],
    options: DataOptions,
    media: MediaLanguageModel,
    prompt: str,
    *,
    epochs: float | None = None,
    length: int | None = None,
    block: int,
    seed: int,
    cache: FeatureCache | None = None,
) -> CaptionVisits:
    """What to train on, in the dataset's own order (``train_sampling_strategy="sequential"``).

    Args:
        epochs, length: how many epochs or how many visits: one of the two.
        block: examples of one batch over all processes; their media are of like length if the options say so.

    Raises:
        DataError: a caption holds a special token, or the chat template does not fit.
        OptionsError: not one of ``epochs`` and ``length``.
    """
    if (epochs is None) == (length is None):
        raise OptionsError("give either epochs or length")
    labels, lengths = ChatLabels(media, prompt), _lengths(examples, media, options.bucket_by_length)
    plan = VisitPlan(lengths, options.captions_per_visit, block=block, seed=seed, bucket=options.bucket_by_length)
    length = max(1, round(epochs * plan.epoch_length)) if length is None else length
    return CaptionVisits(examples, media, labels, plan, length, max_broken=options.max_broken, cache=cache)


def validation_visits(
    examples: Sequence[Example],
    options: DataOptions,
    media: MediaLanguageModel,
    prompt: str,
    *,
    multiple: int = 1,
    cache: FeatureCache | None = None,
) -> CaptionVisits:
    """What to validate on: every caption of every medium once, as the paper's test loss is a mean over both.

    Args:
        multiple: visits without targets fill up to a multiple of this, the batch of all processes: so none has to
            visit an example that another has visited.
    """
    labels, lengths = ChatLabels(media, prompt), _lengths(examples, media, options.bucket_by_length)
    plan = VisitPlan(lengths, "all", block=1, seed=None, bucket=options.bucket_by_length)
    fillers = -plan.epoch_length % multiple
    length = plan.epoch_length + fillers
    return CaptionVisits(
        examples, media, labels, plan, length, fillers=fillers, max_broken=options.max_broken, cache=cache
    )


def _lengths(examples: Sequence[Example], media: MediaLanguageModel, measure: bool) -> list[list[int]]:
    positions = [about_how_long(media, example) if measure else 0 for example in examples]
    return [
        [own + len(caption) // CHARACTERS_PER_TOKEN for caption in example.captions]
        for own, example in zip(positions, examples, strict=True)
    ]
