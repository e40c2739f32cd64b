"""What a server imports in advance, in a thread."""

import subprocess
import sys

import librosa
import pytest

from lora_mcl.audio import warm_up


def test_warming_up_waits_for_nothing(monkeypatch):
    made = []

    class Thread:
        def __init__(self, *, target, name, daemon):
            made.append((name, daemon, target))

        def start(self):
            made.append("started")

    monkeypatch.setattr("lora_mcl.audio.threading.Thread", Thread)
    warm_up()
    (name, daemon, target), started = made
    assert (name, daemon, started) == ("warm-up-librosa", True, "started") and target() is librosa.resample


@pytest.mark.slow
def test_the_resampler_can_be_imported_in_advance():
    """In a thread: the caller goes on at once, and the first sound does not wait."""
    program = (
        "import sys, threading; from lora_mcl.audio import warm_up; warm_up(); "
        "(thread,) = [one for one in threading.enumerate() if one.name == 'warm-up-librosa']; "
        "assert thread.daemon; thread.join(); sys.exit('numba' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
