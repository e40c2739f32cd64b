"""Reading the prompts: one row per distinct medium and adapter, and below the adapters one per medium only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from lora_mcl.decoding.trunk import branching_at, decoder_layers, decoder_of, trunk_depth
from lora_mcl.loss import last_logits


class FixedRows(Protocol):
    """A block, to be entered any number of times, in which batch rows go through given adapters."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def refresh(self) -> None:
        """Take note that the adapters may have changed."""


class AdapterRows(Protocol):
    """What a decode needs of an AdapterStack."""

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters, in the order of their indices."""

    def rows(self, rows: Tensor) -> AbstractContextManager[None]:
        """A block in which batch row i goes through adapter rows[i]."""

    def fixed_rows(self, rows: Tensor) -> FixedRows:
        """Such a block for many forward passes."""


@dataclass(frozen=True)
class Source:
    """What a row starts from: the prompt of a medium as one adapter reads it.

    Attributes:
        medium: index of the prompt.
        adapter: index of the adapter, or BASE_ROW.
    """

    medium: int
    adapter: int


@dataclass(frozen=True)
class Prefill:
    """What S sources on B media left behind.

    Attributes:
        logits: fp32 [S, V] of the first token.
        cache: the keys and values: of B rows in the first ``trunk_depth`` layers, of S rows in the others.
        trunk_depth: number of layers that all adapters have in common.
        media: [S] the row of each source among the B.
        mask: bool [B, T], False on padding.
    """

    logits: Tensor
    cache: DynamicCache
    trunk_depth: int
    media: tuple[int, ...]
    mask: Tensor


@torch.no_grad()
def prefill(
    model: PreTrainedModel,
    stack: AdapterRows | None,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    sources: Sequence[Source],
) -> Prefill:
    """Read left-padded prompts [B, T, D] with their mask [B, T], once for every source."""
    device = inputs_embeds.device
    used = sorted({source.medium for source in sources})
    media = [used.index(source.medium) for source in sources]
    embeds, mask = inputs_embeds[used], attention_mask[used].bool()
    layers = decoder_layers(decoder_of(model))
    depth = trunk_depth(layers) if len(sources) > len(used) else 0
    index = torch.tensor(media, device=device)
    branching: AbstractContextManager[None] = nullcontext()
    entering, entering_mask = embeds[index], mask[index]
    if depth:
        branching = branching_at(layers, depth, index)
        entering, entering_mask = embeds, mask
    positions = (entering_mask.long().cumsum(dim=1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.config)
    adapters = torch.tensor([source.adapter for source in sources], device=device)
    with stack.rows(adapters) if stack else nullcontext(), branching:
        logits = last_logits(
            model,
            1,
            inputs_embeds=entering,
            position_ids=positions,
            # Without padding there is nothing to mask, and the kernels for causal attention are the fastest.
            attention_mask=None if bool(mask.all()) else entering_mask.long(),
            past_key_values=cache,
            use_cache=True,
        )
    return Prefill(logits[:, -1].float(), cache, depth, tuple(media), mask)
