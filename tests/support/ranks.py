"""Processes that train together, as torchrun starts them, but forked from one that has imported all libraries.

Importing them takes each process ten times as long as the few steps that a test trains.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing import connection, get_context
from pathlib import Path

import pytest
from torch.distributed import TCPStore

SECONDS = 600  # a busy machine is slow, not wrong


def run_ranks(
    folder: Path, train: Callable[..., None], *arguments: object, given: Mapping[str, str] | None = None, count: int = 2
) -> str:
    """What ``count`` processes print that call a function of a module; fails where one of them does.

    Args:
        folder: for what each process prints.
        given: further environment variables.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([train.__module__])
    # As torchrun's agent does, this process holds the store in which they find one another.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = {
        **(given or {}),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
    }
    files = [folder / f"rank-{rank}.txt" for rank in range(count)]
    ranks = [
        context.Process(
            target=_run, args=(file, environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, train, arguments)
        )
        for rank, file in enumerate(files)
    ]
    for rank in ranks:
        rank.start()
    try:
        waiting = {rank.sentinel: rank for rank in ranks}
        while waiting:
            ended = connection.wait(waiting, SECONDS)
            codes = [waiting.pop(sentinel).exitcode for sentinel in ended]
            if not ended or any(codes):
                printed = "\n".join(file.read_text()[-4000:] for file in files if file.exists())
                pytest.fail(f"exit codes {codes} (none: not over after {SECONDS} s)\n{printed}")
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
    return "".join(file.read_text() for file in files)


def _run(file: Path, environment: dict[str, str], train: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.environ.update(environment)
    with file.open("w") as printed:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(printed.fileno(), stream.fileno())
    try:
        train(*arguments)
    finally:
        sys.stdout.flush()
