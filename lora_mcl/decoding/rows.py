"""The model's side of a decode: the cache, mask, position and adapter of every live row."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


class AdapterRows(Protocol):
    """What a decode needs of an AdapterStack."""

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters, in the order of their indices."""

    def rows(self, rows: Tensor) -> AbstractContextManager:
        """Set the adapter of every batch row, then restore what was set before."""


class LiveRows:
    """Rows that decode together, one model forward at a time.

    The adapters are set around each forward only: between two steps the model is free for other uses.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        stack: AdapterRows | None,
        attention_mask: Tensor,
        adapters: Sequence[int],
    ) -> None:
        """Start with one row per prompt: the mask [R, T] of the left-padded prompts, the adapter of each."""
        self._model = model
        self._stack = stack
        self._adapters = torch.tensor(adapters, dtype=torch.long, device=attention_mask.device)
        self._lengths = attention_mask.sum(dim=1)
        self._attention_mask = attention_mask.long()
        self._cache = DynamicCache(config=model.config)

    @torch.no_grad()
    def prefill(self, inputs_embeds: Tensor) -> Tensor:
        """Read the prompts [R, T, D]; returns the fp32 logits [R, V] of the first token."""
        positions = (self._attention_mask.cumsum(dim=1) - 1).clamp_min(0)
        # Prompts are long and vocabularies large: where the model can, only the last position gets logits.
        last_only = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        return self._forward(
            inputs_embeds=inputs_embeds,
            position_ids=positions,
            **({"logits_to_keep": 1} if last_only else {}),
        )

    @torch.no_grad()
    def step(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Let row ``i`` continue row ``parents[i]`` by ``tokens[i]``; returns the fp32 logits [rows, V]."""
        self._select(parents)
        mask = self._attention_mask
        self._attention_mask = torch.cat([mask, mask.new_ones(len(tokens), 1)], dim=1)
        input_ids = torch.tensor(tokens, dtype=torch.long, device=mask.device)[:, None]
        positions = self._lengths[:, None]
        self._lengths = self._lengths + 1
        return self._forward(input_ids=input_ids, position_ids=positions)

    def free(self) -> None:
        """Drop the cached keys and values, even if something still refers to these rows."""
        self._cache.reset()

    def _select(self, parents: Sequence[int]) -> None:
        if list(parents) == list(range(len(self._adapters))):
            return
        index = torch.tensor(parents, dtype=torch.long, device=self._adapters.device)
        self._cache.reorder_cache(index)
        self._adapters = self._adapters[index]
        self._lengths = self._lengths[index]
        self._attention_mask = self._attention_mask[index]

    def _forward(self, **inputs: Tensor | int) -> Tensor:
        adapters = nullcontext() if self._stack is None else self._stack.rows(self._adapters)
        with adapters:
            output = self._model(
                **inputs, attention_mask=self._attention_mask, past_key_values=self._cache, use_cache=True
            )
        return output.logits[:, -1].float()
