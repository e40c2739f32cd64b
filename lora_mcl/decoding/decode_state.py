"""The model's side of a decode: KV cache, position and adapter of every live row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.adapters.linear import FixedRouting
from lora_mcl.decoding.copied_prompt_cache import CopiedPromptCache
from lora_mcl.decoding.prefill import Prefill
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.decoding.shared_prompt_cache import SharedPromptCache, can_share_prompts


class KVCache(Protocol):
    """Keys and values of the live rows: SharedPromptCache, or CopiedPromptCache where a model cannot share.

    Rows of requests that joined at different times have different lengths. They are aligned at their right: the
    next position of every row is the next column of the cache, and shorter rows have masked columns at their left.
    """

    @property
    def cache(self) -> Cache:
        """transformers' cache, which the model extends by one position per step."""

    @property
    def can_join(self) -> bool:
        """Whether rows of another prefill can be added."""

    def join(self, prefill: Prefill, prefixes: Sequence[int]) -> None:
        """Add a row for each prefix of another prefill, after the live rows; ``prefixes`` are their ids."""

    def reorder(self, beam_idx: Sequence[int], device: torch.device) -> None:
        """Row ``i`` becomes the former row ``beam_idx[i]``."""

    def begin_step(self, prefix_of: Sequence[int]) -> Tensor | None:
        """Prepare for one more position of every row, whose prefix ids are given; returns the attention mask."""

    def attention(self) -> AbstractContextManager[None]:
        """The block in which the model's attention can use this cache."""


class DecodeState:
    """Rows that decode together, one model forward per step.

    Adapters and attention are set around each forward only: between two steps the model is free for other uses.
    """

    def __init__(
        self, model: PreTrainedModel, stack: AdapterStack | None, prefill: Prefill, *, share_prompts: bool
    ) -> None:
        """Start with one row per prefix; where the model cannot share prompts, they are copied."""
        self._model = model
        self._stack = stack
        self._routing: FixedRouting | None = None
        self._routed: list[int] | None = None
        decoder = decoder_of(model)
        self._prefix_of: list[int] = []  # [R] id of each row's prefix
        self._adapter_of: list[int] = []  # [R]
        self._positions = prefill.mask.new_zeros(0, dtype=torch.long)  # [R] position of each row's next token
        self._next_prefix = 0
        prefixes = self._add_rows(prefill)
        shared = share_prompts and can_share_prompts(decoder)
        self._kv: KVCache = (
            SharedPromptCache(decoder, prefill, prefixes) if shared else CopiedPromptCache(prefill, prefixes)
        )

    @property
    def can_join(self) -> bool:
        """Whether rows of another prefill can be added."""
        return self._kv.can_join

    def join(self, prefill: Prefill) -> None:
        """Add one row per prefix of another prefill, after the live rows."""
        self._kv.join(prefill, self._add_rows(prefill))

    @torch.no_grad()
    def step(self, tokens: Sequence[int], beam_idx: Sequence[int]) -> Tensor:
        """Row ``i`` continues the former row ``beam_idx[i]`` by ``tokens[i]``; returns fp32 logits [R, V]."""
        device = self._positions.device
        # Greedy columns alone never reorder: then nothing is copied.
        if list(beam_idx) != list(range(len(self._prefix_of))):
            self._kv.reorder(beam_idx, device)
            self._positions = self._positions[torch.tensor(beam_idx, dtype=torch.long, device=device)]
            self._prefix_of = [self._prefix_of[row] for row in beam_idx]
            self._adapter_of = [self._adapter_of[row] for row in beam_idx]
        if self._stack is not None and self._adapter_of != self._routed:
            # The layers keep the weights of the adapters in use, however often the rows change.
            rows = torch.tensor(self._adapter_of, device=device)
            if self._routing is None:
                self._routing = self._stack.fixed_rows(rows)
            else:
                self._routing.set_rows(rows)
            self._routed = list(self._adapter_of)
        mask = self._kv.begin_step(self._prefix_of)
        with self._routing or nullcontext(), self._kv.attention():
            output = self._model(
                input_ids=torch.tensor(tokens, dtype=torch.long, device=device)[:, None],  # [R, 1]
                position_ids=self._positions[:, None],  # [R, 1]
                attention_mask=mask,
                past_key_values=self._kv.cache,
                use_cache=True,
            )
        self._positions = self._positions + 1
        return output.logits[:, -1].float()  # [R, 1, V] -> [R, V]

    def free(self) -> None:
        """Drop the cached keys and values, even if something still refers to this object."""
        self._kv.cache.reset()

    def _add_rows(self, prefill: Prefill) -> list[int]:
        """Append a row for each of the S prefixes; returns their ids."""
        count = len(prefill.adapters)
        prefixes = list(range(self._next_prefix, self._next_prefix + count))
        self._next_prefix += count
        self._prefix_of = [*self._prefix_of, *prefixes]
        self._adapter_of = [*self._adapter_of, *prefill.adapters]
        # The first token comes after the prompt's last position.
        lengths = prefill.mask.sum(dim=1)[list(prefill.prompt_of)]  # [S]
        self._positions = torch.cat([self._positions, lengths.to(self._positions.device)])
        return prefixes
