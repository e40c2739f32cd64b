"""What the page does without Gradio: which comparisons begin, stop, and are shown."""

import pytest
from PIL import Image

from tests.support.fake_captioner import FakeCaptioner
from ui.modality import IMAGE
from ui.sessions import Sessions


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(FakeCaptioner(), IMAGE)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "picture.png"
    Image.new("RGB", (40, 30)).save(file)
    return file


def test_what_was_asked_for_begins(sessions):
    sessions.ask("a")
    assert sessions.begin("a")
    assert sessions.begin("a"), "an endpoint does not ask first"


def test_a_stop_reaches_what_has_not_begun_and_nothing_asked_for_later(sessions):
    sessions.ask("a")
    sessions.ask("b")
    assert sessions.stop("a") is None
    sessions.ask("a")
    assert [sessions.begin("a"), sessions.begin("a")] == [False, True]
    assert sessions.begin("b"), "another session's"


def test_a_session_that_left_is_forgotten(sessions):
    sessions.ask("a")
    sessions.leave("a")
    sessions.ask("a")
    assert sessions.begin("a")


def test_a_stopped_comparison_shows_what_it_had_and_an_abandoned_one_nothing_more(sessions, picture):
    for end, expected in ((sessions.stop, ["Stopped"]), (sessions.abandon, [])):
        views = sessions.views(picture, sessions.captioner.defaults, "a")
        assert next(views).running
        end("a")
        rest = list(views)
        assert [view.status.split()[0] for view in rest if not view.running] == expected
        assert len(rest) <= 1
