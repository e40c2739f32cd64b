"""How much memory files can make the program take: bombs none to speak of, heavy files that of their content, and a
served page none that stays.
"""

import io
import json
import re
import subprocess
import sys

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.support import hostile_pictures, hostile_sounds
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="peak memory as Unix counts it"), *GRADIO_WARNINGS]
FILES = {"image": hostile_pictures, "audio": hostile_sounds}
# In megabytes. A refused picture is never decoded; a refused sound is read for at most ten minutes.
BOMB = {"image": 30, "audio": 200}
# 50 million pixels in RGB, twice at most while they are converted; ten minutes of 16 kHz, in float32, a few times.
HEAVY = {"image": 500, "audio": 300}


def read(folder, modality, files):
    """Outcome and memory by name, in a process of its own; the files are smaller than 5 MB."""
    for name, data in files.items():
        assert len(data) < 5_000_000
        (folder / name).write_bytes(data)
    program = ROOT / "tests" / "support" / "programs" / "read_files.py"
    done = subprocess.run(
        [sys.executable, program, modality, *(folder / name for name in files)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows] == list(files)
    return {row["name"]: (row["outcome"], row["megabytes"]) for row in rows}


@pytest.mark.parametrize("modality", FILES)
def test_bombs_take_no_memory_and_heavy_files_a_bounded_one(tmp_path, modality):
    files = FILES[modality]
    bombs = {name: build() for name, (build, _) in files.BOMBS.items()}
    heavy = {name: build() for name, build in files.HEAVY.items()}
    # Bombs first: what heavy files leave behind would hide them.
    found = read(tmp_path, modality, bombs | heavy)
    for name, (_, message) in files.BOMBS.items():
        outcome, megabytes = found[name]
        assert re.search(message, outcome) and megabytes < BOMB[modality], (name, outcome, megabytes)
    for name in heavy:
        outcome, megabytes = found[name]
        assert megabytes < HEAVY[modality], (name, outcome, megabytes)


def test_a_served_page_keeps_nothing_of_what_it_was_sent(page, tmp_path):
    """Twelve pictures of 6 million pixels, 216 MB once they are read."""
    noise = np.random.default_rng(0).integers(0, 256, (2_000, 3_000), np.uint8)
    process = psutil.Process()
    for number in range(15):
        out = io.BytesIO()
        Image.fromarray(np.roll(noise, number)).convert("RGB").save(out, "JPEG", quality=20)
        (tmp_path / f"{number}.jpg").write_bytes(out.getvalue())
        del out
        assert page.ask("image", tmp_path / f"{number}.jpg").captioned
        if number == 2:
            before = process.memory_info().rss
    assert process.memory_info().rss - before < 100e6
