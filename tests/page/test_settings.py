"""The settings that visitors and API clients may choose."""

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions, fitting_groups
from tests.support.fake_captioner import FakeCaptioner
from ui.settings import SETTINGS, chosen_ids, options_for, options_from

DEFAULTS = CompareOptions(num_beams=6, num_beam_groups=3, length_penalty=0.5, min_new_tokens=2, top_p=0.7)
VALUES = {setting.name: getattr(DEFAULTS, setting.name) for setting in SETTINGS}


def test_what_cannot_be_chosen_is_the_bundles():
    options = options_from({**VALUES, "num_beams": 4, "num_beam_groups": 2}, DEFAULTS)
    assert (options.num_beams, options.num_beam_groups) == (4, 2)
    assert (options.length_penalty, options.min_new_tokens, options.top_p) == (0.5, 2, 0.7)


@pytest.mark.parametrize(("beams", "groups"), [(6, 3), (4, 2), (9, 3), (5, 1), (1, 1), (2, 2)])
def test_groups_that_are_left_out_fit_the_beams(beams, groups):
    assert options_from({**VALUES, "num_beams": beams, "num_beam_groups": None}, DEFAULTS).num_beam_groups == groups
    assert fitting_groups(beams, 3) == groups


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_bounds_hold_at_equality_and_are_the_ones_in_the_message(setting):
    alone = {**VALUES, "num_beam_groups": 1 if setting.name == "num_beams" else 3}
    alone |= {"num_beams": 12} if setting.name == "num_beam_groups" else {}
    for value in (setting.low, setting.high):
        assert getattr(options_from({**alone, setting.name: value}, DEFAULTS), setting.name) == value
    whole = "number" if setting.name in ("diversity_penalty", "temperature") else "whole number"
    message = rf"\({setting.name}\) must be a {whole} from {setting.low} to {setting.high}, not "
    bad = [setting.low - 1, setting.high + 1, float("nan"), float("inf"), "3", True, [3], {"a": 1}, "x" * 10_000]
    bad += [setting.low + 0.5] if whole == "whole number" else []
    for value in bad:
        with pytest.raises(OptionsError, match=message) as raised:
            options_from({**alone, setting.name: value}, DEFAULTS)
        assert len(str(raised.value)) < 200


def test_a_value_that_is_missing_is_named():
    for name in VALUES.keys() - {"num_beam_groups"}:
        with pytest.raises(OptionsError, match=rf"\({name}\) must be"):
            options_from({key: value for key, value in VALUES.items() if key != name}, DEFAULTS)


def test_a_bundle_that_recommends_more_is_followed():
    generous = CompareOptions(num_beams=20, num_beam_groups=1)
    assert options_from({**VALUES, "num_beams": 20, "num_beam_groups": 1}, generous).num_beams == 20
    with pytest.raises(OptionsError, match="from 1 to 20, not 21"):
        options_from({**VALUES, "num_beams": 21, "num_beam_groups": 1}, generous)


def test_a_bundle_that_recommends_less_is_followed():
    cold = CompareOptions(temperature=0.05)
    assert options_from({**VALUES, "temperature": 0.05}, cold).temperature == 0.05
    with pytest.raises(OptionsError, match="from 0.05 to 2, not 0.01"):
        options_from({**VALUES, "temperature": 0.01}, cold)


@pytest.mark.parametrize(
    ("asked", "samples", "columns"),
    [
        (None, 0, ()),
        (["hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam"], 0, ()),
        (["beam", "hypothesis-2"], 0, ("hypothesis-2", "beam")),
        (["beam"], 2, ("beam", "sampling")),
        (["sampling"], 2, ("sampling",)),
    ],
)
def test_columns_are_chosen_in_their_order(asked, samples, columns):
    captioner = FakeCaptioner()
    options = options_for({**VALUES, "num_samples": samples, "columns": asked}, captioner)
    assert options.columns == columns
    if asked and "sampling" not in asked:
        assert set(chosen_ids(options, captioner)) == set(asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "Choose at least one column."),
        (["guess"], "There is no column 'guess'; there are hypothesis-0, hypothesis-1, hypothesis-2, beam, div"),
        ("beam", "must be a list such as .'hypothesis-0'.*, not 'beam'"),
        ([1], "must be a list"),
        ({"beam": True}, "must be a list"),
    ],
)
def test_columns_that_cannot_be_chosen_get_a_message(asked, message):
    with pytest.raises(OptionsError, match=message) as raised:
        options_for({**VALUES, "columns": asked}, FakeCaptioner())
    assert len(str(raised.value)) < 250
