"""Comparisons on a GPU that is lent: how long, what crosses between two processes, how they end."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import HYPOTHESES, FakeAudioCaptioner, FakeCaptioner
from tests.support.paths import ROOT
from ui.modality import AUDIO, IMAGE
from ui.sessions import Sessions
from ui.zero_gpu import Lease, ZeroGpuCaptioner

FAKES = ROOT / "tests/support/fakes"


@pytest.fixture
def leases(tmp_path, monkeypatch) -> Path:
    """Where the fake ``spaces`` writes its leases."""
    file = tmp_path / "leases"
    monkeypatch.setenv("FAKE_LEASES", str(file))
    return file


def on_gpu(captioner, modality=IMAGE, lease=None) -> ZeroGpuCaptioner:
    return ZeroGpuCaptioner(captioner, modality, runpy.run_path(str(FAKES / "spaces.py"))["GPU"], lease)


def test_a_lease_grows_with_the_longest_caption():
    assert Lease().seconds(CompareOptions(max_new_tokens=48)) == 13
    assert Lease(2, 0.25).seconds(CompareOptions(max_new_tokens=5)) == 4


@pytest.mark.parametrize("bad", [(0, 0.1), (8, -1), (float("nan"), 0.1), (8, float("inf"))])
def test_a_lease_is_a_positive_number_of_seconds(bad):
    with pytest.raises(OptionsError, match="positive number of seconds"):
        Lease(*bad)


def test_the_answers_are_the_captioners(leases, picture, tiny_captioner):
    lent = on_gpu(tiny_captioner)
    assert (lent.name, lent.defaults, lent.columns()) == (
        tiny_captioner.name,
        tiny_captioner.defaults,
        tiny_captioner.columns(),
    )
    options = CompareOptions(num_beams=2, num_beam_groups=2, max_new_tokens=6)
    plain, borrowed = list(tiny_captioner.compare(picture, options)), list(lent.compare(picture, options))
    assert len(borrowed) == len(plain) > 3 and borrowed[-1].done
    for ours, theirs in zip(plain, borrowed, strict=True):
        assert [column.captions for column in ours.columns] == [column.captions for column in theirs.columns]
    # One lease for all columns: 8 s + 6 tokens of 0.1 s, rounded up.
    assert leases.read_text() == "9 False\n"


def test_the_bundles_options_are_the_default(leases, picture):
    captioner = FakeCaptioner(defaults=CompareOptions(max_new_tokens=30))
    assert list(on_gpu(captioner, lease=Lease(1, 1)).compare(picture))[-1].done
    assert leases.read_text() == "31 False\n"


def test_a_file_that_cannot_be_used_costs_no_lease(leases, tmp_path, clip):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(MediaError, match="text"):
        on_gpu(FakeCaptioner()).compare(tmp_path / "text.png")
    with pytest.raises(MediaError, match="text"):
        on_gpu(FakeAudioCaptioner(), AUDIO).compare(tmp_path / "text.png")
    with pytest.raises(OptionsError):
        on_gpu(FakeAudioCaptioner(), AUDIO).compare(clip, start=99)
    assert not leases.exists()


def test_a_score_is_the_captioners(leases, picture):
    lent = on_gpu(FakeCaptioner(), lease=Lease(3.5, 1))
    assert lent.score(picture, "two sheep") == FakeCaptioner().score(picture, "two sheep")
    assert leases.read_text() == "4 False\n"
    with pytest.raises(OptionsError, match="The caption is empty"):
        lent.score(picture, " ")


def test_a_file_that_cannot_be_scored_costs_no_lease(leases, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(MediaError, match="text"):
        on_gpu(FakeCaptioner()).score(tmp_path / "text.png", "two sheep")
    assert not leases.exists()


def test_what_goes_wrong_on_the_gpu_keeps_its_message(leases, picture):
    failing = FakeCaptioner(failure=OptionsError("That many beams do not fit."))
    with pytest.raises(OptionsError, match="That many beams do not fit"):
        list(on_gpu(failing).compare(picture))
    assert failing.closed == 1


def test_a_sound_is_captioned_from_start(leases, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.linspace(-0.5, 0.5, 5 * 16_000), 16_000)
    captioner = FakeAudioCaptioner()
    (*_, last) = on_gpu(captioner, AUDIO).compare(path, start=2.5)
    assert (last.window.start, last.window.end) == (2.5, 4.5)
    assert on_gpu(captioner, AUDIO).audio_view(path, 1.0).window.start == 1.0


def test_stopping_ends_the_work_and_keeps_what_was_written(leases, picture):
    captioner = FakeCaptioner()
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    (*_, last) = on_gpu(captioner).compare(picture, should_stop=should_stop)
    words = last.column("hypothesis-0").captions[0].text.split()
    assert last.stopped and not last.done and words == HYPOTHESES[0][2].split()[: len(words)] and words
    assert captioner.closed == 1 and captioner.steps == 3


def test_the_last_snapshot_stays_complete_when_stop_comes_too_late(leases, picture):
    asked = []
    total = len(list(FakeCaptioner().compare(picture)))

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) >= total

    (*_, last) = on_gpu(FakeCaptioner()).compare(picture, should_stop=should_stop)
    assert last.done and not last.stopped


def test_the_pages_stop_reaches_the_gpu(leases, picture):
    captioner = FakeCaptioner(seconds_per_token=0.1)
    sessions = Sessions(on_gpu(captioner), IMAGE)
    comparisons = sessions.comparisons(picture, CompareOptions(), "visitor")
    for _ in range(3):
        next(comparisons)
    sessions.stop("visitor")
    assert [c.stopped for c in comparisons] == [True]
    assert captioner.closed == 1 and captioner.steps <= 3


def test_leaving_ends_the_work(leases, picture):
    captioner = FakeCaptioner()
    comparisons = on_gpu(captioner).compare(picture)
    next(comparisons), next(comparisons)
    comparisons.close()
    assert captioner.closed == 1 and captioner.steps == 1
