"""Prefill: every prefix (a prompt under one adapter) goes through the model once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding.shared_layers import (
    decoder_layers,
    decoder_of,
    expanding_rows_at,
    num_shared_layers,
    reading_last_position,
)
from lora_mcl.loss import last_logits


@dataclass(frozen=True)
class Prefix:
    """A prompt under one adapter, which rows continue.

    Attributes:
        prompt: index of the prompt.
        adapter: index of the adapter, or BASE_ROW.
    """

    prompt: int
    adapter: int


@dataclass(frozen=True)
class Prefill:
    """Logits and cache after a prefill of S prefixes on B prompts of at most T positions.

    Attributes:
        logits: fp32 [S, V] of the first token.
        cache: keys and values [rows, heads, T, head size] per layer: B rows in the first ``num_shared_layers``
            layers, S rows in the others.
        num_shared_layers: number of layers below all adapters.
        adapters: [S] the adapter of each prefix.
        prompt_of: [S] the row of each prefix's prompt among the B.
        mask: bool [B, T], False on padding.
    """

    logits: Tensor
    cache: DynamicCache
    num_shared_layers: int
    adapters: tuple[int, ...]
    prompt_of: tuple[int, ...]
    mask: Tensor


@torch.no_grad()
def prefill(
    model: PreTrainedModel,
    stack: AdapterStack | None,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    prefixes: Sequence[Prefix],
) -> Prefill:
    """Run left-padded prompts [B, T, D] with their mask [B, T] through the model, once for every prefix."""
    cache = DynamicCache(config=model.config)
    logits, prompt_of, shared, mask = prefix_logits(
        model, stack, inputs_embeds, attention_mask, prefixes, 1, past_key_values=cache, use_cache=True
    )
    adapters = tuple(prefix.adapter for prefix in prefixes)
    return Prefill(logits[:, -1].float(), cache, shared, adapters, tuple(prompt_of), mask)


def prefix_logits(
    model: PreTrainedModel,
    stack: AdapterStack | None,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    prefixes: Sequence[Prefix],
    num_logits: int,
    **options: Any,
) -> tuple[Tensor, list[int], int, Tensor]:
    """One forward of left-padded inputs [B, T, D] with their mask [B, T], once for every prefix.

    Args:
        num_logits: how many of the last positions are wanted, n.
        options: further arguments of the model's forward.

    Returns:
        Logits [S, n, V]; the row of each prefix among the B inputs that are used [S]; the number of layers that ran on
        B rows; the mask of the inputs that are used, bool [B, T].
    """
    device = inputs_embeds.device
    used = list(dict.fromkeys(prefix.prompt for prefix in prefixes))
    prompt_of = [used.index(prefix.prompt) for prefix in prefixes]  # [S], into the B prompts that are used
    embeds, mask = inputs_embeds[used], attention_mask[used].bool()
    index = torch.tensor(prompt_of, device=device)

    # The layers below all adapters run on B rows and the others on S; with one prefix per prompt these are the same.
    layers = decoder_layers(decoder_of(model))
    shared = num_shared_layers(layers)
    expanding: AbstractContextManager[None] = nullcontext()
    input_embeds, input_mask = embeds, mask  # [B, T, D], [B, T]
    if len(prefixes) > len(used):
        if shared:
            expanding = expanding_rows_at(layers, shared, index)
        else:
            input_embeds, input_mask = embeds[index], mask[index]  # [S, T, D], [S, T]

    # Left padding: the first real position of every prompt is position 0.
    positions = (input_mask.long().cumsum(dim=1) - 1).clamp_min(0)
    adapters = torch.tensor([prefix.adapter for prefix in prefixes], device=device)
    last_only = reading_last_position(layers) if num_logits == 1 else nullcontext()
    with stack.rows(adapters) if stack else nullcontext(), expanding, last_only:
        logits = last_logits(
            model,
            num_logits,
            inputs_embeds=input_embeds,
            position_ids=positions,
            # Without padding there is nothing to mask, and the kernels for causal attention are the fastest.
            attention_mask=None if bool(mask.all()) else input_mask.long(),
            **options,
        )
    return logits, prompt_of, shared, mask


def pad_states(states: Tensor, length: int) -> Tensor:
    """[..., T, E] to [..., length, E] with zeros: what is masked is still multiplied, so must be finite."""
    return functional.pad(states, (0, 0, length - states.shape[-2], 0))
