"""Measures of the benchmarks: median and range, peak memory, exclusive time by part."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn


def median_and_range(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Median, least and most."""
    chosen = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, digits) for name, value in chosen.items()}


def peak_memory(run: Callable[[], object], device: str = "cpu") -> tuple[int, int]:
    """Bytes in use at the peak of a call: above what was in use before it, and in all.

    Of the process' resident set on the CPU (needs Linux), of allocated memory on a GPU.
    """
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        peak = torch.cuda.max_memory_allocated()
        return peak - before, peak
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use now
    before = _resident("VmRSS")
    run()
    peak = _resident("VmHWM")
    return peak - before, peak


def _resident(name: str) -> int:
    """Bytes of the resident set, now ("VmRSS") or at its peak ("VmHWM")."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


class Stopwatch:
    """Exclusive wall-clock time of nested parts: a part's clock stops while a part inside it runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def start(self, part: str) -> None:
        """Enter a part."""
        self._switch()
        self._running.append(part)

    def stop(self) -> None:
        """Leave the part entered last."""
        self._switch()
        self._running.pop()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block as a part."""
        self.start(name)
        try:
            yield
        finally:
            self.stop()

    @contextmanager
    def watching(self, model: nn.Module, part_of: Callable[[str, nn.Module], str | None]) -> Iterator[None]:
        """Time every module's forward as the part that ``part_of(name, module)`` names, if it names one."""
        hooks = []
        for name, module in model.named_modules():
            if part := part_of(name, module):
                hooks.append(module.register_forward_pre_hook(lambda *_, part=part: self.start(part)))
                hooks.append(module.register_forward_hook(lambda *_: self.stop()))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
