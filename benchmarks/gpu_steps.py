"""The cost of a decoding step, against the least time that reading the weights takes; for ``benchmarks.gpu``.

Two requests on a prompt of random embeddings: K = 3 hypotheses with beam 3 and diverse beam 3, which is 9 rows, and
K = 8. Nothing ends early: every step has all its rows. For each acceleration:

    ms_per_step         median, search and all, from one event to the next
    of_weight_bound     share of it that reading the language model's weights once would take
    of_memory_bound     the same with the adapters, the prompts and what the rows wrote
    plain_ms_per_step   a plain decode of as many rows, each with its own prompt: greedy, no adapters

The bandwidth behind the bounds is measured: a large copy, read and written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import BASE_ROW, AdapterSpec, AdapterStack
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Engine, EngineOptions, Greedy
from lora_mcl.decoding.shared_layers import decoder_layers, decoder_of
from lora_mcl.models import EncodedPrompt

ACCELERATIONS = ("off", "cuda-graph", "compile")
RANK = 8


def request_page(baseline: int) -> list[ColumnRequest]:
    """The page with K = 3: 9 rows."""
    return [
        *(ColumnRequest(f"hypothesis-{k}", k, Greedy()) for k in range(3)),
        ColumnRequest("beam", baseline, BeamSearch(3)),
        ColumnRequest("diverse-beam", baseline, DiverseBeamSearch(3, 3, 0.8)),
    ]


def request_hypotheses(baseline: int) -> list[ColumnRequest]:
    """K = 8 hypotheses."""
    return [ColumnRequest(f"hypothesis-{k}", k, Greedy()) for k in range(8)]


REQUESTS = {"K = 3, beam 3, diverse beam 3": request_page, "K = 8": request_hypotheses}


@contextmanager
def made_as(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Create parameters of this type on this device inside the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def bandwidth(device: torch.device, megabytes: int) -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        wait(device)
        started = time.perf_counter()
        target.copy_(source)
        wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * source.numel() / min(seconds)


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def num_bytes(*tensors: Tensor) -> int:
    """Bytes of these tensors together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True)
class BytesRead:
    """Bytes that one step reads at least: weights; and adapters, prompts, what the rows wrote (half of it)."""

    weights: int
    other: int

    @classmethod
    def of(cls, model: PreTrainedModel, stack: AdapterStack, requests: list[ColumnRequest], length: int, new: int):
        """Of a request on a prompt of ``length`` positions."""
        adapters = num_bytes(*stack.parameters())
        decoder, output = decoder_of(model), model.get_output_embeddings()
        weights = num_bytes(*decoder_layers(decoder).parameters(), *output.parameters()) - adapters
        sources = {request.adapter for request in requests}
        config = decoder.config
        position = (
            2
            * config.num_hidden_layers
            * config.num_key_value_heads
            * (config.hidden_size // config.num_attention_heads)
        )
        rows = sum(request.strategy.num_rows for request in requests)
        states = (len(sources) * length + rows * new // 2) * position * output.weight.element_size()
        return cls(weights, states + adapters * len(sources) // len(stack))


def decode_times(engine: Engine, prompt: EncodedPrompt, requests: list[ColumnRequest], new: int) -> tuple[float, float]:
    """Seconds of a prefill, and of a step (the median), after a decode that warms up, compiles and records."""
    device = prompt.inputs_embeds.device
    for _ in engine.decode(prompt, requests, max_new_tokens=new):
        pass
    wait(device)
    times = [time.perf_counter()]
    for _ in engine.decode(prompt, requests, max_new_tokens=new):
        # An event holds tokens, so what computed them is done.
        times.append(time.perf_counter())
    seconds = [later - earlier for earlier, later in pairwise(times)]
    # The first step after a prefill also takes over its states.
    return seconds[0], statistics.median(seconds[2:])


def measure(
    model: PreTrainedModel, positions: int, new_tokens: int, speed: float, kinds: tuple[str, ...]
) -> dict[str, Any]:
    """All requests at all accelerations on one model, which has no adapters yet; ``speed`` in bytes a second."""
    device, dtype = model.device, model.dtype
    cases: dict[str, Any] = {}
    for name, request in REQUESTS.items():
        requests = request(baseline=3)
        rows = sum(r.strategy.num_rows for r in requests)
        one = torch.randn(1, positions, decoder_of(model).config.hidden_size, device=device, dtype=dtype)
        prompt = EncodedPrompt(one, torch.ones(1, positions, dtype=torch.long, device=device))
        many = EncodedPrompt(one.expand(rows, -1, -1), prompt.attention_mask.expand(rows, -1))
        plain = [ColumnRequest(str(row), BASE_ROW, Greedy(), prompt=row) for row in range(rows)]
        cases[name] = {"rows": rows}
        for kind in kinds:
            options = EngineOptions(acceleration=kind)
            _, plain_step = decode_times(Engine(model, None, (), 0, options), many, plain, new_tokens)
            adapters = max(r.adapter for r in requests) + 1
            specs = [AdapterSpec(f"adapter-{k}", RANK, 2.0 * RANK) for k in range(adapters)]
            stack = AdapterStack.attach(model, specs, dtype=dtype)
            read = BytesRead.of(model, stack, requests, positions, new_tokens)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            engine = Engine(model, stack, (), 0, options)
            prefill, step = decode_times(engine, prompt, requests, new_tokens)
            peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
            cases[name][kind] = {
                "prefill_ms": round(1000 * prefill, 2),
                "ms_per_step": round(1000 * step, 3),
                "of_weight_bound": round(read.weights / speed / step, 5),
                "of_memory_bound": round((read.weights + read.other) / speed / step, 5),
                "plain_ms_per_step": round(1000 * plain_step, 3),
                "times_plain": round(step / plain_step, 3),
                "peak_gib": peak and round(peak, 2),
            }
            stack.detach()
            del engine
    return cases
