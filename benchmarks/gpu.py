"""Every check of the library on a GPU, in one run.

    python -m benchmarks.gpu --minutes 12                             # random weights, assets/results/gpu.json
    python -m benchmarks.gpu --base llava-hf/llava-v1.6-vicuna-7b-hf  # published weights where they are given
    python -m benchmarks.gpu --tiny                                   # the same on tiny models, on the CPU

Models of LLaVA-1.6-vicuna-7B's and Qwen2-Audio-7B-Instruct's true shape (``benchmarks.gpu_models``), written to disk
and loaded through a bundle in bfloat16. The parts, most important first:

    load and caption   seconds and memory of loading; the first and the second request of K = 3, beam 3, diverse beam 3
    steps              prefill, ms a step and share of the memory bandwidth, K = 3 with both baselines and K = 8, with
                       and without CUDA graphs, next to a plain decode of as many rows (``benchmarks.gpu_steps``)
    visitors           1, 4 and 16 requests at a time, which share steps
    training           a step at K = 3 and 5 for each ``backward``, next to plain LoRA
    4 bits             the language model held in 4 bits

A part is skipped where the time or the memory left is less than it needs, with the reason in the results; one that
fails leaves its message, and the others go on. Every part has its peak memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.gpu_models import PUBLISHED, TINY
from benchmarks.gpu_parts import GpuRun, Part, Report, Skipped, collect, modality_of_base
from lora_mcl.errors import BundleError
from training.embedded.common.tables import table
from training.paths import ASSETS

RESULTS = ASSETS / "results" / "gpu.json"


def run_parts(parts: Sequence[Part], seconds: float, device: torch.device, tiny: bool = False) -> dict[str, Report]:
    """The results of the parts that there was time and memory for, and the reason for each of the others.

    Args:
        seconds: for all of them.
        tiny: the models are small: what a part needs at 7B shape is not looked at.
    """
    until = time.monotonic() + seconds
    results: dict[str, Report] = {}
    for part in parts:
        left = until - time.monotonic()
        if left <= 0 or (not tiny and part.seconds > left):
            results[part.name] = {"skipped": f"needs about {part.seconds:.0f} s, {max(0.0, left):.0f} s were left"}
            continue
        free = free_gib(device)
        if not tiny and free is not None and part.gib > free:
            results[part.name] = {"skipped": f"needs about {part.gib:.0f} GiB, {free:.0f} GiB were free"}
            continue
        print(f"{part.name} …", flush=True)
        results[part.name] = _run(part.run, device)
        print(f"  {results[part.name]}", flush=True)
        collect()
    return results


def _run(run: Callable[[], Report], device: torch.device) -> Report:
    started = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        found = run()
    except Skipped as reason:
        return {"skipped": str(reason)}
    except torch.OutOfMemoryError as error:
        return {"skipped": f"out of memory: {str(error).splitlines()[0]}"}
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    peak = round(torch.cuda.max_memory_allocated(device) / 2**30, 2) if device.type == "cuda" else None
    return {**found, "peak_gib": peak, "seconds": round(time.perf_counter() - started, 1)}


def free_gib(device: torch.device) -> float | None:
    """GiB that the GPU can give to this process; None on the CPU."""
    if device.type == "cpu":
        return None
    collect()
    free, _ = torch.cuda.mem_get_info(device)
    # What PyTorch has set aside and does not use, this process can use; what it uses is freed by the next part.
    return (free + torch.cuda.memory_reserved(device)) / 2**30


def report(results: dict[str, Any]) -> str:
    """The results as Markdown tables: parts, then steps."""
    rows = []
    for name, found in results["parts"].items():
        outcome = found.get("skipped") and f"skipped: {found['skipped']}"
        outcome = outcome or (found.get("failed") and f"failed: {found['failed']}") or _outcome(found)
        rows.append([name, outcome, f"{found.get('peak_gib') or '–'}"])
    tables = [table(["part", "found", "peak, GiB"], rows)]
    header = ["model", "request", "acceleration", "prefill, ms", "ms a step", "of weight bound", "of memory bound"]
    steps = []
    for name, found in results["parts"].items():
        for request, case in found.items() if name.endswith("steps") else ():
            for kind, row in case.items() if isinstance(case, dict) else ():
                if isinstance(row, dict):
                    bounds = (f"{row['of_weight_bound']:.0%}", f"{row['of_memory_bound']:.0%}")
                    times = (f"{row['prefill_ms']:.0f}", f"{row['ms_per_step']:.2f}")
                    steps.append([name.removesuffix(", steps"), request, kind, *times, *bounds])
    return "\n\n".join([*tables, *([table(header, steps)] if steps else [])])


def _outcome(found: Report) -> str:
    """The figures of a part in a few words."""
    if "gb_per_second" in found:
        return f"{found['gb_per_second']:g} GB/s"
    if "second_request" in found:
        request = found["second_request"]
        return f"first token {request['first_token_seconds']:.2f} s, {request['ms_per_token']:.1f} ms a token"
    if "ms" in found:
        return f"{found['ms']:.0f} ms"
    if "1" in found:
        pairs = ((count, case["comparisons_per_second"]) for count, case in found.items() if isinstance(case, dict))
        return ", ".join(f"{count}: {speed:.2f} comparisons/s" for count, speed in pairs)
    return "see below"


def main(argv: list[str] | None = None) -> int:
    """Run the checks; 2 where there is no GPU for it or a base cannot be used, 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="in all; parts that need more are skipped")
    parser.add_argument("--base", action="append", default=[], metavar="HUB_ID", help="published weights; repeatable")
    parser.add_argument("--tiny", action="store_true", help="tiny models, on the CPU: to see that it runs")
    parser.add_argument("--folder", type=Path, help="where models are written, 32 GB (default: a temporary folder)")
    parser.add_argument("--out", type=Path, help=f"of the results (default on a GPU: {RESULTS.name} in assets/results)")
    args = parser.parse_args(argv)
    if args.minutes <= 0:
        parser.error(f"--minutes must be a positive number, not {args.minutes:g}")
    if not args.tiny and not torch.cuda.is_available():
        print("There is no CUDA device. --tiny runs the same on tiny models, on the CPU.")
        return 2
    device, shapes = (torch.device("cpu"), TINY) if args.tiny else (torch.device("cuda"), PUBLISHED)
    try:
        bases = {modality_of_base(base): base for base in args.base}
    except BundleError as error:
        print(f"benchmarks.gpu: {error}")
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        gpu_run = GpuRun(device, dict(shapes), Path(folder), bases, args.tiny)
        parts = run_parts(gpu_run.parts(), 60 * args.minutes, device, args.tiny)
        gpu_run.close()
    results = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "memory_gib": round(torch.cuda.get_device_properties(device).total_memory / 2**30)
        if device.type == "cuda"
        else None,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tiny": args.tiny,
        "weights": {modality: bases.get(modality, "random") for modality in shapes},
        "minutes": round((time.monotonic() - started) / 60, 1),
        "parts": parts,
    }
    print(report(results))
    # A tiny run measures no GPU: it is kept only where that is asked for.
    out = args.out or (None if args.tiny else RESULTS)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 1 if any("failed" in found for found in parts.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
