"""A complete comparison of which one column is written anew: which options made which column, and what is shown."""

from dataclasses import replace

import pytest

from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import DIVERSE, FakeAudioCaptioner, FakeCaptioner
from ui.modality import AUDIO, IMAGE
from ui.sessions import Finished, Sessions

FIRST = CompareOptions(num_samples=2, columns=("hypothesis-0", "hypothesis-1", "beam", "sampling"))


class RecordingCaptioner(FakeCaptioner):
    """A fake captioner that keeps the options of every comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CompareOptions] = []

    def compare(self, media, options=None, **kwargs):
        self.asked.append(options)
        return super().compare(media, options, **kwargs)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(RecordingCaptioner(), IMAGE)


@pytest.fixture
def finished(sessions, picture) -> Finished:
    *_, last = sessions.views(picture, FIRST, "a")
    return last.finished


def test_a_column_has_the_options_it_was_written_with(finished):
    one, two = replace(FIRST, length_penalty=2.0), replace(FIRST, seed=5)
    mixed = replace(finished, redone=(("beam", one), ("sampling", two)))
    found = [mixed.options_of(id) for id in ("hypothesis-0", "beam", "sampling")]
    assert found == [FIRST, one, two]


def test_options_on_which_no_other_column_depends_are_those_of_all(finished):
    """A later seed changes samples alone; which columns were asked for stays."""
    later, comparison = replace(FIRST, seed=7, columns=("sampling",)), replace(finished.comparison, seconds=9.0)
    again = finished.with_column("sampling", comparison, later)
    assert again == replace(finished, comparison=comparison, options=replace(FIRST, seed=7)) != finished


def test_options_on_which_others_depend_are_those_of_the_column(finished):
    """One column after the other is written with them; once the last has been, they are those of all."""
    longer = replace(FIRST, length_penalty=2.0)
    comparison = replace(finished.comparison, seconds=9.0)
    for written, id in enumerate(("hypothesis-1", "beam"), start=1):
        finished = finished.with_column(id, comparison, longer)
        assert finished.options == FIRST and len(finished.redone) == written
        assert finished.options_of(id) == longer and finished.options_of("hypothesis-0") == FIRST
    assert finished.comparison is comparison
    # No sample depends on it.
    all_written = finished.with_column("hypothesis-0", comparison, longer)
    assert (all_written.options, all_written.redone) == (longer, ())


def test_of_a_column_written_twice_the_last_options_count(finished):
    for penalty in (2.0, 3.0):
        finished = finished.with_column("beam", finished.comparison, replace(FIRST, length_penalty=penalty))
    assert finished.redone == (("beam", replace(FIRST, length_penalty=3.0)),)


def test_one_column_is_written_and_the_others_stay(sessions, finished, picture):
    fewer = replace(FIRST, num_beams=2, num_beam_groups=1, length_penalty=2.0)
    first, *others, last = sessions.column_views(finished, "beam", fewer, "a")
    assert sessions.captioner.asked[-1] == replace(fewer, columns=("beam",))
    assert first.running and {view.finished for view in (first, *others)} == {None}
    for view in (first, *others, last):
        assert list(view.columns) == list(FIRST.columns)
        assert all('data-state="done"' in view.columns[id] for id in FIRST.columns if id != "beam")
    assert [column.done for column in finished.comparison.columns] == [True] * 4
    again = last.finished
    assert [len(column.captions) for column in again.comparison.columns] == [1, 1, 2, 2]
    assert [column.id for column in again.comparison.columns] == list(FIRST.columns) and not last.running
    assert (again.options, again.redone) == (FIRST, (("beam", replace(fewer, columns=FIRST.columns)),))
    # The column's description states the beams.
    (changed,) = [new for new, old in zip(again.specs, finished.specs, strict=True) if new != old]
    assert changed.id == "beam" and "2 beams" in str(changed.description)


def test_a_column_stopped_before_anything_was_computed_leaves_all_as_it_was(sessions, finished, picture):
    views = sessions.column_views(finished, "beam", replace(FIRST, length_penalty=2.0), "a")
    taken = []

    class Stopping(FakeCaptioner):
        """Stopped before there is any snapshot."""

        def compare(self, *args, **kwargs):
            taken.append(sessions.stop("a"))
            return super().compare(*args, **kwargs)

    sessions.captioner = Stopping()
    list(views)
    (shown,) = taken
    assert shown.status.startswith("Done in") and list(shown.columns) == list(FIRST.columns)


def test_a_column_of_a_sound_is_of_the_same_part_of_it(clip):
    sessions = Sessions(FakeAudioCaptioner(), AUDIO)
    defaults = sessions.captioner.defaults
    *_, last = sessions.views(clip, defaults, "a", 0.5)
    assert last.finished.comparison.window.start == 0.5
    *_, last = sessions.column_views(last.finished, "beam", replace(defaults, length_penalty=2.0), "a")
    assert last.finished.comparison.window.start == 0.5


def test_a_diverse_column_stays_in_its_place(sessions, picture):
    *_, last = sessions.views(picture, CompareOptions(), "a")
    *_, last = sessions.column_views(last.finished, "diverse-beam", CompareOptions(diversity_penalty=2.0), "a")
    columns = last.finished.comparison.columns
    assert [column.method for column in columns] == ["hypothesis"] * 3 + ["beam", "diverse-beam"]
    assert [caption.text for caption in columns[-1].captions] == list(DIVERSE)
