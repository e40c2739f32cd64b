"""Arenas of the C library's allocator that many threads use."""

import subprocess
import sys
import threading

import pytest

from lora_mcl.allocator import give_back_memory, share_arenas

# Eight threads that hold memory at the same time; glibc writes a paragraph for each arena.
PROGRAM = """
import ctypes, threading
from lora_mcl.allocator import share_arenas
{call}
ready = threading.Barrier(8)

def hold():
    memory = [ctypes.create_string_buffer(2000) for _ in range(100)]
    ready.wait()

threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="arenas are glibc's")
def test_threads_share_arenas():
    def arenas(call: str) -> int:
        program = [sys.executable, "-c", PROGRAM.format(call=call)]
        return subprocess.run(program, capture_output=True, text=True, check=True).stderr.count("Arena ")

    assert arenas("") > 2 and arenas("share_arenas()") <= 2


# Memory with gaps: of 200 MiB in small pieces, every other one is free.
GAPS = """
import time
from lora_mcl.allocator import give_back_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
pieces = [libc.malloc(64 * 1024) for _ in range(3200)]
for piece in pieces:
    ctypes.memset(piece, 1, 64 * 1024)
for piece in pieces[::2]:
    libc.free(piece)
before = resident()
give_back_memory(every={every})
until = time.monotonic() + 20
while resident() > before - 50 and time.monotonic() < until:
    time.sleep(0.05)
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_gaps_are_given_back():
    program = [sys.executable, "-c", GAPS.format(every=0.05)]
    # 100 MiB are free; pages that a piece begins or ends in stay.
    assert float(subprocess.run(program, capture_output=True, text=True, check=True).stdout) > 50


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    threads = threading.active_count()
    share_arenas()
    give_back_memory()
    assert threading.active_count() == threads
