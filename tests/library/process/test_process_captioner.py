"""A captioner in a process of its own: the same answers, and nobody waits for a process that is gone."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import Pipe

import numpy as np
import psutil
import pytest
from PIL import Image

from lora_mcl.bundle import load_bundle
from lora_mcl.errors import BundleError, MediaError, OptionsError
from lora_mcl.process import ProcessCaptioner, ProcessError
from lora_mcl.process.__main__ import Calls
from lora_mcl.types import AudioClip, CompareOptions
from tests.support.browsing import wait_until
from tests.support.fake_captioner import FakeCaptioner
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipe of this kind for a process")

LONG = CompareOptions(max_new_tokens=400, min_new_tokens=400, num_beams=2, num_beam_groups=2)


@pytest.fixture(scope="module")
def remote(tiny_bundle):
    with closing(ProcessCaptioner(load_bundle(tiny_bundle))) as captioner:
        yield captioner


def last(captioner, *args, **options):
    *_, comparison = captioner.compare(*args, **options)
    return comparison


def columns(comparison):
    return [(column.id, column.done, column.captions) for column in comparison.columns]


def texts(comparison):
    return [(column.id, [caption.text for caption in column.captions]) for column in comparison.columns]


def log_probs(comparison):
    return [caption.log_prob for column in comparison.columns for caption in column.captions]


def test_it_answers_what_a_captioner_here_answers(remote, tiny_captioner, picture):
    assert remote.pid != os.getpid() and psutil.pid_exists(remote.pid)
    assert (remote.name, remote.defaults) == (tiny_captioner.name, tiny_captioner.defaults)
    options = CompareOptions(max_new_tokens=5, num_samples=2, seed=3)
    for given in (picture, Image.open(picture)):
        here, there = (list(one.compare(given, options)) for one in (tiny_captioner, remote))
        assert [columns(snapshot) for snapshot in there] == [columns(snapshot) for snapshot in here]
        assert there[-1].done and there[-1].media == here[-1].media
    here, there = (replace(one.score(picture, "A cat."), seconds=0.0) for one in (tiny_captioner, remote))
    assert there == here


def test_sounds_and_options_of_loading_arrive(tiny_audio_bundle, tiny_audio_captioner, monkeypatch):
    clip = AudioClip(np.sin(np.arange(24_000, dtype=np.float32) / 9), 16_000)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with closing(ProcessCaptioner(load_bundle(tiny_audio_bundle), models=2, dtype="float64")) as remote:
        here, there = (one.audio_view(clip, 0.25) for one in (tiny_audio_captioner, remote))
        assert there.window == here.window and np.array_equal(there.log_mel, here.log_mel)
        assert last(remote, clip, start=0.25).window == here.window
        here, there = (one.score(clip, "A dog.").winner.nll for one in (tiny_audio_captioner, remote))
        assert there == pytest.approx(here, abs=1e-4) and there != here
        remote.close()
        with pytest.raises(ProcessError, match="has ended"):
            remote.audio_view(clip)


def test_errors_are_typed_and_come_at_once(remote, picture):
    with pytest.raises(MediaError, match=r"no file .*nothing\.png"):
        remote.compare(picture.with_name("nothing.png"))
    with pytest.raises(OptionsError, match="start"):
        remote.compare(picture, start=1.0)
    with pytest.raises(OptionsError, match="caption"):
        remote.score(picture, "")
    with pytest.raises(OptionsError, match="not sounds"):
        remote.audio_view(picture)
    with picture.open("rb") as file, pytest.raises(MediaError, match="BufferedReader cannot be sent"):
        remote.compare(file)
    assert last(remote, picture).done


def test_callers_share_the_model_and_each_gets_its_own_answer(remote, tiny_captioner, picture):
    options = [CompareOptions(max_new_tokens=n, num_beams=1, num_beam_groups=1) for n in (2, 9, 4, 7)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: last(remote, picture, one), options))
    alone = [last(tiny_captioner, picture, one) for one in options]
    assert [texts(one) for one in found] == [texts(one) for one in alone] and all(one.done for one in found)
    # Steps of several callers are products of another size, which round differently.
    for there, here in zip(found, alone, strict=True):
        assert log_probs(there) == pytest.approx(log_probs(here), abs=1e-4)


def test_stop_and_leaving_end_the_work(remote, picture):
    stop = threading.Event()
    snapshots = remote.compare(picture, LONG, should_stop=stop.is_set)
    next(snapshots)
    stop.set()
    *_, ended = snapshots
    assert ended.stopped and not ended.done
    left = remote.compare(picture, LONG)
    next(left)
    left.close()
    process = psutil.Process(remote.pid)

    def idle() -> bool:
        before = process.cpu_times().user
        return not threading.Event().wait(0.3) and process.cpu_times().user - before < 0.1

    wait_until(idle)


def test_a_process_that_was_killed_is_named_and_started_anew(remote, picture):
    snapshots, before = remote.compare(picture, LONG), remote.pid
    next(snapshots)
    os.kill(before, signal.SIGKILL)
    with pytest.raises(ProcessError, match="bundle has ended.*try again"):
        list(snapshots)
    assert last(remote, picture).done and remote.pid != before


def test_a_bundle_that_cannot_be_loaded(tiny_base, tiny_bundle, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "base")
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "hypotheses" / "1" / "adapter_model.safetensors").write_bytes(b"no weights")
    before = psutil.Process().children()
    with pytest.raises(BundleError, match="hypothes"):
        ProcessCaptioner(load_bundle(tmp_path / "bundle"))
    assert psutil.Process().children() == before


def test_a_process_that_ends_while_it_loads(tiny_bundle, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProcessError, match=r"ended while the model was loaded \(exit code 1\)"):
        ProcessCaptioner(load_bundle(tiny_bundle))


def test_it_ends_with_its_program(tiny_bundle):
    code = f"""
import time
from lora_mcl.bundle import load_bundle
from lora_mcl.process import ProcessCaptioner
captioner = ProcessCaptioner(load_bundle({str(tiny_bundle)!r}))
print(captioner.pid, flush=True)
time.sleep(600)
"""
    program = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with program:
        process = psutil.Process(int(program.stdout.readline()))
        program.kill()
    process.wait(timeout=60)


@pytest.mark.parametrize("sent", ["nothing", "a bundle", "a bundle without weights"])
def test_a_caller_that_ended_before_the_model_was_loaded_is_no_error(tiny_bundle, tmp_path, sent):
    bundle = load_bundle(tiny_bundle)
    if sent == "a bundle without weights":
        bundle = replace(bundle, folder=tmp_path)
    ours, theirs = Pipe()
    with theirs:
        command = [sys.executable, "-m", "lora_mcl.process", str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
    if sent != "nothing":
        ours.send((bundle, {}, 1))
    ours.close()
    with process:
        _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    assert process.returncode == (1 if sent == "a bundle without weights" else 0)


class Failing(FakeCaptioner):
    """A fake captioner with a fault of its own."""

    def compare(self, *args, **options):
        raise ZeroDivisionError("secret.png")


@pytest.mark.parametrize("captioner", [Failing(), FakeCaptioner()])
def test_an_unexpected_error_is_logged_without_the_visitors_data(captioner, picture, caplog):
    ours, theirs = Pipe()
    calls = Calls(captioner, theirs)
    thread = threading.Thread(target=calls.receive)
    thread.start()
    ours.send((7, "compare", (picture, None, None)))
    number, kind, value = ours.recv()
    if isinstance(captioner, Failing):
        assert (number, kind, type(value)) == (7, "error", RuntimeError)
        assert "ZeroDivisionError" in caplog.text and "secret" not in caplog.text + str(value)
    else:
        assert (number, kind, value) == (7, "item", None)
    ours.close()  # the caller is gone: whatever runs is stopped
    thread.join(timeout=60)
    assert not thread.is_alive()
    wait_until(lambda: not calls.running)
