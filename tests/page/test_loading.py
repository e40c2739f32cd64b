"""The page is served before its models are loaded: waiting comparisons, failures, stops."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

import app
from lora_mcl.bundle import load_bundle
from lora_mcl.errors import BundleError
from lora_mcl.types import CompareOptions
from tests.support.browsing import captions, column, upload_picture, wait_until
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT
from tests.support.served_pages import image_tab, served
from ui.loading import LoadingCaptioner, Waiting
from ui.sessions import LOADING

pytestmark = GRADIO_WARNINGS

# Seconds that take libraries which the page itself has no use for.
HEAVY = ("torch", "transformers", "peft", "numba")

SERVE = f"""
import sys, urllib.request
import app
tabs = app.load_tabs(app.settings_from([], {{}}))
page = app.build_page(tabs, app.load_demos(app.RESULTS / "markov"))
address = app.launch(page, tabs)
print(len(tabs), b"gradio" in urllib.request.urlopen(address).read())
print([name for name in {HEAVY} if name in sys.modules])
page.close(verbose=False)
"""


@pytest.fixture
def loading(tiny_bundle, tiny_captioner):
    """A captioner that loads when its gate is opened, and the gate."""
    gate = threading.Event()

    def load():
        assert gate.wait(600)
        return tiny_captioner

    captioner = LoadingCaptioner(load_bundle(tiny_bundle), load)
    thread = threading.Thread(target=captioner.load)
    thread.start()
    yield captioner, gate
    gate.set()
    thread.join()


@pytest.fixture
def address(loading):
    with served([image_tab(loading[0])]) as page:
        yield page.local_url


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_a_score_waits_for_the_model(loading, tiny_captioner, picture):
    captioner, gate = loading
    scores = []
    thread = threading.Thread(target=lambda: scores.append(captioner.score(picture, "A cat.")))
    thread.start()
    thread.join(timeout=0.2)
    assert not scores
    gate.set()
    thread.join()
    assert scores[0].winner.id == tiny_captioner.score(picture, "A cat.").winner.id


def test_the_page_is_served_without_what_only_the_models_need(tmp_path):
    served = run(sys.executable, "-c", SERVE, GRADIO_TEMP_DIR=str(tmp_path))
    assert served.stdout.splitlines() == ["2 True", "[]"], served.stdout + served.stderr


def test_name_defaults_and_columns_need_no_model(loading, tiny_captioner):
    captioner, _ = loading
    assert (captioner.name, captioner.defaults) == (tiny_captioner.name, tiny_captioner.defaults)
    for options in (None, CompareOptions(num_beams=2, num_beam_groups=1, num_samples=2, hypothesis_beams=2)):
        assert captioner.columns(options) == tiny_captioner.columns(options)


@pytest.mark.browser
def test_a_comparison_that_comes_before_the_model_waits_and_runs(loading, address, visit, picture):
    captioner, gate = loading
    page = visit(address)
    upload_picture(page, picture)
    page.click("#image-compare")
    expect(page.locator("#image-status")).to_contain_text(LOADING)
    # Stop ends the waiting, and nothing is computed then.
    page.click("#image-stop")
    expect(page.locator("#image-compare")).to_be_enabled()
    page.click("#image-compare")
    expect(page.locator("#image-status")).to_contain_text(LOADING)
    gate.set()
    expect(page.locator("#image-status")).to_contain_text("Done in")
    for spec in captioner.columns():
        expect(column(page, spec.id)).to_have_attribute("data-state", "done")
        assert captions(page, spec.id)


def test_other_programs_wait_too(loading, address, picture):
    captioner, gate = loading
    job = Client(address, verbose=False).submit(image=handle_file(str(picture)), api_name="/compare_image")
    wait_until(lambda: len(job.outputs()) == 1)
    assert [one["captions"] for one in job.outputs()[0]["columns"]] == [[]] * len(captioner.columns())
    gate.set()
    assert all(one["captions"] for one in job.result(timeout=60)["columns"])


def test_a_waiting_comparison_can_be_stopped(loading, picture):
    captioner, gate = loading
    stop = threading.Event()
    snapshots = captioner.compare(picture, should_stop=stop.is_set)
    first = next(snapshots)
    assert isinstance(first, Waiting) and not first.stopped
    stop.set()
    assert next(snapshots).stopped and next(snapshots, None) is None
    gate.set()
    wait_until(lambda: not isinstance(next(captioner.compare(picture)), Waiting))


def test_what_waits_for_a_model_that_cannot_be_loaded_learns_why(connect, tiny_bundle, picture):
    def load():
        raise BundleError("the weights are damaged.")

    captioner = LoadingCaptioner(load_bundle(tiny_bundle), load)
    waiting = captioner.compare(picture)
    next(waiting)
    client = connect(image_tab(captioner))
    job = client.submit(image=handle_file(str(picture)), api_name="/compare_image")
    wait_until(lambda: len(job.outputs()) == 1)
    with pytest.raises(BundleError, match="damaged"):
        captioner.load()
    with pytest.raises(AppError, match="the weights are damaged"):
        job.result(timeout=60)
    with pytest.raises(BundleError, match="damaged"):
        next(waiting)


def test_a_model_that_cannot_be_loaded_ends_the_program_with_one_clear_line(tiny_bundle, tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "base")
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "hypotheses" / "1" / "adapter_model.safetensors").write_bytes(b"no weights")
    arguments = ("--image-model", str(tmp_path / "bundle"), "--audio-model", "none")
    ended = run(sys.executable, "app.py", *arguments, GRADIO_TEMP_DIR=str(tmp_path / "uploads"))
    assert ended.returncode == app.USER_ERROR, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("app.py: ")]
    assert "hypothes" in line and "Traceback" not in ended.stderr


def test_a_stop_by_the_system_while_models_are_loaded_leaves_nothing(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""}
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert re.match(r"LoRA-MCL Studio is at http", server.stdout.readline())
        assert list(tmp_path.rglob("lora-mcl-uploads-*"))
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=180)
    finally:
        server.kill()
    assert server.returncode == 0 and "Traceback" not in errors, errors
    assert not list(tmp_path.rglob("lora-mcl-uploads-*"))
