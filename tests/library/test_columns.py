"""Which columns a comparison has, and which options each depends on."""

from dataclasses import fields, replace

import pytest

from lora_mcl.bundle import load_bundle
from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.columns import USED_OPTIONS, same_captions
from lora_mcl.errors import OptionsError
from lora_mcl.types import ColumnResult, CompareOptions, hypothesis_number

OPTIONS = CompareOptions(num_beams=4, num_beam_groups=2, num_samples=2, max_new_tokens=6)
# Another value of each option, chosen so that what depends on it may change.
CHANGES = {
    "num_beams": 2,
    "num_beam_groups": 1,
    "diversity_penalty": 3.0,
    "hypothesis_beams": 3,
    "max_new_tokens": 4,
    "min_new_tokens": 6,
    "repetition_penalty": 5.0,
    "no_repeat_ngram_size": 1,
    "length_penalty": -3.0,
    "num_samples": 1,
    "temperature": 5.0,
    "top_k": 2,
    "top_p": 0.2,
    "typical_p": 0.1,
    "seed": 5,
}


def column_specs(bundle, options):
    captioner = BundleCaptioner()
    captioner.bundle = bundle
    return captioner.columns(options)


def last(captioner, picture, options):
    *_, comparison = captioner.compare(picture, options)
    return comparison


def test_the_chosen_columns_are_there_in_the_bundles_order(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    ids = [spec.id for spec in column_specs(bundle, OPTIONS)]
    assert ids == ["hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam", "sampling"]
    some = replace(OPTIONS, columns=("beam", "hypothesis-2"))
    assert [(spec.id, spec.number) for spec in column_specs(bundle, some)] == [("hypothesis-2", 2), ("beam", None)]


def test_one_group_is_no_groups(tiny_bundle):
    for groups, said in ((1, "in one group that"), (2, "in 2 groups that")):
        diverse = column_specs(load_bundle(tiny_bundle), replace(OPTIONS, num_beam_groups=groups))[-2]
        assert said in str(diverse.description)


@pytest.mark.parametrize("columns", [("hypothesis-3",), ("beam", "guess")])
def test_a_column_that_is_not_there_is_named(tiny_bundle, columns):
    with pytest.raises(OptionsError, match=f"there is no column '{columns[-1]}'; there are hypothesis-0, "):
        column_specs(load_bundle(tiny_bundle), replace(OPTIONS, columns=columns))
    with pytest.raises(OptionsError, match="no column 'sampling'"):
        column_specs(load_bundle(tiny_bundle), replace(OPTIONS, num_samples=0, columns=("sampling",)))


@pytest.mark.parametrize("columns", [["beam"], "beam", (1,)])
def test_columns_are_ids(columns):
    with pytest.raises(OptionsError, match="columns must be ids"):
        CompareOptions(columns=columns)


@pytest.mark.parametrize("columns", [("hypothesis-1",), ("diverse-beam", "hypothesis-2"), ("sampling",)])
def test_chosen_columns_have_the_captions_they_have_among_all(tiny_captioner, picture, columns):
    among_all = last(tiny_captioner, picture, OPTIONS)
    alone = last(tiny_captioner, picture, replace(OPTIONS, columns=columns))
    assert {column.id for column in alone.columns} == set(columns)
    for column in alone.columns:
        expected = among_all.column(column.id).captions
        assert [caption.text for caption in column.captions] == [caption.text for caption in expected]
        log_probs = [caption.log_prob for caption in expected]
        assert [caption.log_prob for caption in column.captions] == pytest.approx(log_probs, abs=1e-4)


def test_the_used_options_are_all_options_and_no_others():
    used = {name for names in USED_OPTIONS.values() for name in names}
    assert used == {field.name for field in fields(CompareOptions)} - {"columns"} == set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_column_changes_with_no_option_but_its_own(tiny_captioner, picture, name):
    changed = replace(OPTIONS, **{name: CHANGES[name]})
    before, after = (last(tiny_captioner, picture, options) for options in (OPTIONS, changed))
    for column in before.columns:
        if same_captions(column.method, OPTIONS, changed):
            assert name not in USED_OPTIONS[column.method]
            texts = [caption.text for caption in column.captions]
            assert [caption.text for caption in after.column(column.id).captions] == texts
        else:
            assert name in USED_OPTIONS[column.method]


def test_hypotheses_are_numbered_by_their_ids():
    ids = ("hypothesis-0", "hypothesis-12", "beam", "diverse-beam")
    assert [hypothesis_number(id) for id in ids] == [0, 12, None, None]
    assert ColumnResult("hypothesis-4", "hypothesis", "", 0.0).number == 4
