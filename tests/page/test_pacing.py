"""Which snapshots of a comparison those who watch it get."""

from dataclasses import replace

import pytest

from lora_mcl.types import Caption, ColumnResult, CompareOptions, Comparison
from tests.support.fake_captioner import FakeCaptioner
from ui.modality import IMAGE
from ui.pacing import API, PAGE, Pace, Rate
from ui.sessions import Sessions

WAITING = Comparison("a.png", "fake", 0.0, (ColumnResult("beam", "beam", "Beam", 0.0),))
WRITING = replace(WAITING, columns=(replace(WAITING.columns[0], captions=(Caption("a dog", -1.0, -0.5, 2),)),))


def passed_on(times: list[float], snapshots: list[Comparison], watchers: int = 1, rate: Rate = PAGE) -> list[int]:
    """Indices of the snapshots that are due, each at its time."""
    now = iter(times)
    pace = Pace(rate, lambda: next(now))
    return [index for index, snapshot in enumerate(snapshots) if pace.is_due(snapshot, watchers)]


def test_intervals_by_hand():
    assert PAGE.interval(1) == PAGE.interval(4) == pytest.approx(1 / 12)
    assert PAGE.interval(8) == pytest.approx(1 / 6) and PAGE.interval(48) == 1
    assert API.interval(1) == API.interval(8) == 1 / 4 and API.interval(32) == 1


def test_the_first_words_and_the_last_snapshot_are_always_due():
    times = [0.0, 0.01, 0.02, 0.05, 0.094, 0.1, 0.101]
    for last in ({"done": True}, {"stopped": True}):
        snapshots = [WAITING, WAITING, *[WRITING] * 4, replace(WRITING, **last)]
        assert passed_on(times, snapshots) == [0, 2, 6]
    # 1/12 s after the first words, and no sooner.
    times[5] = 0.104
    assert passed_on(times, [WAITING, WAITING, *[WRITING] * 4, replace(WRITING, done=True)]) == [0, 2, 5, 6]


def test_slow_steps_are_all_passed_on_unless_many_watch():
    times = [0.0, 0.2, 0.4, 0.6, 0.8]
    snapshots = [WRITING] * 5
    assert passed_on(times, snapshots) == [0, 1, 2, 3, 4]
    assert passed_on(times, snapshots, watchers=16) == [0, 2, 4]
    assert passed_on(times, snapshots, rate=API) == [0, 2, 4]
    # Exactly one interval later is due.
    assert passed_on([0.0, 0.25, 0.5, 0.625, 0.75], snapshots, rate=API) == [0, 1, 2, 4]


def test_the_first_words_of_any_column_are_due():
    """Also while another column has none yet; the words of the next column wait for their interval."""
    empty, written = WAITING.columns[0], WRITING.columns[0]
    one, both = replace(WAITING, columns=(empty, written)), replace(WAITING, columns=(written, written))
    assert passed_on([0.0, 0.01, 0.02], [WAITING, one, both]) == [0, 1]


@pytest.mark.parametrize("others", [0, 31])
def test_no_final_text_is_lost(picture, others):
    """The fake writes a token in no time: hardly any snapshot is due, and the last holds every word."""
    captioner = FakeCaptioner()
    sessions = Sessions(captioner, IMAGE)
    waiting = [sessions.comparisons(picture, CompareOptions(), f"{number}") for number in range(others)]
    for comparisons in waiting:
        next(comparisons)
    *_, expected = captioner.compare(picture)
    found = list(sessions.comparisons(picture, CompareOptions(), "mine"))
    assert found[0].seconds == 0 and found[-1].done
    assert [c.captions for c in found[-1].columns] == [c.captions for c in expected.columns]
    for comparisons in waiting:
        *_, last = comparisons
        assert last.done and [c.captions for c in last.columns] == [c.captions for c in expected.columns]


class StoppedInTheMiddle(FakeCaptioner):
    """A fake captioner whose visitor stops it after the fifth snapshot; ``sessions`` and ``shown`` are the test's."""

    def compare(self, *args, **kwargs):
        for number, comparison in enumerate(super().compare(*args, **kwargs), start=1):
            yield comparison
            if number == 5:
                self.shown = self.sessions.stop("a")


def test_stop_shows_also_what_was_not_passed_on(picture):
    captioner = StoppedInTheMiddle()
    captioner.sessions = Sessions(captioner, IMAGE)
    *_, before, last = captioner.sessions.views(picture, captioner.defaults, "a")
    assert "two<" in before.columns["hypothesis-0"]
    for view in (captioner.shown, last):
        assert "two sheep and a<" in view.columns["hypothesis-0"] and view.status.startswith("Stopped")
