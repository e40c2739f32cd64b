"""Threads of torch in programs that hold several models."""

from __future__ import annotations


def share_threads(models: int) -> None:
    """Divide torch's threads among models that compute at the same time, on the CPU.

    By default each model takes as many threads as there are cores. Two models then have twice as many, and a step,
    which is many short operations, waits at each for the thread that the system lets run last. To be called before
    the threads that compute are started.
    """
    # Not at the top: the page is served before torch is imported.
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // models))
