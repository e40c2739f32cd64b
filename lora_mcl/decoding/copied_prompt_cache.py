"""A KV cache in which every row has its own copy of its prompt: for models that cannot share prompts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from lora_mcl.decoding.prefill import Prefill, pad_states


class CopiedPromptCache:
    """Rows aligned at their right; see ``decode_state.KVCache``.

    A layer with a sliding window keeps the last ``window - 1`` columns. A row's positions are consecutive columns up
    to the last one, so the window slides over the same positions for every row, including the masked ones at its left.
    """

    def __init__(self, prefill: Prefill, prefixes: Sequence[int]) -> None:
        """Take over a prefill; there is one row per prefix at first."""
        _expand_shared_layers(prefill)
        self.cache = prefill.cache
        # [R, T] over the columns; 0 at the left of shorter rows.
        self._mask = prefill.mask[list(prefill.prompt_of)].long()
        self._lengths: list[int] = self._mask.sum(dim=1).tolist()  # [R] columns that each row uses

    @property
    def can_join(self) -> bool:
        """See KVCache: other kinds of layers (recurrent, chunked) may depend on absolute columns."""
        return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in self.cache.layers)

    def join(self, prefill: Prefill, prefixes: Sequence[int]) -> None:
        """See KVCache."""
        _expand_shared_layers(prefill)
        mask = prefill.mask[list(prefill.prompt_of)].long()  # [S, T of theirs]
        self._lengths += mask.sum(dim=1).tolist()
        total = max(self._mask.shape[1], mask.shape[1])
        for layer, new in zip(self.cache.layers, prefill.cache.layers, strict=True):
            length = max(layer.keys.shape[2], new.keys.shape[2])  # total, or what is left of it in a window
            # [R, heads, length, E] and [S, heads, length, E], zeros at the left of the shorter ones.
            layer.keys = torch.cat([pad_states(layer.keys, length), pad_states(new.keys, length)])
            layer.values = torch.cat([pad_states(layer.values, length), pad_states(new.values, length)])
            if isinstance(layer, DynamicSlidingWindowLayer):
                layer.cumulative_length = total
        prefill.cache.reset()
        self._mask = torch.cat([functional.pad(m, (total - m.shape[1], 0)) for m in (self._mask, mask)])

    def reorder(self, beam_idx: Sequence[int], device: torch.device) -> None:
        """See KVCache. Columns that are masked for all remaining rows are dropped."""
        index = torch.tensor(beam_idx, dtype=torch.long, device=device)
        self.cache.reorder_cache(index)  # keys and values [R, heads, T, E] of each layer, along the rows
        self._mask = self._mask[index]
        self._lengths = [self._lengths[row] for row in beam_idx]
        total = max(self._lengths)
        if total == self._mask.shape[1]:
            return
        self._mask = self._mask[:, -total:]
        for layer in self.cache.layers:
            length = total
            if isinstance(layer, DynamicSlidingWindowLayer):
                length = min(total, layer.sliding_window - 1)
                layer.cumulative_length = total
            layer.keys, layer.values = layer.keys[:, :, -length:], layer.values[:, :, -length:]

    def begin_step(self, prefix_of: Sequence[int]) -> Tensor:
        """See KVCache: one column more, which every row uses."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)
        self._lengths = [length + 1 for length in self._lengths]
        return self._mask

    def attention(self) -> AbstractContextManager[None]:
        """See KVCache."""
        return nullcontext()


def _expand_shared_layers(prefill: Prefill) -> None:
    """Shared layers have B rows: [B, heads, T, E] to [S, heads, T, E]. The others have S already."""
    prompt_of = torch.tensor(prefill.prompt_of, device=prefill.mask.device)
    for layer in prefill.cache.layers[: prefill.num_shared_layers]:
        layer.reorder_cache(prompt_of)
