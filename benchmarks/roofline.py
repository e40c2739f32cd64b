"""Estimated cost of a training step at a model's true shape, by counting operations and bytes; not a measurement.

    python -m benchmarks.roofline                       # assets/results/train_7b.json

Counted are floating point operations and bytes of one step; time is the larger of operations over the GPU's usable
peak and bytes over its bandwidth. The usable share of the peak and the GPU are assumptions, recorded in the results.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lora_mcl.trainer.step import Backward
from training.paths import ASSETS

RESULTS = ASSETS / "results" / "train_7b.json"
GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU: dense bfloat16 peak in operations a second, memory bandwidth in bytes a second, and the share of the peak
    that a training step of large matrix products reaches (assumed)."""

    name: str = "NVIDIA H100 SXM"
    peak: float = 989e12
    bandwidth: float = 3.35e12
    usable: float = 0.4


@dataclass(frozen=True)
class Workload:
    """A language model, the length of an example, and its adapters.

    Attributes:
        layers, hidden, intermediate, key_value, vocab: of the decoder; ``key_value`` is the width of keys and values.
        prompt, caption: positions of an example.
        rank, modules: of the adapters, and how many of a layer's seven linear maps carry them (the first ones of q, k,
            v, up, down, o, gate).
        tower_weights: of the media tower and projector.
        tower_operations: of a forward pass of the tower, if it carries adapters and so runs once per hypothesis.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    key_value: int
    vocab: int
    prompt: int
    caption: int = 24
    rank: int = 8
    modules: int = 7
    tower_weights: int = 0
    tower_operations: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt + self.caption

    def linears(self) -> list[tuple[int, int]]:
        """(in, out) of a layer's linear maps, in the order of ``modules``."""
        hidden, wide = self.hidden, self.intermediate
        maps = [(hidden, hidden), (hidden, self.key_value), (hidden, self.key_value), (hidden, wide), (wide, hidden)]
        return [*maps, (hidden, hidden), (hidden, wide)]

    @property
    def weights(self) -> int:
        """Of the model, embeddings and output layer included."""
        decoder = self.layers * sum(i * o for i, o in self.linears()) + 2 * self.vocab * self.hidden
        return decoder + self.tower_weights

    @property
    def adapter_weights(self) -> int:
        """Of one hypothesis, on the language model."""
        return self.layers * self.rank * sum(i + o for i, o in self.linears()[: self.modules])

    def forward(self) -> float:
        """Operations of one row's forward: 2 per weight and position, attention, output layer where captions are."""
        linear = 2 * self.tokens * (self.layers * sum(i * o for i, o in self.linears()) + self.adapter_weights)
        attention = 2 * self.layers * self.tokens**2 * self.hidden  # causal: half of 4 T^2 d
        return linear + attention + 2 * (self.caption + 1) * self.vocab * self.hidden + self.tower_operations

    def backward(self) -> float:
        """Gradients of activations cost another forward; the frozen weights have none, the adapters do."""
        return self.forward() + 2 * self.tokens * self.adapter_weights


# llava-v1.6-vicuna-7b on a photograph of 3 to 2 (overview and four tiles of 336 pixels, padding cut: about 2,160
# positions; the paper's runs see one padded tile, 576), Qwen2-Audio-7B on 10 seconds (250 positions) and 30 (750), each
# with some 40 positions of instruction. Adapters as in the paper: its audio runs have some on the tower,
# Whisper-large's encoder (32 layers of 1280 channels on 1500 positions).
_WHISPER = {
    "tower_weights": 32 * (4 * 1280**2 + 2 * 1280 * 5120),
    "tower_operations": 32 * (2 * 1500 * (4 * 1280**2 + 2 * 1280 * 5120) + 4 * 1500**2 * 1280),
}
SHAPES = (
    Workload(
        "LLaVA-1.6-vicuna-7B, TextCaps",
        32,
        4096,
        11008,
        4096,
        32_064,
        prompt=2160 + 40,
        tower_weights=324_000_000,
    ),
    Workload("Qwen2-Audio-7B, AudioCaps", 32, 4096, 11008, 4096, 156_032, prompt=250 + 40, modules=5, **_WHISPER),
    Workload("Qwen2-Audio-7B, Clotho", 32, 4096, 11008, 4096, 156_032, prompt=750 + 40, modules=5, **_WHISPER),
)


def step(
    shape: Workload, gpu: Gpu, hypotheses: int, backward: Backward, batch: int, checkpointing: bool
) -> dict[str, Any]:
    """One step: operations, seconds, positions a second, memory in GiB. Positions are counted once for any K.

    A tower without adapters is left out: it runs once per example, forward only, or comes from the cache.
    """
    forward, again = shape.forward(), shape.backward() + (shape.forward() if checkpointing else 0)
    if backward == "all" or hypotheses == 1:
        operations, rows = hypotheses * batch * (forward + again), hypotheses * batch
    else:
        operations, rows = batch * (hypotheses * forward + forward + again), batch
    trained = hypotheses * shape.adapter_weights
    # Every pass reads the weights; the optimizer reads and writes adapters, gradients and two moments in float32.
    moved = 2 * shape.weights * (2 + checkpointing) + 4 * trained * 8
    seconds = max(operations / (gpu.peak * gpu.usable), moved / gpu.bandwidth)
    # With checkpoints a layer keeps its input (bfloat16), and one layer at a time some 10 times that and its MLP.
    inside = 2 * rows * shape.tokens * (10 * shape.hidden + 4 * shape.intermediate)
    kept = 2 * rows * shape.tokens * shape.hidden * shape.layers + inside if checkpointing else inside * shape.layers
    logits = 3 * 4 * rows * (shape.caption + 1) * shape.vocab
    memory = 2 * shape.weights + 16 * trained + kept + logits
    return {
        "hypotheses": hypotheses,
        "backward": backward,
        "batch": batch,
        "checkpoint_activations": checkpointing,
        "tera_operations": round(operations / 1e12, 1),
        "seconds": round(seconds, 3),
        "positions_per_second": round(batch * shape.tokens / seconds),
        "memory_gib": round(memory / GIB, 1),
        "limited_by": "compute" if operations / (gpu.peak * gpu.usable) > moved / gpu.bandwidth else "bandwidth",
    }


def estimate(gpu: Gpu, batch: int) -> dict[str, Any]:
    """All shapes: LoRA-MLE of the same batch, then K = 3 and 5 by each way, with their ratios to it."""
    runs = []
    for shape in SHAPES:
        base = step(shape, gpu, 1, "all", batch, checkpointing=True)
        rows = [base | {"method": "LoRA-MLE", "ratio": 1.0}]
        for hypotheses in (3, 5):
            for way in ("all", "sampled", "winner"):
                row = step(shape, gpu, hypotheses, way, batch, checkpointing=True)
                rows.append(row | {"method": "LoRA-MCL", "ratio": round(row["seconds"] / base["seconds"], 2)})
        facts = {"weights": shape.weights, "weights_per_hypothesis": shape.adapter_weights}
        runs.append({"shape": asdict(shape) | facts, "steps": rows})
    return {
        "estimate": True,
        "measured": False,
        "note": "Counted, not measured: no GPU was at hand. See benchmarks/roofline.py for the formulas.",
        "gpu": asdict(gpu),
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--usable", type=float, default=Gpu().usable, help="share of the peak that is reached")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    report = estimate(replace(Gpu(), usable=args.usable), args.batch)
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for run in report["runs"]:
        print(run["shape"]["name"], f"(estimate, {report['gpu']['name']})")
        for row in run["steps"]:
            print(
                f"  {row['method']} K={row['hypotheses']} {row['backward']:8}{row['seconds']:8.3f} s  "
                f"x{row['ratio']:<5} {row['positions_per_second']:>7,} positions/s {row['memory_gib']:6.1f} GiB"
            )


if __name__ == "__main__":
    main()
