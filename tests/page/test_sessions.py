"""What the page does without Gradio: which comparisons begin, stop, and are shown."""

import pytest
from PIL import Image

from tests.support.fake_captioner import FakeCaptioner
from ui.modality import IMAGE
from ui.sessions import Studio


@pytest.fixture
def studio() -> Studio:
    return Studio(FakeCaptioner(), IMAGE)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "picture.png"
    Image.new("RGB", (40, 30)).save(file)
    return file


def test_what_was_asked_for_begins(studio):
    studio.ask("a")
    assert studio.begin("a")
    assert studio.begin("a"), "an endpoint does not ask first"


def test_a_stop_reaches_what_has_not_begun_and_nothing_asked_for_later(studio):
    studio.ask("a")
    studio.ask("b")
    assert studio.stop("a") is None
    studio.ask("a")
    assert [studio.begin("a"), studio.begin("a")] == [False, True]
    assert studio.begin("b"), "another session's"


def test_a_session_that_left_is_forgotten(studio):
    studio.ask("a")
    studio.leave("a")
    studio.ask("a")
    assert studio.begin("a")


def test_a_stopped_comparison_shows_what_it_had_and_an_abandoned_one_nothing_more(studio, picture):
    for end, expected in ((studio.stop, ["Stopped"]), (studio.abandon, [])):
        views = studio.views(picture, studio.captioner.defaults, "a")
        assert next(views).running
        end("a")
        rest = list(views)
        assert [view.status.split()[0] for view in rest if not view.running] == expected
        assert len(rest) <= 1
