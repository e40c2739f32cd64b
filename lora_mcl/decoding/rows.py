"""The model's side of a decode: the cache, position and adapter of every live row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from lora_mcl.decoding.prefill import AdapterRows, FixedRows, Prefill, Source
from lora_mcl.decoding.shared_prompt import SharedPrompts, can_share_prompts
from lora_mcl.decoding.trunk import decoder_of


class States(Protocol):
    """The keys and values of the live rows."""

    @property
    def cache(self) -> Cache:
        """What the model reads and extends."""

    def select(self, parents: Tensor, sources: Sequence[int]) -> None:
        """Row ``i`` becomes what row ``parents[i]`` was; its prompt is that of source ``sources[i]``."""

    def mask(self) -> Tensor | None:
        """The model's attention mask for the next position of every row."""

    def attention(self) -> AbstractContextManager[None]:
        """The block in which the model can read these states."""


class CopiedPrompts:
    """Every row holds its own copy of its prompt: for the models that cannot share prompts."""

    def __init__(self, prefill: Prefill) -> None:
        """Take over a prefill; the rows start as its sources."""
        self.cache = prefill.cache
        media = torch.tensor(prefill.media, device=prefill.mask.device)
        for layer in self.cache.layers[: prefill.trunk_depth]:
            layer.reorder_cache(media)
        self._mask = prefill.mask[media].long()

    def select(self, parents: Tensor, sources: Sequence[int]) -> None:
        """See States."""
        self.cache.reorder_cache(parents)
        self._mask = self._mask[parents]

    def mask(self) -> Tensor:
        """See States."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)
        return self._mask

    def attention(self) -> AbstractContextManager[None]:
        """See States."""
        return nullcontext()


class LiveRows:
    """Rows that decode together, one model forward at a time.

    Adapters and attention are set around each forward only: between two steps the model is free for other uses.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        stack: AdapterRows | None,
        prefill: Prefill,
        sources: Sequence[Source],
        *,
        share_prompts: bool,
    ) -> None:
        """Start with one row per source; where the model cannot share prompts, they are copied."""
        self._model = model
        self._stack = stack
        decoder = decoder_of(model)
        shared = share_prompts and can_share_prompts(decoder)
        self._states: States = SharedPrompts(decoder, prefill) if shared else CopiedPrompts(prefill)
        self._adapters = [source.adapter for source in sources]
        self._prompt_lengths = prefill.mask.sum(dim=1)[list(prefill.media)]
        self._written = 0
        self._routing: FixedRows | nullcontext = nullcontext()
        self._source_of: list[int] = []
        self._settle(list(range(len(sources))))

    @torch.no_grad()
    def step(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Let row ``i`` continue row ``parents[i]`` by ``tokens[i]``; returns the fp32 logits [rows, V]."""
        device = self._prompt_lengths.device
        if list(parents) != list(range(len(self._source_of))):
            sources = [self._source_of[parent] for parent in parents]
            self._states.select(torch.tensor(parents, dtype=torch.long, device=device), sources)
            if sources != self._source_of:
                self._settle(sources)
        input_ids = torch.tensor(tokens, dtype=torch.long, device=device)[:, None]
        with self._routing, self._states.attention():
            output = self._model(
                input_ids=input_ids,
                position_ids=self._start + self._written,
                attention_mask=self._states.mask(),
                past_key_values=self._states.cache,
                use_cache=True,
            )
        self._written += 1
        return output.logits[:, -1].float()

    def free(self) -> None:
        """Drop the cached keys and values, even if something still refers to these rows."""
        self._states.cache.reset()

    def _settle(self, sources: list[int]) -> None:
        """Note the source of every row, and what follows from it."""
        self._source_of = sources
        self._start = self._prompt_lengths[sources][:, None]
        if self._stack is not None:
            adapters = torch.tensor([self._adapters[source] for source in sources], device=self._start.device)
            self._routing = self._stack.fixed_rows(adapters)
