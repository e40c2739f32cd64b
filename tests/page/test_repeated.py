"""A comparison repeated is answered from memory."""

from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest
import soundfile
from gradio_client import handle_file
from PIL import Image

import app
from lora_mcl.errors import MediaError
from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import FakeAudioCaptioner, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT
from tests.support.served_pages import image_tab
from tests.support.tiny_audio import chirp
from ui.modality import IMAGE
from ui.repeated import REMEMBERED, Repeated, RepeatedCaptioner
from ui.sessions import REPEATED, Sessions

pytestmark = GRADIO_WARNINGS

SHORT = CompareOptions(max_new_tokens=6, num_samples=2)


def last(captioner, media, options=None, **more):
    *_, comparison = captioner.compare(media, options, **more)
    return comparison


@pytest.fixture
def forwards(tiny_captioner):
    """Counts the forwards of the tiny model, as a list of one."""
    count = [0]
    hook = tiny_captioner._model.model.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))
    yield count
    hook.remove()


def test_no_forward_is_run_the_second_time(tiny_captioner, picture, tmp_path, forwards):
    captioner = RepeatedCaptioner(tiny_captioner)
    first = last(captioner, picture, SHORT)
    assert forwards[0] > 0 and first.done and not isinstance(first, Repeated)
    forwards[0] = 0
    copy = tmp_path / "another name.png"
    copyfile(picture, copy)
    (second,) = captioner.compare(copy, SHORT)
    assert forwards[0] == 0
    assert isinstance(second, Repeated) and second.done and second.media == "another name.png"
    # Captions, log-probabilities and scores, the sampled ones too.
    assert second.columns == first.columns and second.columns[-1].method == "sampling"


def test_what_was_noticed_about_a_file_is_not_told_under_another_name(tiny_captioner, tmp_path):
    """The next visitor may have the same picture under a name of his own."""
    captioner = RepeatedCaptioner(tiny_captioner)
    for name in ("mine.png", "yours.png"):
        pixels = Image.linear_gradient("L").point(lambda value: value // 16).resize((40, 40))
        pixels.convert("I;16").save(tmp_path / name)
        comparison = last(captioner, tmp_path / name, SHORT)
        assert not isinstance(comparison, Repeated) and comparison.notices[0].startswith(f"{name} holds values")


@pytest.mark.parametrize("change", [{"num_beams": 1, "num_beam_groups": 1}, {"seed": 1}, {"max_new_tokens": 5}])
def test_other_settings_are_computed(tiny_captioner, picture, forwards, change):
    captioner = RepeatedCaptioner(tiny_captioner)
    last(captioner, picture, SHORT)
    forwards[0] = 0
    options = replace(SHORT, **change)
    found = last(captioner, picture, options)
    assert forwards[0] > 0 and not isinstance(found, Repeated)
    assert [c.captions for c in found.columns] == [c.captions for c in last(tiny_captioner, picture, options).columns]


def test_other_content_is_computed(picture, tmp_path):
    captioner = RepeatedCaptioner(FakeCaptioner())
    last(captioner, picture)
    other = tmp_path / picture.name
    Image.new("RGB", (60, 40), "navy").save(other)
    assert not isinstance(last(captioner, other), Repeated)
    assert isinstance(last(captioner, other), Repeated)
    # A picture in memory is no file.
    with Image.open(picture) as opened:
        assert not isinstance(last(captioner, opened), Repeated)
        assert not isinstance(last(captioner, opened), Repeated)


def test_the_start_of_a_sound_counts(tmp_path):
    captioner = RepeatedCaptioner(FakeAudioCaptioner())
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, chirp(5), 16_000)
    assert last(captioner, sound, start=1.0).window.start == 1.0
    assert not isinstance(last(captioner, sound, start=2.0), Repeated)
    again = last(captioner, sound, start=1.0)
    assert isinstance(again, Repeated) and again.window.start == 1.0


def test_those_not_asked_for_longest_are_forgotten(picture):
    captioner = RepeatedCaptioner(FakeCaptioner(), size=2)
    first, second, third = (CompareOptions(max_new_tokens=tokens) for tokens in (4, 5, 6))
    for options in (first, second, first, third):
        last(captioner, picture, options)
    assert [isinstance(last(captioner, picture, options), Repeated) for options in (first, third)] == [True, True]
    assert not isinstance(last(captioner, picture, second), Repeated)


def test_what_is_stopped_or_refused_is_not_remembered(picture, tmp_path):
    captioner = RepeatedCaptioner(FakeCaptioner())
    assert last(captioner, picture, should_stop=lambda: True).stopped
    assert last(captioner, picture).done and isinstance(last(captioner, picture), Repeated)
    no_picture = tmp_path / "notes.png"
    no_picture.write_text("no picture")
    for _ in range(2):
        with pytest.raises(MediaError):
            captioner.compare(no_picture)
    with pytest.raises(MediaError):
        captioner.compare(Path("nowhere.png"))


def test_closing_early_ends_the_work(picture):
    fake = FakeCaptioner()
    comparisons = RepeatedCaptioner(fake).compare(picture)
    next(comparisons)
    comparisons.close()
    assert fake.closed == 1


def test_the_page_says_so(picture):
    sessions = Sessions(RepeatedCaptioner(FakeCaptioner()), IMAGE)
    *_, view = sessions.views(picture, CompareOptions(), "a")
    assert view.status.startswith("Done in ")
    (again,) = sessions.views(picture, CompareOptions(), "b")
    assert again.status == REPEATED and not again.running
    assert again.columns == view.columns and again.finished.comparison.columns == view.finished.comparison.columns


def test_the_endpoint_answers_from_memory(connect, picture):
    fake = FakeCaptioner()
    client = connect(image_tab(RepeatedCaptioner(fake)))
    first = client.predict(handle_file(str(picture)), api_name="/compare_image")
    steps = fake.steps
    second = client.predict(handle_file(str(picture)), api_name="/compare_image")
    assert steps > 0 and fake.steps == steps
    assert second["columns"] == first["columns"]


def test_served_models_remember(monkeypatch):
    """The command line's captioner is one of these, once its model is loaded."""
    settings = app.settings_from(["--audio-model", "none"], {})
    (tab,) = app.load_tabs(settings)
    monkeypatch.setattr(app, "_load_captioner", lambda *_: FakeCaptioner())
    tab.captioner.load()
    assert isinstance(tab.captioner._captioner.result(), RepeatedCaptioner)


def test_the_docs_say_how_many_are_remembered():
    assert f"The captions of a model's last {REMEMBERED} comparisons" in (ROOT / "docs" / "serving.md").read_text()
