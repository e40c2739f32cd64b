"""One copy of a prompt's keys and values, however many rows continue it.

A request may hold dozens of rows (beams, groups, samples) on a handful of prompts: one for each distinct medium
and adapter. The prompt of a picture is thousands of positions long, what a row has written a few dozen. So a row
owns only the states of what it wrote, and attention reads the prompt's states for all the rows that share them
together: the rows' queries become the queries of one batch entry. Reordering beams then moves a few positions
instead of thousands. (The idea is Hydragen's, Juravsky et al. 2024.) The result is ordinary attention: one softmax
over the scores of both parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lora_mcl.decoding.prefill import Prefill

ATTENTION = "shared_prompt"
"""Name under which transformers finds the attention function below."""

# What some models ask of their attention function that this one does not do.
_FOREIGN_ARGUMENTS = ("softcap", "position_bias", "s_aux")


@dataclass(frozen=True)
class Run:
    """Consecutive prompts that equally many rows continue.

    Attributes:
        prompts: positions of the prompts.
        rows: positions of their rows, once rows are sorted by prompt: those of one prompt side by side.
    """

    prompts: slice
    rows: slice

    def seat(self, rows: Tensor) -> Tensor:
        """Let the rows of a prompt share one batch entry: [prompts * G, heads, n, E] to [prompts, heads, G * n, E]."""
        count, (_, heads, _, size) = self.prompts.stop - self.prompts.start, rows.shape
        return rows.view(count, -1, *rows.shape[1:]).transpose(1, 2).reshape(count, heads, -1, size)

    def unseat(self, seated: Tensor, n: int) -> Tensor:
        """The way back: [prompts, heads, G * n, E] to [prompts * G, heads, n, E]."""
        count, heads, _, size = seated.shape
        return seated.view(count, heads, -1, n, size).transpose(1, 2).reshape(-1, heads, n, size)


@dataclass(frozen=True)
class Seating:
    """Which prompt each of R rows continues.

    Attributes:
        runs: all prompts, in their order.
        order: [R] the rows sorted by prompt; None where they are sorted as they come.
        back: [R] where each row is in that order.
    """

    runs: tuple[Run, ...]
    order: Tensor | None = None
    back: Tensor | None = None

    @classmethod
    def of(cls, prompts: Sequence[int]) -> Seating:
        """Row ``i`` continues prompt ``prompts[i]``; every prompt is continued by some row."""
        order = sorted(range(len(prompts)), key=prompts.__getitem__)
        sizes = list(Counter(sorted(prompts)).values())
        runs, prompt, row = [], 0, 0
        for size, group in groupby(sizes):
            count = len(list(group))
            runs.append(Run(slice(prompt, prompt + count), slice(row, row + count * size)))
            prompt, row = prompt + count, row + count * size
        if order == list(range(len(prompts))):
            return cls(tuple(runs))
        back = sorted(range(len(order)), key=order.__getitem__)
        return cls(tuple(runs), torch.tensor(order), torch.tensor(back))

    def to(self, device: torch.device) -> Seating:
        """The same on ``device``."""
        return self if self.order is None else Seating(self.runs, self.order.to(device), self.back.to(device))

    def product(self, rows: Tensor, prompts: Tensor) -> Tensor:
        """Multiply every row by its prompt's matrix: [R, heads, n, E] and [S, heads, E, F] to [R, heads, n, F]."""
        n = rows.shape[2]
        rows = rows if self.order is None else rows.index_select(0, self.order)
        parts = [run.unseat(run.seat(rows[run.rows]) @ prompts[run.prompts], n) for run in self.runs]
        products = parts[0] if len(parts) == 1 else torch.cat(parts)
        return products if self.back is None else products.index_select(0, self.back)


@dataclass(frozen=True)
class SharedStates:
    """The keys or the values of one layer, as the attention function gets them.

    Attributes:
        prompt: [S, heads, P, D] states of the prompts.
        own: [R, heads, T, D] states of what the rows have written.
        seating: which prompt each row continues.
        bias: fp32, to be broadcast over [R, 1, 1, P + T] scores, minus infinity on what must not be seen; None
            where a row sees all of both.
    """

    prompt: Tensor
    own: Tensor
    seating: Seating
    bias: Tensor | None = None


def shared_prompt_attention(
    module: nn.Module,
    query: Tensor,
    key: SharedStates,
    value: SharedStates,
    attention_mask: None,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[Tensor, None]:
    """Attention of one new token per row; see transformers' ``AttentionInterface``.

    Args:
        query: [R, query heads, 1, D]; grouped-query attention where there are more than key heads.

    Returns:
        [R, 1, query heads, D], and no attention weights.

    Raises:
        ValueError: the model asks for a kind of attention that this function does not compute.
    """
    for name in _FOREIGN_ARGUMENTS:
        if arguments.get(name) is not None:
            raise ValueError(
                f"{type(module).__name__} uses {name}, which attention on a shared prompt does not compute: "
                "decode with EngineOptions(share_prompts=False)."
            )
    rows, query_heads, _, size = query.shape
    heads, length = key.prompt.shape[1:3]
    query = query.view(rows, heads, query_heads // heads, size)
    # Both parts in one softmax, scaled and normalised in fp32 as the usual kernels do.
    scores = torch.cat([key.seating.product(query, key.prompt.mT), query @ key.own.mT], dim=-1).float()
    scores = scores * (size**-0.5 if scaling is None else scaling)
    if key.bias is not None:
        scores = scores + key.bias
    weights = scores.softmax(dim=-1).to(query.dtype)
    answer = value.seating.product(weights[..., :length], value.prompt) + weights[..., length:] @ value.own
    return answer.reshape(rows, 1, query_heads, -1), None


AttentionInterface.register(ATTENTION, shared_prompt_attention)


class SharedPromptLayer(DynamicLayer):
    """One layer's cache: what the rows write grows in here, beside the prompts' states."""

    def __init__(self, prompt: DynamicLayer) -> None:
        """Take over the states of a prefill, which is left empty."""
        super().__init__()
        self.prompt_keys: Tensor | None = prompt.keys
        self.prompt_values: Tensor | None = prompt.values
        self._seating: Seating | None = None
        self._prompt_bias: Tensor | None = None
        prompt.reset()

    def seat(self, seating: Seating, prompt_bias: Tensor | None) -> None:
        """Say which prompt each row continues; ``prompt_bias`` [R, 1, 1, P] is as in SharedStates."""
        device = self.prompt_keys.device
        self._seating = seating.to(device)
        self._prompt_bias = None if prompt_bias is None else prompt_bias.to(device)

    def keep_prompts(self, index: Tensor) -> None:
        """Drop the prompts that are not in ``index``, and renumber the others in its order."""
        index = index.to(self.prompt_keys.device)
        self.prompt_keys = self.prompt_keys.index_select(0, index)
        self.prompt_values = self.prompt_values.index_select(0, index)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[SharedStates, SharedStates]:
        """Append one position of every row."""
        keys, values = super().update(key_states, value_states)
        bias = None if self._prompt_bias is None else functional.pad(self._prompt_bias, (0, keys.shape[2]))
        return (
            SharedStates(self.prompt_keys, keys, self._seating, bias),
            SharedStates(self.prompt_values, values, self._seating),
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


class SharedPrompts:
    """The states of rows that share their prompts; see ``rows.States``."""

    def __init__(self, decoder: PreTrainedModel, prefill: Prefill) -> None:
        """Take over a prefill; the rows start as its sources, with nothing of their own."""
        self._decoder = decoder
        layers = [SharedPromptLayer(layer) for layer in prefill.cache.layers]
        self.cache = Cache(layers=layers)
        self._media = prefill.media
        self._bias = None
        if not bool(prefill.mask.all()):
            nothing = torch.zeros(prefill.mask.shape, device=prefill.mask.device)
            self._bias = nothing.masked_fill(~prefill.mask, -torch.inf)[:, None, None]
        # In the trunk a source's prompt is its medium's; above it, it is its own.
        depth, sources = prefill.trunk_depth, tuple(range(len(prefill.media)))
        self._levels = [_Level(layers[:depth], prefill.media), _Level(layers[depth:], sources)]
        self._seat(sources)

    def select(self, parents: Tensor, sources: Sequence[int]) -> None:
        """See ``rows.States``."""
        self.cache.reorder_cache(parents)
        self._seat(sources)

    def mask(self) -> None:
        """No mask: a row sees all of its prompt and all it has written."""
        return None

    def attention(self) -> AbstractContextManager[None]:
        """See ``rows.States``."""
        return attending_to_shared_prompts(self._decoder)

    def _seat(self, sources: Sequence[int]) -> None:
        bias = None if self._bias is None else self._bias[[self._media[source] for source in sources]]
        for level in self._levels:
            level.seat(sources, bias)


class _Level:
    """The layers whose prompts are the same ones."""

    def __init__(self, layers: list[SharedPromptLayer], prompt_of: Sequence[int]) -> None:
        """``prompt_of`` is the prompt of each source: its row in these layers."""
        self._layers = layers
        self._prompt_of = prompt_of
        self._held = sorted(set(prompt_of))
        self._seated: list[int] = []

    def seat(self, sources: Sequence[int], bias: Tensor | None) -> None:
        """Let row ``i`` continue the prompt of source ``sources[i]``; prompts nobody continues are dropped."""
        prompts = [self._prompt_of[source] for source in sources]
        if prompts == self._seated:
            return
        self._seated = prompts
        live = sorted(set(prompts))
        if live != self._held:
            index = torch.tensor([self._held.index(prompt) for prompt in live])
            for layer in self._layers:
                layer.keep_prompts(index)
            self._held = live
        seating = Seating.of([live.index(prompt) for prompt in prompts])
        for layer in self._layers:
            layer.seat(seating, bias)
