"""Stands in for the ``spaces`` package on ZeroGPU: one process, but all that crosses is a copy, as between two.

Writes a line for each lease to the file that the variable ``FAKE_LEASES`` names: the seconds asked for, and whether
there was a visitor's request to charge them to.
"""

import os
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from multiprocessing import Pipe
from typing import Any

from gradio.context import LocalContext


def gradio_auto_wrap(task: Any) -> Any:
    """What Gradio asks of the package for every handler."""
    return task


def GPU(*, duration: Callable[..., int]) -> Callable[..., Any]:
    """Decorate a function or generator function like ``spaces.GPU``."""

    def decorate(task: Callable[..., Any]) -> Callable[..., Any]:
        def lease(args: Any, kwargs: Any) -> None:
            charged = LocalContext.request.get(None) is not None
            with open(os.environ["FAKE_LEASES"], "a", encoding="utf-8") as leases:
                leases.write(f"{duration(*args, **kwargs)} {charged}\n")

        @wraps(task)
        def leased(*args: Any, **kwargs: Any) -> Any:
            lease(args, kwargs)
            args, kwargs = _copied((args, kwargs))
            return _copied(task(*args, **kwargs))

        @wraps(task)
        def leased_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            lease(args, kwargs)
            args, kwargs = _copied((args, kwargs))
            for value in task(*args, **kwargs):
                yield _copied(value)

        return leased_generator if isgeneratorfunction(task) else leased

    return decorate


def _copied(value: Any) -> Any:
    received, sent = Pipe(duplex=False)
    sent.send(value)
    return received.recv()
