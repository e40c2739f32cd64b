"""Memory of programs that compute in many threads."""

from __future__ import annotations

import ctypes
import sys
import threading
import time

# Of glibc's malloc.h.
_M_ARENA_MAX = -8


def share_arenas(count: int = 2) -> None:
    """Let all threads of this process allocate from so many arenas of glibc's malloc; elsewhere, nothing is changed.

    By default a thread has an arena of its own, up to eight for each core, and each arena keeps what the largest step
    that the thread ever computed took. To be called before the threads start.
    """
    # musl has no mallopt, and no arenas.
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, count)


def give_back_memory(every: float = 15.0) -> None:
    """Give unused pages back to the system, again and again, in the background; nothing where there is no glibc.

    Tensors of ever other sizes leave gaps in the arenas: unused, but held between others. By itself malloc gives back
    what is free at an arena's end only.

    Args:
        every: seconds between two times.
    """
    trim = _of_glibc("malloc_trim")
    if trim is None:
        return

    def give_back() -> None:
        while True:
            time.sleep(every)
            trim(0)

    threading.Thread(target=give_back, name="give-back-memory", daemon=True).start()


def _of_glibc(name: str) -> ctypes._CFuncPtr | None:
    """A function of the C library by its name, where it is Linux's and has one."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
