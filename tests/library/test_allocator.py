"""Arenas of the C library's allocator that many threads use."""

import subprocess
import sys

import pytest

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
