"""The cost of a decoding step on a GPU, against the least time that reading the weights takes.

    python -m benchmarks.decode_gpu --out assets/results/decode_gpu.json
    python -m benchmarks.decode_gpu --tiny          # the same on tiny models, on any device

Models of the shape of LLaVA-1.6-7B (a picture of 2,880 positions) and of Qwen2-Audio-7B (30 s of sound, 750 positions),
random weights, bfloat16. Two requests: K = 3 hypotheses with beam 3 and diverse beam 3, which is 9 rows, and K = 8.
Nothing ends early: every step has all its rows. For each acceleration:

    ms_per_step         median, search and all, from one event to the next
    of_weight_bound     share of it that reading the language model's weights once would take
    of_memory_bound     the same with the adapters, the prompts and what the rows wrote
    plain_ms_per_step   a plain decode of as many rows, each with its own prompt: greedy, no adapters

The bandwidth behind the bounds is measured: a large copy, read and written.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedModel,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
)

from lora_mcl.adapters import BASE_ROW, AdapterSpec, AdapterStack
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Engine, EngineOptions, Greedy
from lora_mcl.decoding.shared_layers import decoder_layers, decoder_of
from lora_mcl.models import EncodedPrompt

ACCELERATIONS = ("off", "cuda-graph", "compile")
RANK = 8


@dataclass(frozen=True)
class ModelShape:
    """The size of the models and of a request."""

    hidden: int = 4096
    intermediate: int = 11_008
    layers: int = 32
    heads: int = 32
    image_vocabulary: int = 32_064
    audio_vocabulary: int = 156_032
    image_positions: int = 2_880 + 32
    audio_positions: int = 750 + 32
    new_tokens: int = 64

    def text(self, vocabulary: int) -> dict[str, Any]:
        """Fields of the language model's configuration."""
        return {
            "vocab_size": vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "max_position_embeddings": 4096,
            "bos_token_id": None,
            "eos_token_id": None,
        }


TINY = ModelShape(64, 96, 2, 2, 128, 160, 24, 12, 6)
# The media towers take no part in a step: they are kept small.
_CLIP = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
_WHISPER = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}


def image_model(size: ModelShape) -> PreTrainedModel:
    """LLaVA-1.6's shape, but for the tower."""
    text = LlamaConfig(**size.text(size.image_vocabulary))
    vision = CLIPVisionConfig(**_CLIP, image_size=28, patch_size=14)
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=size.image_vocabulary - 1,
        image_grid_pinpoints=[[28, 28]],
    )
    return LlavaNextForConditionalGeneration(config)


def audio_model(size: ModelShape) -> PreTrainedModel:
    """Qwen2-Audio's shape, but for the tower."""
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(**_WHISPER),
        text_config=Qwen2Config(**size.text(size.audio_vocabulary)),
        audio_token_index=size.audio_vocabulary - 1,
    )
    return Qwen2AudioForConditionalGeneration(config)


MODELS = {"llava-1.6-7b": image_model, "qwen2-audio-7b": audio_model}


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
class Reading:
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
    model: PreTrainedModel, positions: int, size: ModelShape, speed: float, kinds: tuple[str, ...]
) -> dict[str, Any]:
    """All requests at all accelerations on one model."""
    device, dtype = model.device, model.dtype
    cases: dict[str, Any] = {}
    for name, request in REQUESTS.items():
        requests = request(baseline=3)
        rows = sum(r.strategy.num_rows for r in requests)
        one = torch.randn(1, positions, size.hidden, device=device, dtype=dtype)
        prompt = EncodedPrompt(one, torch.ones(1, positions, dtype=torch.long, device=device))
        many = EncodedPrompt(one.expand(rows, -1, -1), prompt.attention_mask.expand(rows, -1))
        plain = [ColumnRequest(str(row), BASE_ROW, Greedy(), prompt=row) for row in range(rows)]
        cases[name] = {"rows": rows}
        for kind in kinds:
            options = EngineOptions(acceleration=kind)
            _, plain_step = decode_times(Engine(model, None, (), 0, options), many, plain, size.new_tokens)
            adapters = max(r.adapter for r in requests) + 1
            specs = [AdapterSpec(f"adapter-{k}", RANK, 2.0 * RANK) for k in range(adapters)]
            stack = AdapterStack.attach(model, specs, dtype=dtype)
            reading = Reading.of(model, stack, requests, positions, size.new_tokens)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            engine = Engine(model, stack, (), 0, options)
            prefill, step = decode_times(engine, prompt, requests, size.new_tokens)
            peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
            cases[name][kind] = {
                "prefill_ms": round(1000 * prefill, 2),
                "ms_per_step": round(1000 * step, 3),
                "of_weight_bound": round(reading.weights / speed / step, 5),
                "of_memory_bound": round((reading.weights + reading.other) / speed / step, 5),
                "plain_ms_per_step": round(1000 * plain_step, 3),
                "times_plain": round(step / plain_step, 3),
                "peak_gib": peak and round(peak, 2),
            }
            stack.detach()
            del engine
    return cases


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| model | request | acceleration | prefill, ms | ms a step | of weight bound | of memory bound | times plain "
        "| peak, GiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, cases in results["models"].items():
        for name, case in cases.items():
            for kind in results["accelerations"]:
                row = case[kind]
                lines.append(
                    f"| {model} | {name} | {kind} | {row['prefill_ms']:.0f} | {row['ms_per_step']:.2f} "
                    f"| {row['of_weight_bound']:.0%} | {row['of_memory_bound']:.0%} | {row['times_plain']:.2f} "
                    f"| {row['peak_gib'] or '–'} |"
                )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 2 where there is no GPU for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--accelerations", nargs="+", choices=("static", *ACCELERATIONS), default=list(ACCELERATIONS))
    parser.add_argument("--tiny", action="store_true", help="tiny models: to see that it runs, on a CPU too")
    parser.add_argument("--out", type=Path, help="also write the results there, as JSON")
    args = parser.parse_args(argv)
    if not args.tiny and not torch.cuda.is_available():
        print("There is no CUDA device. --tiny runs the same on tiny models, on the CPU.")
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = TINY if args.tiny else ModelShape()
    speed = bandwidth(device, 16 if args.tiny else 2048)
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "bandwidth_gb_per_second": round(speed / 1e9, 1),
        "torch": torch.__version__,
        "new_tokens": size.new_tokens,
        "accelerations": args.accelerations,
        "models": {},
    }
    for name in args.models:
        torch.manual_seed(0)
        with made_as(torch.bfloat16, device):
            model = MODELS[name](size).eval().requires_grad_(False)
        positions = size.image_positions if name.startswith("llava") else size.audio_positions
        results["models"][name] = measure(model, positions, size, speed, tuple(args.accelerations))
        del model
    print(table(results))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
