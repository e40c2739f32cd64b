"""Shared fixtures: tiny bases with random weights, bundles on them, a picture, a clip, a browser.

Nothing tiny is trained: tests that use it check plumbing and arithmetic, never the content of a caption.
"""

import os
import shutil
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp

import pytest

# Before any import of the libraries that read them: the tests need no network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Pages that tests serve keep their votes in no home.
os.environ["XDG_DATA_HOME"] = mkdtemp()
# Tiny models are slower on many threads than on one; programs that tests start inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
# Where there is a GPU, too, DeepSpeed is tested on processes that have none.
os.environ["DS_ACCELERATOR"] = "cpu"

import numpy as np
import soundfile
import torch
from PIL import Image, ImageDraw
from transformers import LlavaNextForConditionalGeneration, Qwen2AudioForConditionalGeneration

from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE
from lora_mcl.captioner import Captioner
from tests.support.browsing import browsing, start_browser
from tests.support.tiny_audio import chirp, save_tiny_audio_base
from tests.support.tiny_bundle import save_tiny_bundle
from tests.support.tiny_image import save_tiny_image_base

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests out file by file, the files of most slow tests come first.

    One that comes last leaves the others nothing to do. Takes ``--no-loadscope-reorder``: otherwise pytest-xdist sorts
    files by their number of tests.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = Counter(item.path for item in items if any(map(item.get_closest_marker, ("slow", "browser"))))
        every = Counter(item.path for item in items)
        items.sort(key=lambda item: (-slow[item.path], -every[item.path], item.path))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """Folder of a tiny base model with its processor."""
    folder = tmp_path_factory.mktemp("tiny") / "base"
    save_tiny_image_base(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_base) -> Path:
    """Folder of a bundle on the tiny base: three random hypotheses of rank 4, a baseline of rank 6."""
    model = LlavaNextForConditionalGeneration.from_pretrained(tiny_base)
    return save_tiny_bundle(model, tiny_base.parent / "bundle", "image")


@pytest.fixture(scope="session")
def tiny_audio_base(tmp_path_factory) -> Path:
    """Folder of a tiny audio base, whose input is 1 s."""
    folder = tmp_path_factory.mktemp("tiny-audio") / "base"
    save_tiny_audio_base(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_audio_bundle(tiny_audio_base) -> Path:
    """Folder of an audio bundle like ``tiny_bundle``."""
    model = Qwen2AudioForConditionalGeneration.from_pretrained(tiny_audio_base)
    return save_tiny_bundle(model, tiny_audio_base.parent / "audio-bundle", "audio")


@pytest.fixture(scope="session")
def tiny_captioner(tiny_bundle) -> Captioner:
    """A captioner of the tiny bundle, on the CPU."""
    return Captioner.load(tiny_bundle, device="cpu")


@pytest.fixture(scope="session")
def tiny_audio_captioner(tiny_audio_bundle) -> Captioner:
    """A captioner of the tiny audio bundle, on the CPU."""
    return Captioner.load(tiny_audio_bundle, device="cpu")


@pytest.fixture(scope="session")
def embedded_captioner() -> Captioner:
    """The captioner of the pictures' model in assets/."""
    return Captioner.load(EMBEDDED_BUNDLE, device="cpu")


@pytest.fixture(scope="session")
def embedded_audio_captioner() -> Captioner:
    """The captioner of the sounds' model in assets/."""
    return Captioner.load(EMBEDDED_AUDIO_BUNDLE, device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A sound file: 0.8 s of a rising tone, stereo, 44.1 kHz."""
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    samples = chirp(0.8, 44_100)
    soundfile.write(path, np.stack([samples, 0.5 * samples], axis=1), 44_100)
    return path


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    """A small picture file."""
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    image = Image.new("RGB", (48, 40), "skyblue")
    ImageDraw.Draw(image).ellipse((8, 8, 30, 30), fill="red")
    image.save(path)
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium; without one, browser tests skip, except in CI: there they fail."""
    # The first is Chromium without a window of its own, whose drawing takes as long as that of the page.
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    reason = "no Chromium on this machine: install the system's package chromium-headless-shell or chromium"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser_arguments() -> tuple[str, ...]:
    """More arguments for Chromium."""
    return ()


@pytest.fixture(scope="module")
def browser(chromium, browser_arguments):
    """A headless Chromium."""
    with browsing() as playwright:
        browser = start_browser(playwright, chromium, *browser_arguments)
        yield browser
        browser.close()
