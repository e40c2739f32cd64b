"""Comparisons of many sessions, without Gradio: which ones begin, stop, and are shown."""

import shutil
from dataclasses import dataclass, field, replace

import pytest
from PIL import Image

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import HYPOTHESES, FakeAudioCaptioner, FakeCaptioner
from ui.loading import Waiting
from ui.modality import AUDIO, IMAGE
from ui.models import SeveralCaptioners
from ui.sessions import LOADING, WRITING, Finished, Sessions


@dataclass
class RecordingCaptioner(FakeCaptioner):
    """A fake captioner that keeps the ``should_stop`` and the options of every comparison."""

    should_stop: list = field(default_factory=list)
    options: list = field(default_factory=list)

    def compare(self, media, options=None, *, start=None, should_stop):
        self.should_stop.append(should_stop)
        self.options.append(options)
        return super().compare(media, options, start=start, should_stop=should_stop)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(RecordingCaptioner(), IMAGE)


@pytest.fixture
def start(sessions, picture):
    """Start a comparison of a session and return its iterator, past the first snapshot."""

    def start_comparison(session: str):
        comparisons = sessions.comparisons(picture, CompareOptions(), session)
        next(comparisons)
        return comparisons

    return start_comparison


def test_one_comparison_at_a_time_unless_the_tab_allows_more(sessions):
    assert sessions.max_comparisons == 1 and Sessions(FakeCaptioner(), IMAGE, 3).max_comparisons == 3


def test_each_session_has_the_columns_of_the_model_that_it_chose():
    two = FakeCaptioner(name="after", hypotheses=HYPOTHESES[:2])
    sessions = Sessions(SeveralCaptioners([FakeCaptioner(name="before"), two]), IMAGE)
    sessions.choose_model("a", "after")
    assert [len(sessions.idle(session).columns) for session in ("a", "b", "")] == [4, 5, 5]
    with pytest.raises(OptionsError, match="There is no model 'other'"):
        sessions.choose_model("a", "other")
    assert sessions.idle("a") == Sessions(two, IMAGE).idle("b")


def test_a_visitor_who_leaves_is_forgotten(sessions, start, monkeypatch):
    monkeypatch.setattr(RecordingCaptioner, "named", lambda self, name: self, raising=False)
    sessions.choose_model("a", "other")
    running = start("a")
    sessions.forget("a")
    assert sessions.captioner.should_stop[0]() and list(running) == []
    assert sessions.idle("a") == sessions.idle() and sessions._models == {}
    sessions.forget("never seen")


def test_a_session_with_a_request_is_not_quiet(sessions):
    assert sessions.is_quiet("a")
    token = sessions.request("a")
    assert not sessions.is_quiet("a") and sessions.is_quiet("b")
    assert sessions.claim("a", token) and not sessions.is_quiet("a")
    for session, other in (("b", token), ("a", "no such token")):
        sessions.withdraw(session, other)
        assert not sessions.is_quiet("a")
    sessions.withdraw("a", token)
    assert sessions.is_quiet("a")


def test_a_claimed_request_begins_once_and_only_while_it_is_the_latest(sessions, picture):
    def found(token: str) -> int:
        return len(list(sessions.comparisons(picture, CompareOptions(), "a", token=token)))

    first = sessions.request("a")
    assert sessions.claim("a", first) and found(first) and not found(first)
    second = sessions.request("a")
    assert sessions.claim("a", second)
    third = sessions.request("a")
    assert not found(second) and sessions.claim("a", third)
    sessions.stop("a")
    assert not found(third) and sessions.is_quiet("a")


def test_a_request_begins_once(sessions):
    token = sessions.request("a")
    assert not sessions.claim("b", token), "another session's"
    assert sessions.claim("a", token)
    assert not sessions.claim("a", token)
    assert not sessions.claim("a", "")


def test_the_latest_request_counts(sessions):
    """One that a full queue refused is never claimed, and does not stand in the way."""
    refused, waiting = sessions.request("a"), sessions.request("a")
    assert not sessions.claim("a", refused)
    assert sessions.claim("a", waiting)


@pytest.mark.parametrize("end", ["stop", "abandon"])
def test_an_end_reaches_requests_that_have_not_begun_and_no_later_ones(sessions, end):
    first, second, other = sessions.request("a"), sessions.request("a"), sessions.request("b")
    assert getattr(sessions, end)("a") is None
    later = sessions.request("a")
    assert [sessions.claim("a", token) for token in (first, second, later)] == [False, False, True]
    assert sessions.claim("b", other), "another session's"


@pytest.mark.parametrize("end", ["stop", "abandon"])
def test_an_end_between_claim_and_begin_reaches_the_comparison(sessions, picture, end):
    """While the file is read, the request is claimed and its comparison not yet running."""
    token = sessions.request("a")
    assert sessions.claim("a", token) and not sessions.is_quiet("a")
    assert getattr(sessions, end)("a") is None and sessions.is_quiet("a")
    assert list(sessions.comparisons(picture, CompareOptions(), "a", token=token)) == []
    assert list(sessions.views(picture, CompareOptions(), "a", token=token)) == []
    assert sessions.captioner.should_stop == []


def test_a_claimed_request_begins_once_and_gives_way_to_a_later_one(sessions, picture):
    first = sessions.request("a")
    assert sessions.claim("a", first)
    second = sessions.request("a")
    assert sessions.claim("a", second)
    assert list(sessions.comparisons(picture, CompareOptions(), "a", token=first)) == []
    assert list(sessions.comparisons(picture, CompareOptions(), "a", token=second))[-1].done
    assert list(sessions.comparisons(picture, CompareOptions(), "a", token=second)) == []


def test_the_latest_request_is_known_after_its_end_too(sessions, picture):
    """What an earlier comparison leaves behind must not take the place of a later one's captions."""
    first, second = sessions.request("a"), sessions.request("a")
    assert sessions.claim("a", second)
    assert list(sessions.views(picture, CompareOptions(), "a", token=second))[-1].finished
    assert sessions.is_quiet("a") and sessions.is_latest("a", second) and not sessions.is_latest("a", first)
    assert not sessions.is_latest("b", second)
    sessions.forget("a")
    assert not sessions.is_latest("a", second)


def test_a_withdrawn_request_leaves_the_session_quiet(sessions):
    first = sessions.request("a")
    assert sessions.claim("a", first)
    second = sessions.request("a")
    sessions.withdraw("a", first)
    assert not sessions.is_quiet("a"), "the later one is still wanted"
    sessions.withdraw("a", second)
    assert sessions.is_quiet("a") and not sessions.claim("a", second)


def test_a_second_comparison_of_a_session_stops_the_first(sessions, start):
    first, other, second = start("a"), start("b"), start("a")
    assert [stop() for stop in sessions.captioner.should_stop] == [True, False, False]
    assert [comparison.stopped for comparison in first] == [True]
    for comparisons in (other, second):
        comparisons.close()


def test_an_api_client_may_have_several_and_its_leaving_stops_all(sessions, picture):
    both = [sessions.comparisons(picture, CompareOptions(), "a", stop_earlier=False) for _ in range(2)]
    for comparisons in both:
        next(comparisons)
    assert [stop() for stop in sessions.captioner.should_stop] == [False, False]
    both[1].close()
    assert [stop() for stop in sessions.captioner.should_stop] == [False, True] and not sessions.is_quiet("a")
    sessions.abandon("a")
    assert sessions.captioner.should_stop[0]() and list(both[0]) == [] and sessions.is_quiet("a")


def test_a_comparison_that_has_ended_must_not_go_on(sessions, start):
    list(start("a"))
    start("a").close()
    assert [stop() for stop in sessions.captioner.should_stop] == [True, True]


def test_the_end_of_one_comparison_leaves_the_next_one_in_reach(sessions, start):
    first, second = start("a"), start("a")
    first.close()
    assert not sessions.captioner.should_stop[1]()
    sessions.stop("a")
    assert sessions.captioner.should_stop[1]()
    second.close()
    assert sessions.stop("a") is None


def test_a_stopped_comparison_shows_what_it_had_and_an_abandoned_one_nothing_more(sessions, picture):
    for end, expected in ((sessions.stop, ["Stopped"]), (sessions.abandon, [])):
        views = sessions.views(picture, sessions.captioner.defaults, "a")
        assert next(views).running
        end("a")
        rest = list(views)
        assert [view.status.split()[0] for view in rest if not view.running] == expected
        assert len(rest) <= 1


def test_a_stopped_comparison_is_silent_once_another_is_requested(sessions, picture):
    """Its last snapshot would show the page as quiet while the next one runs."""
    views = sessions.views(picture, sessions.captioner.defaults, "a")
    assert next(views).running
    sessions.stop("a")
    sessions.request("a")
    assert list(views) == []
    running = sessions.views(picture, sessions.captioner.defaults, "b")
    next(running)
    sessions.request("b")
    assert [view.running for view in running][-1:] == [False], "what was not stopped comes to its end"


def test_what_is_complete_is_kept_with_what_it_was_made_from(sessions, picture):
    defaults = sessions.captioner.defaults
    *before, last = sessions.views(picture, defaults, "a")
    assert before and {view.finished for view in before} == {None} and {view.status for view in before} == {WRITING}
    specs = sessions.captioner.columns(defaults)
    assert last.finished == Finished(picture, defaults, last.finished.comparison, specs)
    assert last.finished.comparison.done and not last.running


class Loading(FakeCaptioner):
    """A fake captioner whose model is not loaded yet."""

    def compare(self, media, options=None, *, start=None, should_stop):
        first, *rest = super().compare(media, options, start=start, should_stop=should_stop)
        yield Waiting(first.media, first.model, 0.0, first.columns)
        yield from rest


def test_the_status_says_that_the_models_are_loading(picture):
    first, second, *_ = Sessions(Loading(), IMAGE).views(picture, CompareOptions(), "a")
    assert (first.status, second.status) == (LOADING, WRITING) and first.running


class OnlyTheEnd:
    """A pace at which nothing but the last snapshot is due."""

    def __init__(self, rate):
        pass

    def is_due(self, comparison, watchers):
        return comparison.done or comparison.stopped


def test_what_is_not_due_is_left_out(sessions, picture, monkeypatch):
    monkeypatch.setattr("ui.sessions.Pace", OnlyTheEnd)
    (only,) = sessions.comparisons(picture, CompareOptions(), "a")
    assert only.done


def test_nothing_stays_where_nothing_was_written(sessions, picture):
    views = sessions.views(picture, sessions.captioner.defaults, "a")
    next(views)
    assert sessions.stop("a").status == "Stopped after 0.0 s."
    views.close()


def test_stop_returns_what_was_written(sessions, picture):
    sessions.captioner.seconds_per_token = 0.1  # as slow as the page shows words
    views = sessions.views(picture, sessions.captioner.defaults, "a")
    for _ in range(3):
        next(views)
    view = sessions.stop("a")
    assert view.status.startswith("Stopped after") and view.status.endswith("What had been written stays.")
    assert not view.running
    assert "two sheep" in view.columns["hypothesis-0"] and 'data-state="stopped"' in view.columns["hypothesis-0"]
    views.close()


class OneColumnFirst(FakeCaptioner):
    """A fake captioner whose first column alone has words."""

    def compare(self, media, options=None, *, start=None, should_stop):
        for snapshot in super().compare(media, options, start=start, should_stop=should_stop):
            first, *others = snapshot.columns
            yield replace(snapshot, columns=(first, *(replace(column, captions=()) for column in others)))


def test_what_one_column_had_written_stays(picture):
    sessions = Sessions(OneColumnFirst(), IMAGE)
    sessions.captioner.seconds_per_token = 0.1
    views = sessions.views(picture, sessions.captioner.defaults, "a")
    for _ in range(3):
        next(views)
    assert sessions.stop("a").status.endswith("What had been written stays.")
    views.close()


def test_a_failure_frees_the_session(sessions, picture):
    sessions.captioner.failure = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        list(sessions.comparisons(picture, CompareOptions(), "a"))
    assert sessions.captioner.closed == 1 and sessions.captioner.should_stop[0]()
    assert sessions.stop("a") is None, "nothing is running"
    sessions.captioner.failure = None
    assert list(sessions.comparisons(picture, CompareOptions(), "a"))[-1].done


def test_a_copy_for_browsers_keeps_what_was_noticed_about_its_file(sessions, picture, tmp_path):
    for name in ("copy.png", "other.png"):
        shutil.copy(picture, tmp_path / name)
    copies = [tmp_path / f"{number}.png" for number in range(1_000)]
    sessions.note_copy(tmp_path / "copy.png", ("<i>scan.tif was dark.",))
    sessions.note_copy(tmp_path / "other.png", ())
    for copy in copies[1:]:
        sessions.note_copy(copy, ("Noticed.",))
    *_, last = sessions.views(tmp_path / "copy.png", CompareOptions(), "a")
    assert last.status.endswith(" s. &lt;i&gt;scan.tif was dark.")
    assert last.finished.comparison.to_dict()["notices"] == ["<i>scan.tif was dark."]
    *_, last = sessions.views(tmp_path / "other.png", CompareOptions(), "a")
    assert last.status.endswith(" s.")
    sessions.note_copy(copies[0], ("Noticed.",))  # the oldest are forgotten
    *_, last = sessions.views(tmp_path / "copy.png", CompareOptions(), "a")
    assert last.status.endswith(" s.")


def test_a_sound_read_in_part_says_so_also_of_its_copy(clip):
    sessions = Sessions(FakeAudioCaptioner(), AUDIO)
    assert sessions.audio_view(clip).window.notices == ()
    sessions.note_copy(clip, ("Only 1.0 of the 2.0 s could be read.",))
    assert sessions.audio_view(clip).window.notices == ("Only 1.0 of the 2.0 s could be read.",)


def test_the_status_shows_what_was_guessed_about_a_picture(sessions, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "<i>night.png")
    *_, last = sessions.views(tmp_path / "<i>night.png", CompareOptions(), "a")
    assert last.status.startswith("Done in ")
    assert last.status.endswith("&lt;i&gt;night.png looks black: its largest value is below 8 of 255.")
