"""Attention and cache for prompts whose keys and values are held once, however many rows continue them.

A request may have dozens of rows (beams, groups, samples) on a handful of prefixes: one per distinct prompt and
adapter. The prompt of a picture is thousands of positions long, a caption a few dozen. So a row
owns only the states of the tokens that it generated, and attention reads a prompt's states for all its rows
together: the rows' queries become the queries of one batch entry. Reordering beams then moves a few positions
instead of thousands. (The idea is Hydragen's, Juravsky et al. 2024.) The result is ordinary attention: one softmax
over the scores of both parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lora_mcl.decoding.prefill import Prefill
from lora_mcl.decoding.prefix_groups import PrefixGroups

ATTENTION = "shared_prompt"
"""Name under which transformers finds the attention function below."""

# Arguments of some models' attention that this function does not implement.
_FOREIGN_ARGUMENTS = ("softcap", "position_bias", "s_aux")


@dataclass(frozen=True)
class SharedKV:
    """The keys or the values of one layer, as the attention function gets them.

    Attributes:
        prompt: [S, heads, P, E] states of the prompts.
        own: [R, heads, T, E] states of the tokens that the rows have generated.
        groups: the prompt that each row continues.
        bias: fp32 [R, 1, 1, P + T], minus infinity on masked positions, 0 elsewhere; None where a row sees all
            of both.
    """

    prompt: Tensor
    own: Tensor
    groups: PrefixGroups
    bias: Tensor | None = None


def shared_prompt_attention(
    module: nn.Module,
    query: Tensor,
    key: SharedKV,
    value: SharedKV,
    attention_mask: None,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[Tensor, None]:
    """Attention of one new token per row; see transformers' ``AttentionInterface``.

    Args:
        query: [R, query heads, 1, E]; grouped-query attention where there are more than key heads.

    Returns:
        [R, 1, query heads, E], and no attention weights.

    Raises:
        ValueError: the model needs a kind of attention that this function does not compute.
    """
    for name in _FOREIGN_ARGUMENTS:
        if arguments.get(name) is not None:
            raise ValueError(
                f"{type(module).__name__} uses {name}, which attention on a shared prompt does not compute: "
                "decode with EngineOptions(share_prompts=False)."
            )
    rows, query_heads, _, size = query.shape
    heads, length = key.prompt.shape[1:3]
    # The n = query_heads / heads queries that share a key head stand where the one new position did: [R, heads, n, E].
    query = query.view(rows, heads, query_heads // heads, size)
    # [R, heads, n, P] and [R, heads, n, T] in one softmax, scaled and normalised in fp32 as the usual kernels do.
    scores = torch.cat([key.groups.product(query, key.prompt.mT), query @ key.own.mT], dim=-1).float()
    scores = scores * (size**-0.5 if scaling is None else scaling)
    if key.bias is not None:
        scores = scores + key.bias
    weights = scores.softmax(dim=-1).to(query.dtype)
    output = value.groups.product(weights[..., :length], value.prompt) + weights[..., length:] @ value.own
    return output.reshape(rows, 1, query_heads, -1), None


AttentionInterface.register(ATTENTION, shared_prompt_attention)


class SharedPromptLayer(DynamicLayer):
    """One layer's cache: prompts [S, heads, P, E] stay, the rows' own states [R, heads, T, E] grow by one per step."""

    def __init__(self, prompt: DynamicLayer) -> None:
        """Take over the states of a prefill, which is left empty."""
        super().__init__()
        self.prompt_keys: Tensor | None = prompt.keys
        self.prompt_values: Tensor | None = prompt.values
        self._groups: PrefixGroups | None = None
        self._prompt_bias: Tensor | None = None
        prompt.reset()

    def set_groups(self, groups: PrefixGroups, prompt_bias: Tensor | None) -> None:
        """Set the prompt that each row continues; ``prompt_bias`` [R, 1, 1, P] masks the padding of the prompts."""
        device = self.prompt_keys.device
        self._groups = groups.to(device)
        self._prompt_bias = None if prompt_bias is None else prompt_bias.to(device)

    def keep_prompts(self, index: Tensor) -> None:
        """Drop the prompts that are not in ``index``; prompt ``index[i]`` becomes prompt ``i``."""
        index = index.to(self.prompt_keys.device)
        self.prompt_keys = self.prompt_keys.index_select(0, index)
        self.prompt_values = self.prompt_values.index_select(0, index)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[SharedKV, SharedKV]:
        """Append one position of every row [R, heads, 1, E]."""
        keys, values = super().update(key_states, value_states)
        # A row sees all of its own tokens: zeros for them after the prompt's bias.
        bias = None if self._prompt_bias is None else functional.pad(self._prompt_bias, (0, keys.shape[2]))
        return (
            SharedKV(self.prompt_keys, keys, self._groups, bias),
            SharedKV(self.prompt_values, values, self._groups),
        )

    def reset(self) -> None:
        """Drop everything."""
        self.prompt_keys = self.prompt_values = None
        super().reset()


def can_share_prompts(decoder: PreTrainedModel) -> bool:
    """Whether the decoder can attend to shared prompts.

    It must call its attention function through transformers' interface, and every layer must see all positions:
    a sliding window would slide over both parts.
    """
    layers = DynamicCache(config=decoder.config).layers
    return decoder._supports_attention_backend and all(type(layer) is DynamicLayer for layer in layers)


@contextmanager
def attending_to_shared_prompts(decoder: PreTrainedModel) -> Iterator[None]:
    """Let the decoder use this module's attention inside the block only."""
    before = decoder.config._attn_implementation
    # set_attn_implementation does the same, and walks through all modules: too slow for every token.
    decoder.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        decoder.config._attn_implementation = before


class SharedPromptCache:
    """The KV cache of rows that share their prompts; see ``decode_state.KVCache``."""

    def __init__(self, decoder: PreTrainedModel, prefill: Prefill) -> None:
        """Take over a prefill; there is one row per prefix at first, with nothing of its own."""
        self._decoder = decoder
        layers = [SharedPromptLayer(layer) for layer in prefill.cache.layers]
        self.cache = Cache(layers=layers)
        self._prompt_of = prefill.prompt_of
        self._bias = None
        if not bool(prefill.mask.all()):
            zeros = torch.zeros(prefill.mask.shape, device=prefill.mask.device)
            self._bias = zeros.masked_fill(~prefill.mask, -torch.inf)[:, None, None]  # [B, 1, 1, P]
        # A shared layer has one prompt row per prompt [B]; a layer above has one per prefix [S].
        shared, prefixes = prefill.num_shared_layers, tuple(range(len(prefill.prompt_of)))
        self._layer_groups = [_LayerGroup(layers[:shared], prefill.prompt_of), _LayerGroup(layers[shared:], prefixes)]
        self._set_prefixes(prefixes)

    def reorder(self, beam_idx: Tensor, prefixes: Sequence[int]) -> None:
        """See KVCache: moves the few positions that the rows own; prompts are only regrouped."""
        self.cache.reorder_cache(beam_idx)
        self._set_prefixes(prefixes)

    def mask(self) -> None:
        """No mask: the bias of the layers masks the padding of prompts."""
        return None

    def attention(self) -> AbstractContextManager[None]:
        """See KVCache."""
        return attending_to_shared_prompts(self._decoder)

    def _set_prefixes(self, prefixes: Sequence[int]) -> None:
        bias = None if self._bias is None else self._bias[[self._prompt_of[prefix] for prefix in prefixes]]
        for group in self._layer_groups:
            group.set_prefixes(prefixes, bias)


class _LayerGroup:
    """Layers whose prompt rows are the same: the shared layers, or those above."""

    def __init__(self, layers: list[SharedPromptLayer], prompt_row_of: Sequence[int]) -> None:
        """``prompt_row_of`` [S] is the prompt row of each prefix in these layers."""
        self._layers = layers
        self._prompt_row_of = prompt_row_of
        self._held = sorted(set(prompt_row_of))  # the prompt rows that the layers still hold, in their order
        self._current: list[int] = []

    def set_prefixes(self, prefixes: Sequence[int], bias: Tensor | None) -> None:
        """Set the prefix of every row [R]; prompts that no row continues are dropped."""
        prompt_rows = [self._prompt_row_of[prefix] for prefix in prefixes]
        if prompt_rows == self._current:
            return
        self._current = prompt_rows
        live = sorted(set(prompt_rows))
        if live != self._held:
            index = torch.tensor([self._held.index(prompt) for prompt in live])
            for layer in self._layers:
                layer.keep_prompts(index)
            self._held = live
        groups = PrefixGroups.of([live.index(prompt) for prompt in prompt_rows])
        for layer in self._layers:
            layer.set_groups(groups, bias)
