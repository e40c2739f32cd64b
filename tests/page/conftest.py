"""Fixtures of the page's tests: a fake captioner, its page as it is served, and a client of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from gradio_client import Client

from deploy import caption_dataset
from tests.support.browsing import OpenPage, visiting
from tests.support.fake_captioner import FakeCaptioner
from tests.support.served_pages import image_tab, picture_examples, served
from tests.support.tiny_audio import tone
from ui.examples import PageExample
from ui.tab import Tab


@pytest.fixture
def visit(browser) -> Iterator[OpenPage]:
    """Open an address in a new browser page."""
    with visiting(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def serve(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Serve the page of some tabs until the module's last test; returns its address. Takes ``build_page``'s options."""

    def start(*tabs: Tab, **options) -> str:
        return pages.enter_context(served(tabs, **options)).local_url

    with pytest.MonkeyPatch.context() as patch, ExitStack() as pages:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield start


@pytest.fixture(scope="module")
def connect(serve) -> Callable[..., Client]:
    """Like ``serve``, but returns a client of the page's endpoints."""

    def start(*tabs: Tab, **options) -> Client:
        return Client(serve(*tabs, **options), verbose=False)

    return start


@pytest.fixture(scope="module")
def captioner() -> FakeCaptioner:
    """The captioner of ``address``."""
    return FakeCaptioner()


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> tuple[PageExample, ...]:
    """The examples of ``address``: "Only Sea" and "Only Sand"."""
    return picture_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def address(serve, captioner, examples) -> str:
    """Address of the page with one image tab."""
    return serve(image_tab(captioner, examples))


@pytest.fixture(scope="module")
def client(address) -> Client:
    """A client of the page's endpoints."""
    return Client(address, verbose=False)


@pytest.fixture
def long_clip(tmp_path) -> Path:
    """300 Hz, then 900 Hz, 2 s each: the fake captioner takes 2 s."""
    path = tmp_path / "long.flac"
    soundfile.write(path, np.concatenate([tone(300, 2, 44_100), tone(900, 2, 44_100)]), 44_100)
    return path


@pytest.fixture
def pace(captioner) -> Iterator[Callable[[float], None]]:
    """Set the fake captioner's pace for one test."""

    def set_pace(seconds_per_token: float) -> None:
        captioner.seconds_per_token = seconds_per_token

    yield set_pace
    captioner.seconds_per_token = 0.0


@pytest.fixture
def caption_dataset_of(tiny_bundle) -> Callable[..., int]:
    """Run ``deploy.caption_dataset`` with the tiny bundle: media, output, further arguments; its exit code."""
    options = ["--set", "num_beams", "2", "--set", "num_beam_groups", "1", "--set", "max_new_tokens", "5"]

    def run(media: Path, out: Path, *arguments: object) -> int:
        return caption_dataset.main(
            [str(media), "--out", str(out), "--bundle", str(tiny_bundle), *options, *map(str, arguments)]
        )

    return run


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray of this machine's own, which all tests that need one share."""
    import ray

    from deploy.serve.__main__ import connect as connect_ray

    with pytest.MonkeyPatch.context() as patch:
        # What Ray starts inherits these. By default its workers give way to all else on the machine.
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("RAY_worker_niceness", "0")
        # Objects are a few pictures; by default Ray sets a third of the memory aside for them.
        connect_ray(None, num_cpus=2, log_to_driver=False, object_store_memory=100 * 2**20)
        yield
        ray.shutdown()
