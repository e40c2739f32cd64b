"""Several models in one tab, without a page."""

from dataclasses import replace
from shutil import copytree

import pytest

import app
from lora_mcl.bundle import load_bundle
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.served_pages import image_tab
from ui.loading import LoadingCaptioner, Waiting
from ui.modality import IMAGE
from ui.model_switch import model_choice
from ui.models import NamedModelOptions, SeveralCaptioners, SideBySide, captioner_of, with_model
from ui.sessions import Sessions
from ui.settings import SETTINGS, chosen_ids, options_for

AFTER = (("Objects", "Names things.", "a red bicycle and two sheep"), ("Places", "Says where.", "sheep at the sea"))
SENTENCES = [sentence for _, _, sentence in HYPOTHESES]
SHORT = CompareOptions(num_beams=2, num_beam_groups=1, max_new_tokens=30)


def last(captioner, picture, options):
    *_, comparison = captioner.compare(picture, options)
    return comparison


@pytest.fixture
def before() -> FakeCaptioner:
    return FakeCaptioner(name="before")


@pytest.fixture
def after() -> FakeCaptioner:
    return FakeCaptioner(name="after", hypotheses=AFTER, defaults=replace(SHORT, num_beams=1))


@pytest.fixture
def several(before, after) -> SeveralCaptioners:
    return SeveralCaptioners([before, after, SideBySide(before, after)])


def texts(comparison) -> list[list[str]]:
    return [[caption.text for caption in column.captions] for column in comparison.columns]


def test_the_named_model_answers(several, picture):
    assert several.names == ("before", "after", "before and after") and several.name == "before"
    assert last(several, picture, SHORT).model == "before"
    comparison = last(several, picture, with_model(SHORT, "after"))
    assert comparison.model == "after"
    assert texts(comparison)[:2] == [[sentence] for _, _, sentence in AFTER]
    with pytest.raises(OptionsError, match="There is no model 'other'; there are before, after, before and after"):
        several.compare(picture, with_model(SHORT, "other"))


def test_two_models_of_one_name_are_refused(before):
    with pytest.raises(BundleError, match="Two models of one tab are named before"):
        SeveralCaptioners([before, FakeCaptioner(name="before")])


def test_side_by_side_are_the_hypotheses_of_both(several, picture):
    snapshots = list(several.compare(picture, with_model(SHORT, "before and after")))
    comparison = snapshots[-1]
    assert comparison.done and comparison.model == "before and after"
    assert [column.id for column in comparison.columns] == [f"hypothesis-{k}" for k in range(5)]
    assert texts(comparison) == [[text] for text in (*SENTENCES, *(sentence for _, _, sentence in AFTER))]
    labels = [column.label for column in comparison.columns]
    assert labels[0] == "English, objects · before" and labels[3:] == ["Objects · after", "Places · after"]
    # Both write at the same time.
    halfway = next(one for one in snapshots if one.columns[0].captions)
    assert all(len(column.captions[0].text.split()) == 1 for column in halfway.columns)


def test_side_by_side_some_columns_are_chosen(before, after, picture):
    both = SideBySide(before, after)
    chosen = replace(SHORT, columns=("hypothesis-1", "hypothesis-4"))
    assert texts(last(both, picture, chosen)) == [[SENTENCES[1]], [AFTER[1][2]]]
    # Only the model of a chosen column computes.
    steps = before.steps
    assert texts(last(both, picture, replace(SHORT, columns=("hypothesis-3",)))) == [[AFTER[0][2]]]
    assert before.steps == steps
    with pytest.raises(OptionsError, match="no column 'beam'"):
        both.compare(picture, replace(SHORT, columns=("beam",)))


def test_side_by_side_ends_both(before, after, picture):
    stopped = list(SideBySide(before, after).compare(picture, SHORT, should_stop=lambda: True))[-1]
    assert stopped.stopped and not stopped.done
    snapshots = SideBySide(before, after).compare(picture, SHORT)
    next(snapshots)
    snapshots.close()
    assert before.closed == after.closed == 2
    with pytest.raises(OptionsError, match="one model at a time"):
        SideBySide(before, after).score(picture, "a cat")


def test_side_by_side_of_models_that_are_loading(before, tiny_bundle, picture):
    loading = LoadingCaptioner(load_bundle(tiny_bundle), lambda: before)
    snapshots = SideBySide(before, loading).compare(picture, SHORT)
    assert isinstance(next(snapshots), Waiting)
    snapshots.close()


def test_settings_are_for_the_model_that_is_asked_for(several, after):
    values = {setting.name: getattr(SHORT, setting.name) for setting in SETTINGS}
    options = options_for({**values, "model": "after", "columns": ["hypothesis-1", "beam"]}, several)
    assert isinstance(options, NamedModelOptions) and options.model == "after"
    assert options.columns == ("hypothesis-1", "beam") == tuple(chosen_ids(options, several))
    assert captioner_of(several, options) is after
    assert options_for(values, several).model == "before"
    # What the page does not ask for is the model's own.
    after.defaults = replace(after.defaults, length_penalty=0.5)
    assert options_for({**values, "model": "after"}, several).length_penalty == 0.5
    for wrong, message in (("other", "There is no model 'other'"), (3, "must be one of before, after")):
        with pytest.raises(OptionsError, match=message):
            options_for({**values, "model": wrong}, several)
    with pytest.raises(OptionsError, match="There is no column 'hypothesis-2'"):
        options_for({**values, "model": "after", "columns": ["hypothesis-2"]}, several)


def test_each_session_shows_its_model(several):
    sessions = Sessions(several, IMAGE)
    sessions.choose_model("a", "after")
    assert "Places" in sessions.idle("a").columns["hypothesis-1"]
    assert "English, place" in sessions.idle("b").columns["hypothesis-1"]
    sessions.forget("a")
    assert "English, place" in sessions.idle("a").columns["hypothesis-1"]


def test_bundles_of_the_command_line_are_choices(tiny_bundle, picture):
    other = tiny_bundle.parent / "after"  # next to the base, which it names by a relative path
    copytree(tiny_bundle, other, dirs_exist_ok=True)
    arguments = ["--image-model", str(tiny_bundle), "--audio-model", "none", "--no-model-processes", "--more-models"]
    settings = app.settings_from([*arguments, f"{other}, "], {})
    assert settings.more_models == (str(other),)
    assert settings == app.settings_from(arguments[:-1], {"LORA_MCL_MORE_MODELS": str(other)})
    (tab,) = app.load_tabs(settings)
    first = load_bundle(tiny_bundle).name
    assert tab.captioner.names == (first, "after", f"{first} and after")
    assert [text.name for text in tab.texts] == list(tab.captioner.names)
    for captioner in tab.captioner.captioners[:2]:
        captioner.load()
    short = replace(SHORT, max_new_tokens=4)
    one = last(tab.captioner, picture, with_model(short, "after"))
    both = last(tab.captioner, picture, with_model(short, f"{first} and after"))
    assert texts(both) == texts(one)[:3] * 2


def test_bundles_without_a_tab_or_of_one_name_are_refused(tiny_bundle, tiny_audio_bundle, capsys):
    for arguments, message in (
        (["--audio-model", "none", "--more-models", str(tiny_audio_bundle)], "but --audio-model is none"),
        (["--audio-model", "none", "--more-models", str(tiny_bundle)], "Two models of one tab are named"),
    ):
        assert app.main(["--image-model", str(tiny_bundle), *arguments]) == app.USER_ERROR
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_one_bundle_has_no_choice(before):
    tab = image_tab(before)
    assert [text.name for text in tab.texts] == ["before"] and model_choice("image", before) is None
