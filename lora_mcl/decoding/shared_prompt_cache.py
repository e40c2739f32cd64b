"""Attention and cache for prompts whose keys and values are held once, however many rows continue them.

A request may have dozens of rows (beams, groups, samples) on a handful of prefixes: one per distinct prompt and
adapter. The prompt of a picture is thousands of positions long, a caption a few dozen. So a row
owns only the states of the tokens that it generated, and attention reads a prompt's states for all its rows
together: the rows' queries become the queries of one batch entry. Reordering beams then moves a few positions
instead of thousands. (The idea is Hydragen's, Juravsky et al. 2024.) The result is ordinary attention: one softmax
over the scores of both parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lora_mcl.decoding.prefill import Prefill, pad_states
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
    # [R, heads, n, P] @ [S, heads, P, E] of each row's prompt, plus [R, heads, n, T] @ [R, heads, T, E].
    output = value.groups.product(weights[..., :length], value.prompt) + weights[..., length:] @ value.own
    return output.reshape(rows, 1, query_heads, -1), None


AttentionInterface.register(ATTENTION, shared_prompt_attention)


class SharedPromptLayer(DynamicLayer):
    """One layer's cache: prompts [S, heads, P, E] stay, the rows' own states [R, heads, T, E] grow by one per step.

    Attributes:
        prompt_keys, prompt_values: [S, heads, P, E], shorter prompts with zeros at their left.
        groups: the prompt that each row continues.
        bias: [R, 1, 1, P + T] of the step that comes, as in SharedKV.
    """

    def __init__(self, prompt: DynamicLayer) -> None:
        """Take over the states of a prefill, which is left empty."""
        super().__init__()
        self.prompt_keys: Tensor | None = prompt.keys
        self.prompt_values: Tensor | None = prompt.values
        self.groups: PrefixGroups | None = None
        self.bias: Tensor | None = None
        prompt.reset()

    def add_prompts(self, prompt: DynamicLayer) -> None:
        """Take over more prompts from another prefill, after those that are here."""
        length = max(self.prompt_keys.shape[2], prompt.keys.shape[2])
        self.prompt_keys = torch.cat([pad_states(self.prompt_keys, length), pad_states(prompt.keys, length)])
        self.prompt_values = torch.cat([pad_states(self.prompt_values, length), pad_states(prompt.values, length)])
        prompt.reset()

    def keep_prompts(self, index: Tensor, length: int) -> None:
        """Prompt ``index[i]`` becomes prompt ``i``, the others are dropped; ``length`` positions are kept."""
        index = index.to(self.prompt_keys.device)
        self.prompt_keys = self.prompt_keys[:, :, -length:].index_select(0, index)
        self.prompt_values = self.prompt_values[:, :, -length:].index_select(0, index)

    def add_rows(self, count: int) -> None:
        """Add rows that have generated nothing: zeros at their left, where the bias masks them."""
        if self.is_initialized:
            shape = (count, *self.keys.shape[1:])
            self.keys = torch.cat([self.keys, self.keys.new_zeros(shape)])
            self.values = torch.cat([self.values, self.values.new_zeros(shape)])

    def drop_columns(self, count: int) -> None:
        """Drop the first columns of the rows' own states."""
        self.keys, self.values = self.keys[:, :, count:], self.values[:, :, count:]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[SharedKV, SharedKV]:
        """Append one position of every row [R, heads, 1, E]."""
        keys, values = super().update(key_states, value_states)
        return (
            SharedKV(self.prompt_keys, keys, self.groups, self.bias),
            SharedKV(self.prompt_values, values, self.groups),
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

    can_join = True

    def __init__(self, decoder: PreTrainedModel, prefill: Prefill, prefixes: Sequence[int]) -> None:
        """Take over a prefill; there is one row per prefix at first, with nothing of its own."""
        self._decoder = decoder
        self._device = prefill.mask.device
        layers = [SharedPromptLayer(layer) for layer in prefill.cache.layers]
        self.cache = Cache(layers=layers)
        # A shared layer has one prompt row per prompt [B]; a layer above has one per prefix [S].
        self._shared = _LayerGroup(layers[: prefill.num_shared_layers])
        self._above = _LayerGroup(layers[prefill.num_shared_layers :])
        self._prompt_of: dict[int, int] = {}  # id of each prefix's prompt
        self._length_of: dict[int, int] = {}  # and its length
        self._next_prompt = 0
        self._current: list[int] = []  # [R] prefix ids for which the layers are set
        self._padding: list[int] = []  # [R] masked columns at the left of each row's own states
        self._prompt_bias: Tensor | None = None  # [R, 1, 1, P]
        self._own_padding: Tensor | None = None  # [R, 1, 1, 1], None if there is none
        self._register(prefill, prefixes)

    def join(self, prefill: Prefill, prefixes: Sequence[int]) -> None:
        """See KVCache."""
        shared = prefill.num_shared_layers
        for layer, new in zip(self._shared.layers, prefill.cache.layers[:shared], strict=True):
            layer.add_prompts(new)
        for layer, new in zip(self._above.layers, prefill.cache.layers[shared:], strict=True):
            layer.add_prompts(new)
        for layer in self.cache.layers:
            layer.add_rows(len(prefixes))
        self._register(prefill, prefixes)

    def reorder(self, beam_idx: Sequence[int], device: torch.device) -> None:
        """See KVCache: moves the few positions that the rows own. Columns that no row uses are dropped."""
        # keys and values [R, heads, T, E] of each layer, along the rows; the prompts [S, heads, P, E] stay in place.
        self.cache.reorder_cache(torch.tensor(beam_idx, dtype=torch.long, device=device))
        self._padding = [self._padding[row] for row in beam_idx]
        unused = min(self._padding)
        if unused:
            self._padding = [padding - unused for padding in self._padding]
            for layer in self.cache.layers:
                layer.drop_columns(unused)
            self._current = []

    def begin_step(self, prefix_of: Sequence[int]) -> None:
        """See KVCache. There is no mask: the bias of the layers masks what a row must not see."""
        if prefix_of != self._current:
            self._set_prefixes(list(prefix_of))
        bias = self._bias(self.cache.get_seq_length() + 1)  # [R, 1, 1, P + T], T with the position of this step
        for layer in self.cache.layers:
            layer.bias = None if bias is None else bias.to(layer.prompt_keys.device)

    def attention(self) -> AbstractContextManager[None]:
        """See KVCache."""
        return attending_to_shared_prompts(self._decoder)

    def _register(self, prefill: Prefill, prefixes: Sequence[int]) -> None:
        """Note the prompts and rows of a prefill."""
        lengths = prefill.mask.sum(dim=1).tolist()  # [B]
        first_prompt = self._next_prompt
        self._next_prompt += len(lengths)
        for prefix, prompt in zip(prefixes, prefill.prompt_of, strict=True):
            self._prompt_of[prefix] = first_prompt + prompt
            self._length_of[prefix] = lengths[prompt]
        self._shared.held += range(first_prompt, self._next_prompt)
        self._above.held += prefixes
        # Their rows own none of the columns so far.
        self._padding += [self.cache.get_seq_length()] * len(prefixes)
        self._current = []

    def _set_prefixes(self, prefix_of: list[int]) -> None:
        """Set the prefix of every row [R]; prompts that no row continues are dropped."""
        self._current = prefix_of
        longest = max(self._length_of[prefix] for prefix in prefix_of)
        self._shared.set_rows([self._prompt_of[prefix] for prefix in prefix_of], longest)
        self._above.set_rows(prefix_of, longest)
        live = set(prefix_of)
        self._prompt_of = {prefix: prompt for prefix, prompt in self._prompt_of.items() if prefix in live}
        self._length_of = {prefix: length for prefix, length in self._length_of.items() if prefix in live}
        # Shorter prompts are padded at their left.
        missing = [longest - self._length_of[prefix] for prefix in prefix_of]
        self._prompt_bias = self._left_bias(self._column(missing), longest) if any(missing) else None
        self._own_padding = self._column(self._padding) if any(self._padding) else None

    def _bias(self, own: int) -> Tensor | None:
        """[R, 1, 1, P + own] for ``own`` columns of the rows' own; None where every row sees everything."""
        if self._own_padding is None:
            # A row sees all of its own tokens: zeros for them after the prompt's bias.
            return None if self._prompt_bias is None else functional.pad(self._prompt_bias, (0, own))
        own_bias = self._left_bias(self._own_padding, own)
        if self._prompt_bias is None:
            return functional.pad(own_bias, (self._above.layers[0].prompt_keys.shape[2], 0))
        return torch.cat([self._prompt_bias, own_bias], dim=-1)

    def _column(self, values: Sequence[int]) -> Tensor:
        """[R, 1, 1, 1]"""
        return torch.tensor(values, device=self._device).view(-1, 1, 1, 1)

    def _left_bias(self, padding: Tensor, length: int) -> Tensor:
        """[R, 1, 1, length]: minus infinity on the first ``padding`` [R, 1, 1, 1] columns, 0 on the others."""
        zeros = torch.zeros(len(padding), 1, 1, length, device=self._device)
        return zeros.masked_fill(torch.arange(length, device=self._device) < padding, -torch.inf)


class _LayerGroup:
    """Layers whose prompt rows are the same: the shared layers, or those above.

    Attributes:
        held: ids of the prompt rows that the layers hold, in their order.
    """

    def __init__(self, layers: list[SharedPromptLayer]) -> None:
        self.layers = layers
        self.held: list[int] = []

    def set_rows(self, prompt_rows: list[int], longest: int) -> None:
        """Set the prompt row of every row [R], by id; prompt rows that are not in use are dropped."""
        rows_of = Counter(prompt_rows)
        padded = bool(self.layers) and self.layers[0].prompt_keys.shape[2] > longest
        if padded or len(rows_of) < len(self.held):
            # Those with equally many rows side by side: they then go through one product.
            live = sorted(rows_of, key=lambda prompt: (rows_of[prompt], prompt))
            index = torch.tensor([self.held.index(prompt) for prompt in live])
            for layer in self.layers:
                layer.keep_prompts(index, longest)
            self.held = live
        position = {prompt: index for index, prompt in enumerate(self.held)}
        groups = PrefixGroups.of([position[prompt] for prompt in prompt_rows])
        for layer in self.layers:
            layer.groups = groups.to(layer.prompt_keys.device)
