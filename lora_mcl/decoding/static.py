"""Decode steps of fixed shapes at fixed addresses, so that a step is compiled or recorded once.

At one token a row, a GPU computes faster than Python can launch its kernels. A step whose shapes never change is
recorded as a CUDA graph and replayed with one call, compiled before that if wanted. So here every prefix keeps the
most rows that its strategies may need; a row that has ended goes on computing, and its logits are not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lora_mcl.adapters import AdapterStack
from lora_mcl.adapters.linear import FixedRouting
from lora_mcl.decoding.prefill import Prefill
from lora_mcl.decoding.prefix_groups import PrefixGroups
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.decoding.shared_prompt_cache import SharedKV, attending_to_shared_prompts

# Capacities are rounded up to multiples of these, so that similar requests can use the same step.
_PROMPT_UNIT, _WRITTEN_UNIT = 256, 32


@dataclass(frozen=True)
class StaticShape:
    """Everything that a recorded step depends on.

    Attributes:
        rows: [S] rows of each prefix.
        adapters: [S] its adapter.
        prompt_of: [S] its row among the B prompts.
        num_shared_layers: as in Prefill.
        prompt_capacity: positions of the longest prompt.
        written_capacity: tokens that a row may generate.
    """

    rows: tuple[int, ...]
    adapters: tuple[int, ...]
    prompt_of: tuple[int, ...]
    num_shared_layers: int
    prompt_capacity: int
    written_capacity: int

    def fits(self, needed: StaticShape) -> bool:
        """Whether a step of this shape serves a request of the needed one: all equal but for spare capacity."""
        return (
            self.prompt_capacity >= needed.prompt_capacity
            and self.written_capacity >= needed.written_capacity
            and self == replace(needed, prompt_capacity=self.prompt_capacity, written_capacity=self.written_capacity)
        )

    def rounded(self) -> StaticShape:
        """The same with capacities rounded up, so that other requests fit too."""
        prompt = -(-self.prompt_capacity // _PROMPT_UNIT) * _PROMPT_UNIT
        written = -(-self.written_capacity // _WRITTEN_UNIT) * _WRITTEN_UNIT
        return replace(self, prompt_capacity=prompt, written_capacity=written)


class StaticLayer(DynamicLayer):
    """One layer's keys and values in buffers that stay where they are.

    Attributes:
        prompt_keys, prompt_values: [S, heads, prompt capacity, E] (B for S in shared layers).
        keys, values: [R, heads, written capacity, E] states of the tokens that the rows have generated.
    """

    def __init__(
        self, keys: Tensor, values: Tensor, shape: StaticShape, groups: PrefixGroups, slot: Tensor, bias: Tensor
    ) -> None:
        """Buffers for a layer whose prefill left ``keys`` and ``values``; ``slot`` and ``bias`` as in StaticStep."""
        super().__init__()
        rows = sum(shape.rows)
        # Zeros, not uninitialised memory: masked values are still multiplied, and zero times NaN is NaN.
        self.prompt_keys, self.prompt_values, self.keys, self.values = (
            states.new_zeros(count, states.shape[1], length, states.shape[3])
            for count, length in ((len(keys), shape.prompt_capacity), (rows, shape.written_capacity))
            for states in (keys, values)
        )
        self.is_initialized = True
        self._groups, self._slot, self._bias = groups, slot, bias

    def load(self, keys: Tensor, values: Tensor) -> None:
        """Copy a prompt's states [S, heads, P, E] to the start of the buffers; zeros elsewhere.

        The rest is masked, but must be finite: a NaN of the request before would reach this one as 0 * NaN.
        """
        for buffer in (self.prompt_keys, self.prompt_values, self.keys, self.values):
            buffer.zero_()
        self.prompt_keys[:, :, : keys.shape[2]] = keys
        self.prompt_values[:, :, : values.shape[2]] = values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[SharedKV, SharedKV]:
        """Write one position of every row [R, heads, 1, E]."""
        self.keys.index_copy_(2, self._slot, key_states)
        self.values.index_copy_(2, self._slot, value_states)
        return (
            SharedKV(self.prompt_keys, self.keys, self._groups, self._bias),
            SharedKV(self.prompt_values, self.values, self._groups),
        )

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row ``i`` becomes the former row ``beam_idx[i]``, in place."""
        self.keys.copy_(self.keys.index_select(0, beam_idx))
        self.values.copy_(self.values.index_select(0, beam_idx))


class StaticStep:
    """One step of the model at one shape: inputs are copied to fixed addresses, logits appear at another.

    Every tensor that ``_forward`` reads or writes is allocated here once and only ever changed in place.
    """

    def __init__(self, model: PreTrainedModel, stack: AdapterStack | None, prefill: Prefill, shape: StaticShape):
        """Buffers like those of ``prefill``; ``load`` fills them."""
        device = prefill.logits.device
        self.shape = shape
        self.in_use = False
        self._model, self._decoder = model, decoder_of(model)
        # Row slots: shape.rows[0] for prefix 0, shape.rows[1] for prefix 1, ... [R]
        prefix_of = [prefix for prefix, count in enumerate(shape.rows) for _ in range(count)]
        rows = len(prefix_of)
        prompt_of = [shape.prompt_of[prefix] for prefix in prefix_of]
        self._prompt_of = torch.tensor(prompt_of, device=device)
        self._routing: FixedRouting | None = None
        if stack is not None:
            self._routing = stack.fixed_rows(
                torch.tensor([shape.adapters[prefix] for prefix in prefix_of], device=device)
            )
        self._inputs = torch.zeros(2, rows, dtype=torch.long, device=device)  # tokens and beam_idx
        self._start = torch.zeros(rows, 1, dtype=torch.long, device=device)  # prompt lengths
        # Index of the generated position that this step writes: the same for all rows.
        self._slot = torch.zeros(1, dtype=torch.long, device=device)
        self._bias = torch.zeros(rows, 1, 1, shape.prompt_capacity + shape.written_capacity, device=device)
        # Shared layers hold one prompt per B, the layers above one per S.
        below = PrefixGroups.of(prompt_of).to(device)
        above = PrefixGroups.of(prefix_of).to(device)
        self._layers = [
            StaticLayer(
                layer.keys,
                layer.values,
                shape,
                below if index < shape.num_shared_layers else above,
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
        """Compile the step with torch.compile."""
        self._compute = torch.compile(self._forward, backend=backend, dynamic=False)
        self._call()

    def record(self) -> None:
        """Record the step as a CUDA graph."""
        with torch.cuda.device(self._slot.device):
            warm_up = torch.cuda.Stream()
            warm_up.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm_up):
                # The set-up that libraries do at their first calls must not be recorded.
                for _ in range(3):
                    self._call()
            torch.cuda.current_stream().wait_stream(warm_up)
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
        self._start.copy_(prefill.mask.sum(dim=1)[self._prompt_of][:, None])
        length = prefill.mask.shape[1]
        # Everything masked but the real positions of the prompts; each step unmasks the slot that it writes.
        self._bias.fill_(-torch.inf)
        self._bias[..., :length].masked_fill_(prefill.mask[self._prompt_of][:, None, None], 0.0)

    def run(self, tokens: Sequence[int], beam_idx: Sequence[int]) -> Tensor:
        """Row ``i`` continues row ``beam_idx[i]`` by ``tokens[i]``; the logits [R, V] last until the next step."""
        self._inputs.copy_(torch.tensor([tokens, beam_idx]))
        if self._graph is None:
            return self._call()
        self._graph.replay()
        return self._logits

    @torch.no_grad()
    def _call(self) -> Tensor:
        with self._routing or nullcontext(), attending_to_shared_prompts(self._decoder):
            return self._compute()

    def _forward(self) -> Tensor:
        """The step that is compiled and recorded, inputs to logits: no control flow depends on their values."""
        tokens, beam_idx = self._inputs  # [2, R] -> [R], [R]
        for layer in self._layers:
            layer.reorder_cache(beam_idx)
        # Unmask the written slot in [R, 1, 1, prompt capacity + written capacity].
        self._bias.index_fill_(3, self._slot + self.shape.prompt_capacity, 0.0)
        output = self._model(
            input_ids=tokens[:, None],
            position_ids=self._start + self._slot,  # [R, 1] prompt lengths plus the tokens before
            past_key_values=self._cache,
            use_cache=True,
        )
        self._slot.add_(1)
        return output.logits[:, -1].float()


class StaticDecodeState:
    """Live rows, as in ``decode_state.DecodeState``, in the fixed row slots of a StaticStep."""

    can_join = False

    def __init__(self, step: StaticStep, prefill: Prefill) -> None:
        """Start with one row per prefix."""
        self._step = step
        step.load(prefill)
        step.in_use = True
        self._first_slot = [0, *accumulate(step.shape.rows)]  # of each prefix; at the end, the number of slots
        self._prefix_of = list(range(len(step.shape.rows)))  # of each live row
        self._slot_of = self._first_slot[:-1]  # of each live row

    def step(self, tokens: Sequence[int], beam_idx: Sequence[int]) -> Tensor:
        """Row ``i`` continues the former row ``beam_idx[i]`` by ``tokens[i]``; returns fp32 logits [rows, V]."""
        # A row stays within the slots of its prefix: its prompt and its adapter are wired to them.
        prefix_of = [self._prefix_of[row] for row in beam_idx]
        used: Counter[int] = Counter()
        slot_of = []
        for prefix in prefix_of:
            slot_of.append(self._first_slot[prefix] + used[prefix])
            used[prefix] += 1
        # Unused slots continue themselves with token 0.
        num_slots = self._first_slot[-1]
        all_beam_idx, all_tokens = list(range(num_slots)), [0] * num_slots
        for slot, row, token in zip(slot_of, beam_idx, tokens, strict=True):
            all_beam_idx[slot], all_tokens[slot] = self._slot_of[row], token
        self._prefix_of, self._slot_of = prefix_of, slot_of
        logits = self._step.run(all_tokens, all_beam_idx)  # [slots, V]
        return logits[torch.tensor(slot_of, device=logits.device)]  # [rows, V]

    def free(self) -> None:
        """Leave the step to the next decode; its buffers stay."""
        self._step.in_use = False
