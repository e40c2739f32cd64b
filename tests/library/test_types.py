"""Options are checked when they are made; results become the documented JSON."""

import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.types import (
    AudioClip,
    Caption,
    ColumnResult,
    ColumnSpec,
    CompareOptions,
    Comparison,
    Window,
)

WHOLE = ("num_beams", "num_beam_groups", "hypothesis_beams", "max_new_tokens")
REAL = ("diversity_penalty", "repetition_penalty", "length_penalty")
DRAWING = ("num_samples", "temperature", "top_k", "top_p", "typical_p", "seed")

COMPARISON = Comparison(
    media="cat.jpg",
    model="image",
    seconds=1.5,
    columns=(
        ColumnResult("hypothesis-0", "hypothesis", "English", 0.5, (Caption("A cat.", -2.0, -0.5, 4),), done=True),
        ColumnResult("hypothesis-1", "hypothesis", "Français", 0.6, (Caption("Un chat.", -3.0, -0.6, 5),), done=True),
        ColumnResult("beam", "beam", "Beam search", 1.0, (Caption("A cat.", -1.0, -0.25, 4), Caption("", 0, 0, 0))),
    ),
    done=True,
)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [0, -1, 10**6, 2.0, "3", True, None])
def test_whole_numbers(name, value):
    with pytest.raises(OptionsError, match=f"^{name} must be a whole number"):
        CompareOptions(**{name: value})


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, None])
def test_real_numbers(name, value):
    with pytest.raises(OptionsError, match=f"^{name} must be a finite number"):
        CompareOptions(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 4, "num_beam_groups": 3}, "num_beam_groups must divide num_beams: 4 beams"),
        ({"num_beams": 2, "num_beam_groups": 4}, "num_beam_groups must divide num_beams: 2 beams"),
        ({"diversity_penalty": -0.1}, "^diversity_penalty must be a finite number from 0 to 1000"),
        ({"repetition_penalty": 0}, "^repetition_penalty must be a finite number from 0.01 to 100"),
        ({"num_samples": -1}, "^num_samples must be a whole number from 0 to 64, not -1"),
        ({"num_samples": 65}, "^num_samples must be a whole number from 0 to 64, not 65"),
        ({"min_new_tokens": -1}, "^min_new_tokens must be a whole number from 0 to 4096, not -1"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens must be at most max_new_tokens: 9 > 8"),
        ({"temperature": 0}, "^temperature must be above 0"),
        ({"temperature": 1e-40}, "^temperature must be a finite number from 1e-06 to 100, not 1e-40"),
        ({"temperature": 101}, "^temperature must be a finite number from 1e-06 to 100"),
        ({"length_penalty": 300}, "^length_penalty must be a finite number from -20 to 20, not 300"),
        ({"length_penalty": -20.1}, "^length_penalty must be a finite number from -20 to 20"),
        ({"top_k": 0}, "^top_k must be a whole number of at least 1"),
        ({"top_p": 1.1}, "^top_p must be above 0 and at most 1"),
        ({"typical_p": 0}, "^typical_p must be above 0 and at most 1"),
        ({"seed": -1}, "^seed must be a whole number"),
    ],
)
def test_contradictions_and_ranges(options, message):
    with pytest.raises(OptionsError, match=message):
        CompareOptions(**options)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("num_beams", 1, 64),
        ("hypothesis_beams", 1, 64),
        ("num_samples", 0, 64),
        ("max_new_tokens", 1, 4096),
        ("min_new_tokens", 0, 4096),
        ("no_repeat_ngram_size", 0, 4096),
    ],
)
def test_whole_numbers_at_their_bounds(name, least, most):
    others = {"num_beam_groups": 1, "max_new_tokens": 4096}
    for value in (least, most):
        assert getattr(CompareOptions(**(others | {name: value})), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(OptionsError, match=f"^{name} must be a whole number from {least} to {most}, not {value}"):
            CompareOptions(**(others | {name: value}))


def test_groups_at_their_bounds():
    """They divide the beams, so there are no more than beams."""
    assert CompareOptions(num_beams=64, num_beam_groups=64).num_beam_groups == 64
    for groups in (0, 65):
        with pytest.raises(OptionsError, match="^num_beam_groups must be a whole number from 1 to 64"):
            CompareOptions(num_beams=64, num_beam_groups=groups)


def test_the_shortest_caption_may_be_the_longest():
    assert CompareOptions(min_new_tokens=8, max_new_tokens=8).min_new_tokens == 8


def test_defaults():
    assert asdict(CompareOptions()) == {
        "num_beams": 3,
        "num_beam_groups": 3,
        "diversity_penalty": 0.8,
        "hypothesis_beams": 1,
        "max_new_tokens": 48,
        "min_new_tokens": 0,
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "length_penalty": 1.0,
        "num_samples": 0,
        "temperature": 1.0,
        "top_k": None,
        "top_p": 0.95,
        "typical_p": 1.0,
        "seed": 0,
        "columns": (),
    }


@pytest.mark.parametrize(("end", "cut"), [(9.0, True), (9.9, True), (9.96, False), (10.0, False)])
def test_a_part_is_a_part_if_the_notice_can_show_it(end, cut):
    window = Window(0.0, end, 10.0)
    assert window.cut == cut and bool(window.notice) == cut
    assert Window(1.0, 10.0, 10.0).cut and Window(1.0, 10.0, 10.0).notice.startswith("The model takes second 1.0 to 10")


def test_a_window_and_notices_are_in_the_json_where_there_are_any():
    table = replace(COMPARISON, window=Window(1.0, 2.0, 3.0), notices=("It looks black.",)).to_dict()
    assert table["window"] == {"start": 1.0, "end": 2.0, "duration": 3.0} and table["notices"] == ["It looks black."]


@pytest.mark.parametrize("rate", [16_000, np.int64(16_000)])
def test_clips_of_one_channel_and_of_several(rate):
    for samples in (np.zeros(3), np.zeros((3, 2), np.float32)):
        assert AudioClip(samples, rate).sampling_rate == 16_000


def test_good_options():
    options = CompareOptions(num_beams=1, num_beam_groups=1, diversity_penalty=0, length_penalty=-1.0)
    assert options.num_beams == 1
    with pytest.raises(FrozenInstanceError):
        options.num_beams = 2
    assert {field.name for field in fields(options)} == {
        *WHOLE,
        "min_new_tokens",
        "no_repeat_ngram_size",
        *REAL,
        *DRAWING,
        "columns",
    }


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of"):
        ColumnSpec("guess", "guessing", "Guessing", "")


def test_json_form():
    table = COMPARISON.to_dict()
    assert list(table) == ["media", "model", "seconds", "columns"]
    assert list(table["columns"][0]) == ["id", "method", "label", "seconds", "captions"]
    assert table["columns"][0]["captions"] == [{"text": "A cat.", "log_prob": -2.0, "mean_log_prob": -0.5, "tokens": 4}]


@pytest.mark.parametrize("columns", [["beam"], "beam", ("beam", 3), (None,), None])
def test_columns_are_a_tuple_of_ids(columns):
    with pytest.raises(OptionsError, match="columns must be ids of columns, such as hypothesis-0 and beam, not"):
        CompareOptions(columns=columns)
    assert CompareOptions(columns=("beam", "hypothesis-0")).columns == ("beam", "hypothesis-0")


def test_columns_and_captions_by_name():
    assert COMPARISON.column("beam").label == "Beam search"
    with pytest.raises(KeyError):
        COMPARISON.column("sampling")
    assert COMPARISON.captions("hypothesis") == ("A cat.", "Un chat.")
    assert COMPARISON.captions("diverse-beam") == ()


def test_bounds_are_inclusive_and_safe_to_decode_with():
    extremes = CompareOptions(
        length_penalty=20, temperature=1e-6, repetition_penalty=100, diversity_penalty=1000, max_new_tokens=4096
    )
    assert math.isfinite(extremes.max_new_tokens**extremes.length_penalty)
    CompareOptions(length_penalty=-20.0, temperature=100, repetition_penalty=0.01, diversity_penalty=0)


def test_groups_follow_beams_that_are_changed_alone():
    defaults = CompareOptions(num_beams=6, num_beam_groups=3)
    assert defaults.with_changes({"num_beams": 4}).num_beam_groups == 2
    assert defaults.with_changes({"num_beams": 5}).num_beam_groups == 1
    assert defaults.with_changes({"num_beams": 9, "seed": 5}) == CompareOptions(num_beams=9, num_beam_groups=3, seed=5)
    assert defaults.with_changes({"num_beams": 4, "num_beam_groups": 2}).num_beam_groups == 2
    with pytest.raises(OptionsError, match="num_beam_groups must divide num_beams"):
        defaults.with_changes({"num_beams": 4, "num_beam_groups": 3})
    with pytest.raises(OptionsError, match="num_beams must be a whole number"):
        defaults.with_changes({"num_beams": "4"})
    with pytest.raises(OptionsError, match="beams is no option; there are "):
        defaults.with_changes({"beams": 4})


def test_a_score_is_in_the_json_where_there_is_one():
    assert Caption("A cat.", -2.0, -0.5, 4, score=-0.25).to_dict()["score"] == -0.25
    assert "score" not in Caption("A cat.", -2.0, -0.5, 4).to_dict()


def test_a_new_snapshot_is_neither_done_nor_stopped():
    column = ColumnResult("beam", "beam", "Beam search", 0.0)
    assert (column.captions, column.done) == ((), False)
    comparison = Comparison("a.png", "model", 0.0, (column,))
    assert (comparison.window, comparison.notices, comparison.done, comparison.stopped) == (None, (), False, False)
    assert (ColumnSpec("beam", "beam", "Beam search", "").revises, Window(0.0, 1.0, 1.0).notices) == (False, ())
    assert Caption("A cat.", -1.0, -0.5, 2).score is None and Caption("A cat.", -1.0, -0.5, 2).least_log_prob is None


def test_win_probabilities_are_those_of_the_hypotheses_alone():
    columns = tuple(
        ColumnResult(id, method, id, 0.0)
        for id, method in (("beam", "beam"), ("hypothesis-1", "hypothesis"), ("hypothesis-0", "hypothesis"))
    )
    found = Comparison("a.png", "model", 1.0, columns).with_win_probabilities([0.25, 0.75])
    assert [column.win_probability for column in found.columns] == [None, 0.75, 0.25]
    assert [column.predicted_winner for column in found.columns] == [columns[0].predicted_winner, True, False]
    assert [column.id for column in found.columns] == [column.id for column in columns] and found.seconds == 1.0
