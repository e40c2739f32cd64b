"""Estimated comparisons a second on a GPU at 7B shape, and what a thousand a second take; counted, not measured.

    python -m benchmarks.serve_estimate        # assets/results/serve_7b.json, and the table in docs/serving.md

A comparison is K = 3 hypotheses (greedy), beam 3 and diverse beam 3 on a baseline adapter: 4 prefixes of the prompt
(one for each adapter), 9 rows, and a caption in each. Counted are the operations of the prefills, the bytes that a step
reads (weights once for all visitors; each visitor's keys and values once for each prefix), and the cache, which bounds
how many visitors fit. A tower without adapters is left out. The GPU, the share of its peak that a prefill reaches, the
share of its bandwidth that a step reaches and the price are assumptions, recorded in the results.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.roofline import SHAPES, Gpu, Workload
from training.embedded.common.tables import filled, table
from training.paths import ASSETS, ROOT

RESULTS = ASSETS / "results" / "serve_7b.json"
GUIDE = ROOT / "docs" / "serving.md"
PREFIXES, ROWS = 4, 9
AIM = 1000  # comparisons a second


@dataclass(frozen=True)
class Assumptions:
    """What is not counted but assumed.

    Attributes:
        memory: of the GPU, in bytes; ``reserved`` of it for activations and fragmentation.
        bandwidth_share: of the memory bandwidth that a step reaches.
        dollars_per_hour: of a GPU.
        page_per_second: comparisons a second that one process of the page serves.
    """

    memory: float = 80e9
    reserved: float = 8e9
    bandwidth_share: float = 0.6
    dollars_per_hour: float = 3.0
    page_per_second: float = 20.0


def position_bytes(shape: Workload) -> int:
    """Keys and values of one position in all layers, bfloat16."""
    return 2 * shape.layers * shape.key_value * 2


def estimate(shape: Workload, gpu: Gpu, assumed: Assumptions) -> dict[str, Any]:
    """One model on one GPU, with as many visitors as its memory holds."""
    weights = 2 * (shape.weights + 4 * shape.adapter_weights)
    cache = position_bytes(shape) * (PREFIXES * shape.prompt + ROWS * shape.caption)
    visitors = max(0, math.floor((assumed.memory - assumed.reserved - weights) / cache))
    decoder = sum(i * o for i, o in shape.linears()) * shape.layers + shape.adapter_weights
    # Of each prefix: 2 operations for each weight and position, and causal attention; the tower once, and 4 times if it
    # carries adapters.
    prefill = PREFIXES * (2 * shape.prompt * decoder + 2 * shape.layers * shape.prompt**2 * shape.hidden)
    prefill += PREFIXES * shape.tower_operations
    prefill_seconds = prefill / (gpu.peak * gpu.usable)
    # On the average the rows have written half of their captions.
    read = weights + visitors * position_bytes(shape) * (PREFIXES * shape.prompt + ROWS * shape.caption / 2)
    step_seconds = read / (gpu.bandwidth * assumed.bandwidth_share)
    per_comparison = prefill_seconds + shape.caption * step_seconds / max(1, visitors)
    per_second = 1 / per_comparison if visitors else 0.0
    gpus = math.ceil(AIM / per_second) if per_second else None
    return {
        "cache_gb": round(cache / 1e9, 2),
        "visitors": visitors,
        "prefill_ms": round(1000 * prefill_seconds, 1),
        "ms_per_step": round(1000 * step_seconds, 1),
        "prefill_share": round(prefill_seconds / per_comparison, 2),
        "comparisons_per_second": round(per_second, 1),
        "seconds_each": round(visitors * per_comparison, 1),
        "gpus": gpus,
        "dollars_per_1000": round(1000 * assumed.dollars_per_hour / 3600 / per_second, 2) if per_second else None,
    }


def report(gpu: Gpu, assumed: Assumptions) -> dict[str, Any]:
    """All shapes."""
    return {
        "estimate": True,
        "measured": False,
        "gpu": asdict(gpu),
        "assumed": asdict(assumed),
        "aim": AIM,
        "page_processes": math.ceil(AIM / assumed.page_per_second),
        "models": {shape.name: estimate(shape, gpu, assumed) for shape in SHAPES},
    }


def passage(results: dict[str, Any]) -> str:
    """The results as a passage of the guide."""
    gpu, assumed = results["gpu"], results["assumed"]
    rows = [
        [
            name,
            f"{found['cache_gb']:.2f}",
            f"{found['visitors']}",
            f"{found['prefill_ms']:.0f} ({found['prefill_share']:.0%} of the time)",
            f"{found['ms_per_step']:.0f}",
            f"{found['comparisons_per_second']:.1f}",
            f"{found['seconds_each']:.1f}",
            f"{found['gpus']:,}",
            f"{found['dollars_per_1000']:.2f}",
        ]
        for name, found in results["models"].items()
    ]
    header = ["model", "cache each, GB", "visitors that fit", "prefill each, ms", "ms a step", "comparisons a second"]
    header += ["s each when full", f"GPUs for {results['aim']:,} a second", "$ for 1,000"]
    return "\n".join(
        [
            f"Counted for one {gpu['name']} of {assumed['memory'] / 1e9:g} GB, not measured; assumed are "
            f"{gpu['usable']:.0%} of its peak in prefills, {assumed['bandwidth_share']:.0%} of its bandwidth in steps "
            f"and ${assumed['dollars_per_hour']:g} an hour.",
            "",
            table(header, rows),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    results = report(Gpu(), Assumptions())
    args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    guide = GUIDE.read_text(encoding="utf-8")
    GUIDE.write_text(filled(guide, {"serve_7b": passage(results)}), encoding="utf-8")
    print(passage(results))


if __name__ == "__main__":
    main()
