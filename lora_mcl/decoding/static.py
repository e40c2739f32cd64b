"""The accelerator's path: fixed shapes and fixed addresses, so that a step is compiled or recorded once.

At one token a row, a GPU computes faster than Python can tell it what to do. A step whose shapes never change is
recorded as a CUDA graph and replayed with one call, compiled before that if asked for. So here every source keeps as
many rows as its strategies may ever want; a row that has ended goes on computing what nobody reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lora_mcl.decoding.prefill import AdapterRows, FixedRows, Prefill
from lora_mcl.decoding.shared_prompt import Seating, SharedStates, attending_to_shared_prompts
from lora_mcl.decoding.trunk import decoder_of

# Capacities are rounded up to multiples of these, so that requests alike find the same step ready.
_PROMPT_UNIT, _WRITTEN_UNIT = 256, 32


@dataclass(frozen=True)
class Shape:
    """All that a recorded step depends on.

    Attributes:
        rows: [S] rows of each source.
        adapters: [S] its adapter.
        media: [S] its row among the B media.
        trunk_depth: as in Prefill.
        prompt: positions that a prompt may have.
        written: tokens that a row may write.
    """

    rows: tuple[int, ...]
    adapters: tuple[int, ...]
    media: tuple[int, ...]
    trunk_depth: int
    prompt: int
    written: int

    def holds(self, other: Shape) -> bool:
        """Whether a step of this shape serves a request of that one."""
        alike = (self.rows, self.adapters, self.media, self.trunk_depth)
        fits = self.prompt >= other.prompt and self.written >= other.written
        return fits and alike == (other.rows, other.adapters, other.media, other.trunk_depth)

    def rounded(self) -> Shape:
        """With capacities that other requests fit into too."""
        prompt = -(-self.prompt // _PROMPT_UNIT) * _PROMPT_UNIT
        written = -(-self.written // _WRITTEN_UNIT) * _WRITTEN_UNIT
        return Shape(self.rows, self.adapters, self.media, self.trunk_depth, prompt, written)


class StaticLayer(DynamicLayer):
    """One layer's keys and values in buffers that stay where they are.

    Attributes:
        prompt_keys, prompt_values: [S, heads, prompt, D] (B in the trunk).
        keys, values: [R, heads, written, D] what the rows have written.
    """

    def __init__(
        self, keys: Tensor, values: Tensor, shape: Shape, seating: Seating, slot: Tensor, bias: Tensor
    ) -> None:
        """Buffers for a layer whose prefill left ``keys`` and ``values``; ``slot`` and ``bias`` as in StaticStep."""
        super().__init__()
        rows = sum(shape.rows)
        # Zeros, not whatever was there: what is masked is still multiplied, and zero times NaN is NaN.
        self.prompt_keys, self.prompt_values, self.keys, self.values = (
            states.new_zeros(count, states.shape[1], length, states.shape[3])
            for count, length in ((len(keys), shape.prompt), (rows, shape.written))
            for states in (keys, values)
        )
        self.is_initialized = True
        self._seating, self._slot, self._bias = seating, slot, bias

    def load(self, keys: Tensor, values: Tensor) -> None:
        """Take in a prompt's states [S, heads, P, D]; what is left of the buffer is masked."""
        self.prompt_keys[:, :, : keys.shape[2]] = keys
        self.prompt_values[:, :, : values.shape[2]] = values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[SharedStates, SharedStates]:
        """Write one position of every row."""
        self.keys.index_copy_(2, self._slot, key_states)
        self.values.index_copy_(2, self._slot, value_states)
        return (
            SharedStates(self.prompt_keys, self.keys, self._seating, self._bias),
            SharedStates(self.prompt_values, self.values, self._seating),
        )

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row ``i`` becomes what row ``beam_idx[i]`` was."""
        self.keys.copy_(self.keys.index_select(0, beam_idx))
        self.values.copy_(self.values.index_select(0, beam_idx))


class StaticStep:
    """One step of the model at one shape: inputs are copied to where it reads them, logits are where it left them."""

    def __init__(self, model: PreTrainedModel, stack: AdapterRows | None, prefill: Prefill, shape: Shape) -> None:
        """Buffers like those of ``prefill``, whose states are not taken in yet."""
        device = prefill.logits.device
        self.shape = shape
        self.in_use = False
        self._model, self._decoder = model, decoder_of(model)
        source_of = [source for source, count in enumerate(shape.rows) for _ in range(count)]
        self._media = torch.tensor([shape.media[source] for source in source_of], device=device)
        self._routing: FixedRows | None = None
        if stack is not None:
            self._routing = stack.fixed_rows(
                torch.tensor([shape.adapters[source] for source in source_of], device=device)
            )
        rows = len(source_of)
        self._inputs = torch.zeros(2, rows, dtype=torch.long, device=device)
        self._start = torch.zeros(rows, 1, dtype=torch.long, device=device)
        # The position, among those a row writes, that this step writes.
        self._slot = torch.zeros(1, dtype=torch.long, device=device)
        self._bias = torch.zeros(rows, 1, 1, shape.prompt + shape.written, device=device)
        in_trunk = Seating.of([shape.media[source] for source in source_of]).to(device)
        above = Seating.of(source_of).to(device)
        self._layers = [
            StaticLayer(
                layer.keys,
                layer.values,
                shape,
                in_trunk if index < shape.trunk_depth else above,
                self._slot,
                self._bias,
            )
            for index, layer in enumerate(prefill.cache.layers)
        ]
        self._cache = Cache(layers=self._layers)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits: Tensor | None = None
        self._compute: Callable[[], Tensor] = self._forward

    def compile(self, backend: str) -> None:
        """Let torch compile the step."""
        self._compute = torch.compile(self._forward, backend=backend, dynamic=False)
        self._call()

    def record(self) -> None:
        """Record the step as a CUDA graph."""
        with torch.cuda.device(self._slot.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                # What libraries set up at their first calls must not be recorded.
                for _ in range(3):
                    self._call()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._logits = self._call()
        self._graph = graph

    @torch.no_grad()
    def load(self, prefill: Prefill) -> None:
        """Start a decode from a prefill, which is left empty."""
        for layer, read in zip(self._layers, prefill.cache.layers, strict=True):
            layer.load(read.keys, read.values)
            read.reset()
        if self._routing is not None:
            self._routing.refresh()
        self._slot.zero_()
        self._start.copy_(prefill.mask.sum(dim=1)[self._media][:, None])
        length = prefill.mask.shape[1]
        self._bias.fill_(-torch.inf)
        self._bias[..., :length].masked_fill_(prefill.mask[self._media][:, None, None], 0.0)

    def run(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Let row ``i`` continue row ``parents[i]`` by ``tokens[i]``; the logits [R, V] last until the next step."""
        self._inputs.copy_(torch.tensor([tokens, parents]))
        if self._graph is None:
            return self._call()
        self._graph.replay()
        return self._logits

    @torch.no_grad()
    def _call(self) -> Tensor:
        with self._routing or nullcontext(), attending_to_shared_prompts(self._decoder):
            return self._compute()

    def _forward(self) -> Tensor:
        """What is compiled and recorded: from the inputs to the logits, nothing in it depends on their values."""
        tokens, parents = self._inputs
        for layer in self._layers:
            layer.reorder_cache(parents)
        self._bias.index_fill_(3, self._slot + self.shape.prompt, 0.0)
        output = self._model(
            input_ids=tokens[:, None],
            position_ids=self._start + self._slot,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._slot.add_(1)
        return output.logits[:, -1].float()


class StaticRows:
    """Live rows, as ``rows.LiveRows`` has them, in the fixed rows of a step."""

    def __init__(self, step: StaticStep, prefill: Prefill) -> None:
        """Start with one row per source."""
        self._step = step
        step.load(prefill)
        step.in_use = True
        self._first = [0, *accumulate(step.shape.rows)]
        self._source_of = list(range(len(step.shape.rows)))
        self._places = self._first[:-1]

    def step(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Let row ``i`` continue row ``parents[i]`` by ``tokens[i]``; returns the fp32 logits [rows, V]."""
        sources = [self._source_of[parent] for parent in parents]
        taken: Counter[int] = Counter()
        places = []
        for source in sources:
            places.append(self._first[source] + taken[source])
            taken[source] += 1
        # Rows in no use go on from themselves.
        all_parents, all_tokens = list(range(self._first[-1])), [0] * self._first[-1]
        for place, parent, token in zip(places, parents, tokens, strict=True):
            all_parents[place], all_tokens[place] = self._places[parent], token
        self._source_of, self._places = sources, places
        logits = self._step.run(all_tokens, all_parents)
        return logits[torch.tensor(places, device=logits.device)]

    def free(self) -> None:
        """Leave the step to the next decode; its buffers stay."""
        self._step.in_use = False
