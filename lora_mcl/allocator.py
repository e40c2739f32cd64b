"""Memory of programs that compute in many threads."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_M_ARENA_MAX = -8


def share_arenas(count: int = 2) -> None:
    """Let all threads of this process allocate from so many arenas of glibc's malloc; elsewhere, nothing is changed.

    By default a thread has an arena of its own, up to eight for each core, and each arena keeps what the largest step
    that the thread ever computed took. To be called before the threads start.
    """
    if sys.platform != "linux":
        return
    # musl has no mallopt, and no arenas.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, count)
