"""Throughput and waiting time of the served page with many visitors, next to two other ways to serve the same models.

    python -m benchmarks.serve --save                 # and keep the results, in docs/serving.md too
    python -m benchmarks.serve --quick                # two visitors for 3 s: to see that it runs

    page     the page: visitors share the models' steps
    turns    the same page, but a model computes one comparison at a time (--max-rows 1)
    peft     a threaded HTTP server that runs PEFT's generate for one column after the other

All three run from the start to the end, each in a process of its own; for each number of visitors they are asked one
after the other, so that a slow moment of the machine meets them all. Visitors run on the same cores. Each asks again
and again, by HTTP, for captions of an example picture or sound; a tenth cancel after the first words, and one in
twenty closes the connection there. Every finished answer is compared with what the library writes for that file alone.

    comparisons_per_second   finished ones
    first_seconds, total_seconds   from the request, upload included, to the first words and to the end: p50 and p95
    wrong_columns            of ``columns`` in finished answers: other captions than the library's
    cpu_per_comparison       CPU seconds of the server's processes, for each finished comparison
    visitors_cpu_per_comparison    the same of the visitors, who run in this process
    memory_mib               resident memory of the server's processes together, least and most
    memory_growth            its median in the last third of the time over that in the middle third
    load_before              the machine's load average (1 minute) before: what else ran on it
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.serve_clients import QUEUE_FULL, Load, MediaFile, Visit
from benchmarks.serve_ways import WAYS, Server, serving
from lora_mcl import Captioner
from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE
from training.embedded.common.tables import filled, table
from training.paths import ASSETS, ROOT

RESULTS = ASSETS / "results" / "serve.json"
GUIDE = ROOT / "docs" / "serving.md"
CLIENTS = (1, 2, 4, 8, 16, 32)
# What is aimed at on 2 cores: throughput of 8 visitors against turns, p95 of 4 against one visitor's median, and how
# much memory may grow while 32 visit for minutes.
TIMES_TURNS, TIMES_ONE, MEMORY_GROWTH = 3.0, 2.5, 1.05


def media_of(image_bundle: str, audio_bundle: str, each: int) -> list[MediaFile]:
    """Example pictures and as many sounds, with the library's captions."""
    found = []
    for modality, source in (("image", image_bundle), ("audio", audio_bundle)):
        captioner = Captioner.load(source, device="cpu")
        entries = json.loads((ASSETS / "examples" / modality / "examples.json").read_text(encoding="utf-8"))
        for entry in entries[:each]:
            file = ASSETS / "examples" / modality / entry["file"]
            *_, last = captioner.compare(file)
            texts = {column.id: [caption.text for caption in column.captions] for column in last.columns}
            found.append(MediaFile(file, modality, texts))
    return found


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Median and 95th percentile (the least value that 95 % do not exceed); None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    p95 = ordered[-(-95 * len(ordered) // 100) - 1]
    return {"p50": round(statistics.median(ordered), 3), "p95": round(p95, 3)}


def summary(visits: Sequence[Visit], seconds: float, cpu_seconds: float, memory: Sequence[float]) -> dict[str, Any]:
    """One cell of the table."""
    done = [visit for visit in visits if visit.total is not None]
    errors = Counter(visit.error for visit in visits if visit.error)
    third = max(1, len(memory) // 3)
    return {
        "seconds": seconds,
        "comparisons": len(done),
        "comparisons_per_second": round(len(done) / seconds, 3),
        "cancelled": sum(visit.end == "cancel" and not visit.error for visit in visits),
        "vanished": sum(visit.end == "vanish" and not visit.error for visit in visits),
        "first_seconds": percentiles([visit.first for visit in visits if visit.first is not None]),
        "total_seconds": percentiles([visit.total for visit in done]),
        "columns": sum(visit.columns for visit in done),
        "wrong_columns": sum(visit.wrong for visit in done),
        "queue_full": errors.pop(QUEUE_FULL, 0),
        "errors": dict(errors),
        "cpu_per_comparison": round(cpu_seconds / max(1, len(done)), 3),
        "memory_mib": {"least": round(min(memory)), "most": round(max(memory))},
        "memory_growth": round(statistics.median(memory[-third:]) / statistics.median(memory[third : 2 * third]), 3)
        if len(memory) > 2 * third
        else None,
    }


@contextmanager
def sampled(read: Callable[[], float], every: float = 1.0) -> Iterator[list[float]]:
    """Values of a function, sampled while the block runs."""
    values, over = [read()], threading.Event()

    def sample() -> None:
        while not over.wait(every):
            values.append(read())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield values
    finally:
        over.set()
        thread.join()


def measure(server: Server, media: Sequence[MediaFile], clients: int, seconds: float) -> dict[str, Any]:
    """Measurements with a number of visitors at one server."""
    load = Load(server.api(), media)
    load_before = round(os.getloadavg()[0], 1)
    before, own_before = server.cpu_seconds(), time.process_time()
    with sampled(server.memory_mib) as memory:
        visits = asyncio.run(load.run(clients, seconds))
        used, own = server.cpu_seconds() - before, time.process_time() - own_before
    server.settle()
    cell = summary(visits, seconds, used, memory)
    of_visitors = round(own / max(1, cell["comparisons"]), 3)
    return {**cell, "visitors_cpu_per_comparison": of_visitors, "load_before": load_before}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All ways with all numbers of visitors."""
    media = media_of(args.image_model, args.audio_model, args.media)
    cells: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as logs:
        servers = [
            stack.enter_context(
                serving(way, args.image_model, args.audio_model, args.threads, Path(logs) / f"{way}.log")
            )
            for way in args.ways
        ]
        for server in servers:  # what is set up at the first request does not count
            for medium in (media[0], media[-1]):
                asyncio.run(Load(server.api(), [medium]).run(1, 0.1))
        for clients in args.clients:
            for server in servers:
                seconds = args.longest if clients == max(CLIENTS) and server.way == "page" else args.seconds
                cells.setdefault(str(clients), {})[server.way] = measure(server, media, clients, seconds)
                print(f"{clients} {server.way}: {cells[str(clients)][server.way]}", flush=True)
    return {
        "cores": os.cpu_count(),
        "threads": args.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "media": len(media),
        "visitors": cells,
    }


def targets(visitors: dict[str, dict[str, Any]]) -> str:
    """What is aimed at and what was found, as a Markdown table."""
    rows = []

    def aim(what: str, found: float | None, text: str, reached: bool) -> None:
        rows.append([what, "not measured" if found is None else text, "yes" if reached else "no"])

    if {"page", "turns"} <= set(visitors.get("8", {})):
        page, turns = (visitors["8"][way]["comparisons_per_second"] for way in ("page", "turns"))
        times = page / turns if turns else None
        aim(
            f"8 visitors: {TIMES_TURNS:g} times the throughput of turns",
            times,
            f"{times or 0:.2f}",
            page >= TIMES_TURNS * turns,
        )
    if {"1", "4"} <= set(visitors):
        one, four = visitors["1"]["page"]["total_seconds"], visitors["4"]["page"]["total_seconds"]
        times = four["p95"] / one["p50"] if one and four else None
        what = f"4 visitors: p95 at most {TIMES_ONE:g} times one visitor's median"
        aim(what, times, f"{times or 0:.2f}", times is not None and times <= TIMES_ONE)
    if "32" in visitors:
        cell = visitors["32"]["page"]
        growth = cell["memory_growth"]
        what = f"32 visitors for {cell['seconds']:g} s: memory grows by at most {MEMORY_GROWTH - 1:.0%}"
        aim(what, growth, f"{(growth or 1) - 1:.1%}", growth is not None and growth <= MEMORY_GROWTH)
    cells = [cell["page"] for cell in visitors.values()]
    wrong, errors = sum(c["wrong_columns"] for c in cells), sum(sum(c["errors"].values()) for c in cells)
    aim("no wrong column", wrong, f"{wrong} of {sum(c['columns'] for c in cells)}", wrong == 0)
    aim('no error but "queue full"', errors, f"{errors}", errors == 0)
    return table(["aim", "found", "reached"], rows)


def bound(visitors: dict[str, dict[str, Any]], cores: int) -> str:
    """What the cores allow, by the CPU time of a comparison; nothing without the cells that it is counted from."""
    if not {"1", "4", "8"} <= set(visitors) or "turns" not in visitors["8"]:
        return ""
    one, four, eight = (visitors[clients]["page"] for clients in ("1", "4", "8"))
    cost = {
        clients: cell["cpu_per_comparison"] + cell["visitors_cpu_per_comparison"]
        for clients, cell in (("1", one), ("4", four), ("8", eight))
    }
    most, turns = cores / cost["8"], visitors["8"]["turns"]["comparisons_per_second"]
    least = 4 * cost["4"] / cores
    return (
        f"What {cores} cores allow: a comparison takes {cost['1']:.2f} s of CPU with one visitor and {cost['8']:.2f} s "
        f"with 8, server and visitors together, cancelled comparisons included. So 8 visitors could get "
        f"{most:.1f} comparisons a second at most, {most / turns:.1f} times the throughput of turns, and 4 visitors "
        f"wait {least:.2f} s on average at least, {least / one['total_seconds']['p50']:.1f} times one visitor's median."
    )


def passage(results: dict[str, Any]) -> str:
    """The results as a passage of the guide."""
    rows = []
    for clients, by_way in results["visitors"].items():
        for way, cell in by_way.items():
            first, total = (
                cell[name] or {"p50": float("nan"), "p95": float("nan")} for name in ("first_seconds", "total_seconds")
            )
            rows.append(
                [
                    clients,
                    way,
                    f"{cell['comparisons_per_second']:.2f}",
                    f"{first['p50']:.2f} / {first['p95']:.2f}",
                    f"{total['p50']:.2f} / {total['p95']:.2f}",
                    f"{cell['cpu_per_comparison']:.2f}",
                    f"{cell['memory_mib']['most']}",
                    f"{cell['wrong_columns']} of {cell['columns']}",
                    str(sum(cell["errors"].values())),
                ]
            )
    loads = [cell["load_before"] for by_way in results["visitors"].values() for cell in by_way.values()]
    header = ["visitors", "way", "comparisons a second", "first words, p50 / p95 s", "done, p50 / p95 s"]
    header += ["CPU s each", "memory, MiB", "wrong columns", "errors"]
    return "\n".join(
        [
            f"On {results['cores']} cores, {results['threads']} threads for each server, visitors on the same cores; "
            f"the machine's load before each measurement was {min(loads):g} to {max(loads):g}.",
            "",
            targets(results["visitors"]),
            "",
            *([limits, ""] if (limits := bound(results["visitors"], results["cores"])) else []),
            table(header, rows),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), help="numbers of visitors")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seconds", type=float, default=40.0, help="for each number of visitors and way")
    parser.add_argument("--longest", type=float, default=180.0, help=f"for the page with {max(CLIENTS)} visitors")
    parser.add_argument("--media", type=int, default=4, help="how many example pictures, and sounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch in each server")
    parser.add_argument("--image-model", default=str(EMBEDDED_BUNDLE))
    parser.add_argument("--audio-model", default=str(EMBEDDED_AUDIO_BUNDLE))
    parser.add_argument("--quick", action="store_true", help="2 visitors for 3 s, one picture and one sound")
    parser.add_argument("--save", action="store_true", help="keep the results and write them into the guide")
    parser.add_argument("--out", type=Path, help="also write the results there, as JSON")
    args = parser.parse_args(argv)
    if args.quick:
        args.clients, args.seconds, args.media = [2], 3.0, 1
    results = run(args)
    print(passage(results))
    for file in ([RESULTS] if args.save else []) + ([args.out] if args.out else []):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if args.save:
        guide = GUIDE.read_text(encoding="utf-8")
        GUIDE.write_text(filled(guide, {"serve": passage(results)}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
