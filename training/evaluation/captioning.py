"""Captions of every system and the likelihood of every reference, for a batch of media."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lora_mcl.adapters import BASE_ROW, AdapterStack
from lora_mcl.bundle import Bundle
from lora_mcl.decoding import Candidate, ColumnRequest, Engine, LogitsOptions
from lora_mcl.errors import BundleError, MediaError
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from lora_mcl.models.base import EncodedPrompt, MediaLanguageModel
from lora_mcl.models.labels import ChatLabels
from lora_mcl.score_head import prompt_states
from lora_mcl.trainer.batch import PromptBatch, pad_left, pad_right, shared_prompt_nll
from training.data import DataError
from training.data.example import Example
from training.data.preprocess import decode_audio, decode_image
from training.evaluation.augment import encode_variants
from training.evaluation.options import EvaluationOptions
from training.evaluation.systems import System, baseline_row_of, hypothesis_rows_of

Content = Image.Image | np.ndarray
MAX_BROKEN = 100
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Medium:
    """An image or sound with all its references, and the mode of each where the data name it."""

    example: Example
    references: tuple[str, ...]
    modes: tuple[str | None, ...]

    @property
    def name(self) -> str:
        return self.example.name


def group_by_media(examples: Sequence[Example]) -> list[Medium]:
    """One medium for all examples of one name: media described in several modes are several examples."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.name, []).append(example)
    return [
        Medium(
            of_one[0],
            tuple(caption for example in of_one for caption in example.captions),
            tuple(example.mode for example in of_one for _ in example.captions),
        )
        for of_one in groups.values()
    ]


@dataclass(frozen=True)
class Evaluator:
    """A loaded bundle, which captions and scores batches of media."""

    bundle: Bundle
    model: MediaLanguageModel
    stack: AdapterStack
    options: EvaluationOptions

    def read(self, medium: Medium) -> Content:
        """The medium as the model takes it.

        Raises:
            MediaError: it cannot be decoded.
        """
        if isinstance(self.model, ImageLanguageModel):
            return decode_image(medium.example)
        assert isinstance(self.model, AudioLanguageModel)
        return decode_audio(medium.example, self.model.sampling_rate, self.model.max_seconds)

    def batches(self, media: Sequence[Medium], progress: tqdm) -> Iterator[tuple[list[Medium], list[Content]]]:
        """The media with their contents, ``options.batch`` at a time; those that cannot be decoded are left out.

        ``progress`` goes on when the caller asks for the next ones.

        Raises:
            DataError: more than ``MAX_BROKEN`` media cannot be decoded.
        """
        broken = 0
        for start in range(0, len(media), self.options.batch):
            some = media[start : start + self.options.batch]
            batch, contents = [], []
            for medium in some:
                try:
                    contents.append(self.read(medium))
                    batch.append(medium)
                except (MediaError, OSError) as error:
                    broken += 1
                    if broken > MAX_BROKEN:
                        last = f"the last is {medium.name}: {error}"
                        raise DataError(f"{broken} media cannot be decoded; {last}") from None
                    logger.warning("%s is left out: %s", medium.name, error)
            if batch:
                yield batch, contents
            progress.update(len(some))

    @property
    def scored_rows(self) -> list[int]:
        """Adapters that references are scored under: the hypotheses, then the baseline where it is another one."""
        hypotheses = hypothesis_rows_of(self.bundle, self.stack)
        baseline = baseline_row_of(self.bundle, self.stack)
        return [*hypotheses, *([] if baseline in hypotheses else [baseline])]

    @torch.no_grad()
    def encode(self, contents: Sequence[Content], rows: Sequence[int]) -> list[EncodedPrompt]:
        """Each medium's prompt, [A, T, D] where the A adapters of ``rows`` change the tower, otherwise [1, T, D]."""
        if not self._adapts_media:
            return [self.model.encode(content, self.bundle.prompt) for content in contents]
        if not isinstance(self.model, AudioLanguageModel):
            raise BundleError(f"{self.bundle.name} has adapters on the vision tower, which is not supported for images")
        with self.stack.rows(list(rows)):
            return [self.model.encode(content, self.bundle.prompt, copies=len(rows)) for content in contents]

    @property
    def _adapts_media(self) -> bool:
        return any(name.startswith(self.model.media_modules) for name in self.stack.layers)

    @torch.no_grad()
    def states(self, contents: Sequence[Content]) -> Tensor:
        """The bare base's state of each medium's prompt, [B, D], on the CPU; see ``lora_mcl.score_head``."""
        with self._routed(BASE_ROW):
            encoded = [self.model.encode(content, self.bundle.prompt) for content in contents]
        return torch.cat([prompt_states(self.model.model, self.stack, one) for one in encoded]).cpu()

    def caption(self, contents: Sequence[Content], system: System) -> tuple[list[list[str]], dict[str, float]]:
        """K captions of each medium, and what they cost.

        The cost: ``seconds``, tower included; ``cpu_seconds`` of this process alone, which other work on the machine
        hardly changes; ``forwards`` of the model.
        """
        started, used = time.perf_counter(), time.process_time()
        found, forwards = self.decode(contents, system)
        # As in the app: a caption that was cut may end inside a character.
        captions = [[self.model.text(one.tokens).rstrip("\ufffd").strip() for one in of_one] for of_one in found]
        cost = {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - used,
            "forwards": forwards,
        }
        return captions, cost

    @torch.no_grad()
    def decode(self, contents: Sequence[Content], system: System) -> tuple[list[list[Candidate]], int]:
        """K candidates of each medium, and how many forwards of the model that took."""
        prompts: list[Tensor] = []  # [T, D] each
        placed: list[ColumnRequest] = []
        for number, content in enumerate(contents):
            for adapter, own in self._prompts(content, system):
                placed.append(ColumnRequest(f"{number}/{len(placed)}", adapter, system.strategy, prompt=len(prompts)))
                prompts.append(own)
        embeds, mask = pad_left(prompts)
        options, forwards = self.options, 0
        written: dict[str, tuple[Candidate, ...]] = {}
        engine = Engine(self.model.model, self.stack, self.model.eos_token_ids, self.model.pad_token_id)
        limits = LogitsOptions(
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            forbidden_token_ids=self.model.forbidden_token_ids,
        )
        with torch.inference_mode():
            for event in engine.decode(
                EncodedPrompt(embeds, mask.to(embeds.device)),
                placed,
                max_new_tokens=options.max_new_tokens,
                logits_options=limits,
            ):
                written |= event.columns
                forwards += 1
        found: list[list[Candidate]] = [[] for _ in contents]
        for column in placed:
            found[int(column.id.split("/")[0])] += written[column.id]
        return found, forwards

    def _prompts(self, content: Content, system: System) -> Iterator[tuple[int, Tensor]]:
        """(adapter, prompt [T, D]) of every sequence that the system decodes for a medium."""
        if system.variants > 1:
            for adapter in system.adapters:
                with self._routed(adapter):
                    variants = encode_variants(
                        self.model, content, self.bundle.prompt, system.variants, self.options.seed
                    )
                for one in variants:
                    yield adapter, one.inputs_embeds[0]
            return
        (encoded,) = self.encode([content], system.adapters)
        for position, adapter in enumerate(system.adapters):
            yield adapter, encoded.inputs_embeds[position if self._adapts_media else 0]

    @contextmanager
    def _routed(self, adapter: int) -> Iterator[None]:
        """One adapter for a tower that adapters change; its forwards have one row."""
        if not self._adapts_media:
            yield
            return
        with self.stack.rows([adapter]):
            yield

    @torch.no_grad()
    def score(self, contents: Sequence[Content], media: Sequence[Medium], labels: ChatLabels) -> list[dict[str, Any]]:
        """For each medium, ``nll`` [A][R] of its R references under ``scored_rows``, nats per token; ``tokens`` [R]."""
        rows = self.scored_rows
        encoded = self.encode(contents, rows)
        prompts: list[Tensor] = []  # [A * B], adapter-major: row a * B + b
        for position in range(len(rows)):
            prompts += [one.inputs_embeds[position if self._adapts_media else 0] for one in encoded]
        embeds, mask = pad_left(prompts)
        batch = PromptBatch(embeds, mask.to(embeds.device))
        targets = [[labels.caption_ids(reference) for reference in medium.references] for medium in media]
        most = max(len(of_medium) for of_medium in targets)
        # Media with fewer references have their first one again, which is not kept.
        padded = [
            pad_right([of_medium[number if number < len(of_medium) else 0] for of_medium in targets])
            .repeat(len(rows), 1)
            .to(embeds.device)
            for number in range(most)
        ]
        with self.stack.rows([row for row in rows for _ in media]):
            found = torch.stack(shared_prompt_nll(self.model.model, batch, padded))  # [R, A * B]
        nll = found.view(most, len(rows), len(media))
        return [
            {
                "nll": [[round(value, 5) for value in nll[: len(of_medium), a, b].tolist()] for a in range(len(rows))],
                "tokens": [len(ids) for ids in of_medium],
            }
            for b, of_medium in enumerate(targets)
        ]
