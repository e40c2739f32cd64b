"""Threads of torch when several models compute."""

import subprocess
import sys

import pytest

PROGRAM = """
import threading, torch
from lora_mcl.threads import share_threads
torch.set_num_threads({threads})
share_threads({models})
found = []
# A thread that is started later, as those of a server's requests are.
thread = threading.Thread(target=lambda: found.append((torch.ones(100_000) + 1, torch.get_num_threads())[1]))
thread.start()
thread.join()
print(found[0])
"""


@pytest.mark.parametrize(("threads", "models", "each"), [(4, 2, 2), (5, 2, 2), (2, 1, 2), (1, 2, 1), (2, 3, 1)])
def test_models_share_the_threads(threads, models, each):
    program = [sys.executable, "-c", PROGRAM.format(threads=threads, models=models)]
    assert int(subprocess.run(program, capture_output=True, text=True, check=True).stdout) == each
