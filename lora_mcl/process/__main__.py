"""The process of a ProcessCaptioner: loads a bundle and answers calls, until its caller is gone.

python -m lora_mcl.process FD          # started by lora_mcl.process.captioner, which holds the pipe's other end
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from typing import Any

from lora_mcl.allocator import give_back_memory, share_arenas
from lora_mcl.audio import warm_up
from lora_mcl.bundle import Bundle
from lora_mcl.errors import LoraMclError, without_message
from lora_mcl.threads import share_threads
from lora_mcl.types import CaptionSource

logger = logging.getLogger(__name__)

# A thread waits for each running call; the model's scheduler decides which of them compute.
_MAX_CALLS = 1_000


class Calls:
    """The calls that run, and the way back to their callers."""

    def __init__(self, captioner: CaptionSource, connection: Connection) -> None:
        self._captioner = captioner
        self._connection = connection
        self._sending = threading.Lock()
        # Threads are used again before another is started.
        self._threads = ThreadPoolExecutor(_MAX_CALLS, thread_name_prefix="call")
        self._stops: dict[int, threading.Event] = {}

    @property
    def running(self) -> int:
        """How many calls are not over."""
        return len(self._stops)

    def receive(self) -> None:
        """Take calls until the caller is gone; then every call is stopped."""
        try:
            while True:
                number, method, arguments = self._connection.recv()
                if method == "stop":
                    if stop := self._stops.get(number):
                        stop.set()
                else:
                    self._stops[number] = threading.Event()
                    self._threads.submit(self._run, number, method, arguments)
        except (EOFError, OSError):
            for stop in list(self._stops.values()):
                stop.set()

    def _run(self, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        stop = self._stops[number]
        try:
            if method == "compare":
                media, options, start = arguments
                snapshots = self._captioner.compare(media, options, start=start, should_stop=stop.is_set)
                self._send(number, "item", None)
                with closing(snapshots):
                    for comparison in snapshots:
                        self._send(number, "item", comparison)
            elif method == "score":
                media, caption, start = arguments
                self._send(number, "item", self._captioner.score(media, caption, start=start))
            else:
                self._send(number, "item", self._captioner.audio_view(*arguments))
            self._send(number, "end", None)
        except LoraMclError as error:
            self._send(number, "error", error)
        except Exception as error:
            # Its message may quote a caption or a file, and its type may not be known to the caller.
            logger.error("Unexpected %s", without_message(error))
            self._send(number, "error", RuntimeError(f"unexpected {type(error).__name__} in the model's process"))
        finally:
            del self._stops[number]

    def _send(self, number: int, kind: str, value: Any) -> None:
        with self._sending, suppress(OSError):  # the caller is gone; ``receive`` stops everything
            self._connection.send((number, kind, value))


def main() -> int:
    """Load the bundle that arrives first, then answer calls."""
    # Of Ctrl+C in a terminal every process gets a signal; this one ends when its caller does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    share_arenas()
    connection = Connection(int(sys.argv[1]))
    try:
        bundle, options, models = connection.recv()
    except (EOFError, OSError):  # the caller ended before it sent them
        return 0
    share_threads(models)
    try:
        captioner = load(bundle, options)
    except LoraMclError as error:
        with suppress(OSError):  # the caller ended while the model was loaded; so below
            connection.send(error)
        return 1
    give_back_memory()
    with suppress(OSError):
        connection.send(None)
    if bundle.modality == "audio":
        warm_up()  # last: the resampler takes seconds to import
    Calls(captioner, connection).receive()
    return 0


def load(bundle: Bundle, options: dict[str, Any]) -> CaptionSource:
    """The captioner, with options of ``Captioner.load``; ``dtype`` by its name."""
    import torch

    from lora_mcl.captioner import Captioner

    dtype = options.get("dtype")
    return Captioner.load(bundle, **{**options, "dtype": None if dtype is None else getattr(torch, dtype)})


if __name__ == "__main__":
    sys.exit(main())
