"""The model's side of a decode: KV cache, position and adapter of every live row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding.prefill import Prefill, Prefix
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.decoding.shared_prompt import SharedPromptCache, can_share_prompts


class KVCache(Protocol):
    """Keys and values of the live rows: SharedPromptCache, or CopiedPromptCache where a model cannot share."""

    @property
    def cache(self) -> Cache:
        """transformers' cache, which the model extends by one position per step."""

    def reorder(self, beam_idx: Tensor, prefixes: Sequence[int]) -> None:
        """Row ``i`` becomes the former row ``beam_idx[i]``; it continues prefix ``prefixes[i]``."""

    def mask(self) -> Tensor | None:
        """The model's attention mask [R, positions] for the next position of every row."""

    def attention(self) -> AbstractContextManager[None]:
        """The block in which the model's attention can use this cache."""


class CopiedPromptCache:
    """Every row has its own copy of its prompt: for models that cannot share prompts."""

    def __init__(self, prefill: Prefill) -> None:
        """Take over a prefill; there is one row per prefix at first."""
        self.cache = prefill.cache
        prompt_of = torch.tensor(prefill.prompt_of, device=prefill.mask.device)
        # Shared layers have B rows: [B, heads, T, E] -> [S, heads, T, E]. The others have S already.
        for layer in self.cache.layers[: prefill.num_shared_layers]:
            layer.reorder_cache(prompt_of)
        self._mask = prefill.mask[prompt_of].long()

    def reorder(self, beam_idx: Tensor, prefixes: Sequence[int]) -> None:
        """See KVCache."""
        self.cache.reorder_cache(beam_idx)
        self._mask = self._mask[beam_idx]

    def mask(self) -> Tensor:
        """See KVCache: False on the padding of the prompts, and one position more at each step."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)
        return self._mask

    def attention(self) -> AbstractContextManager[None]:
        """See KVCache."""
        return nullcontext()


class DecodeState:
    """Rows that decode together, one model forward per step.

    Adapters and attention are set around each forward only: between two steps the model is free for other uses.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        stack: AdapterStack | None,
        prefill: Prefill,
        prefixes: Sequence[Prefix],
        *,
        share_prompts: bool,
    ) -> None:
        """Start with one row per prefix; where the model cannot share prompts, they are copied."""
        self._model = model
        self._stack = stack
        decoder = decoder_of(model)
        shared = share_prompts and can_share_prompts(decoder)
        self._kv: KVCache = SharedPromptCache(decoder, prefill) if shared else CopiedPromptCache(prefill)
        self._adapters = [prefix.adapter for prefix in prefixes]
        self._prompt_lengths = prefill.mask.sum(dim=1)[list(prefill.prompt_of)]  # [S]
        self._written = 0  # tokens that every row has generated and the model has read
        self._set_prefixes(list(range(len(prefixes))))

    @torch.no_grad()
    def step(self, tokens: Sequence[int], beam_idx: Sequence[int]) -> Tensor:
        """Row ``i`` continues the former row ``beam_idx[i]`` by ``tokens[i]``; returns fp32 logits [R, V]."""
        device = self._prompt_lengths.device
        # Greedy columns alone never reorder: then nothing is copied.
        if list(beam_idx) != list(range(len(self._prefix_of))):
            prefix_of = [self._prefix_of[row] for row in beam_idx]
            self._kv.reorder(torch.tensor(beam_idx, dtype=torch.long, device=device), prefix_of)
            if prefix_of != self._prefix_of:
                self._set_prefixes(prefix_of)
        with self._routing, self._kv.attention():
            output = self._model(
                input_ids=torch.tensor(tokens, dtype=torch.long, device=device)[:, None],  # [R, 1]
                position_ids=self._prompt_lengths[self._prefix_of][:, None] + self._written,  # [R, 1]
                attention_mask=self._kv.mask(),
                past_key_values=self._kv.cache,
                use_cache=True,
            )
        self._written += 1
        return output.logits[:, -1].float()  # [R, 1, V] -> [R, V]

    def free(self) -> None:
        """Drop the cached keys and values, even if something still refers to this object."""
        self._kv.cache.reset()

    def _set_prefixes(self, prefix_of: list[int]) -> None:
        """Set the prefix of every row [R], and with it the adapter of every row."""
        self._prefix_of = prefix_of
        self._routing: AbstractContextManager[None] = nullcontext()
        if self._stack is not None:
            adapters = [self._adapters[prefix] for prefix in prefix_of]
            # Each layer gathers the rows' A and B once and keeps them until the rows change.
            self._routing = self._stack.fixed_rows(torch.tensor(adapters, device=self._prompt_lengths.device))
