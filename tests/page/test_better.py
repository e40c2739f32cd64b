"""The panel "Is it better?": outcomes of small cases, figures from the committed files, and what a visitor sees."""

import json

import pytest
from playwright.sync_api import expect

import app
from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, load_bundle
from lora_mcl.errors import BundleError
from tests.support.browsing import screenshot
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from ui.better import Better, Duel, Measure, better_html, load_better
from ui.results import load_results

pytestmark = GRADIO_WARNINGS


def test_outcomes_by_hand():
    measure = Measure("Right", 0.50, (0.44, 0.505, 0.51))
    assert [measure.outcome(index) for index in range(3)] == ["better", "equal", "worse"]
    overlap = Measure("Overlap", 0.1, (0.5, 0.09), higher_is_better=False)
    assert [overlap.outcome(index) for index in range(2)] == ["better", "worse"]


def test_the_panel_shows_wins_ties_and_losses():
    found = Better(
        "On <3> pictures.",
        (Measure("Right", 0.5, (0.4, 0.6)), Measure("Overlap", 0.1, (0.5, 0.1), higher_is_better=False)),
        (Duel("Beam search", 3, 5, 2),),
    )
    page = better_html(found)
    assert "against beam search: better on 2 of 2 measures, equal on 0, worse on 0" in page
    assert "against diverse beam search: better on 0 of 2 measures, equal on 1, worse on 1" in page
    assert "On 10 real photographs" in page and "3 wins, 5 ties, 2 losses" in page
    assert '<td data-outcome="worse">60.0%<small>hypotheses worse</small>' in page and "On &lt;3&gt;" in page


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_figures_are_those_of_the_file(modality):
    file = app.RESULTS / f"{modality}.json"
    content, found = json.loads(file.read_text()), load_better(modality, file)
    generation = content["test"]["generation"]
    overlap = found.measures[0]
    assert overlap.ours == generation["caption-gate"]["diversity"]["mutual_bleu"]
    assert overlap.baselines == tuple(generation[s]["diversity"]["mutual_bleu"] for s in ("beam", "diverse-beam"))
    field = {"image": "recall", "audio": "family_recall"}[modality]
    average = found.measures[3]
    assert (average.ours, average.baselines[0]) == tuple(generation[s]["mean"][field] for s in ("caption-gate", "beam"))
    assert f"{content['test']['captioned']:,}" in found.about
    assert bool(found.duels) == (modality == "image")
    for duel in found.duels:
        assert duel.wins + duel.ties + duel.losses == len(content["photographs"]["entries"])
    if found.duels:
        entries, objects = content["photographs"]["entries"], content["photographs"]["objects_column"]
        named = [[bool(entry["columns"][c]["main"]) for c in (objects, "beam")] for entry in entries]
        assert found.duels[0].wins - found.duels[0].losses == sum(a - b for a, b in named)


def test_a_file_without_these_results_is_named(tmp_path):
    (tmp_path / "image.json").write_text("{}")
    with pytest.raises(BundleError, match=r"image\.json does not hold the results of the image model"):
        load_better("image", tmp_path / "image.json")
    with pytest.raises(BundleError, match="does not hold"):
        load_better("image", tmp_path / "missing.json")


def test_only_the_embedded_bundles_have_the_panel(tiny_bundle):
    assert app.better_than(load_bundle(EMBEDDED_BUNDLE)).duels and app.better_than(load_bundle(EMBEDDED_AUDIO_BUNDLE))
    assert app.better_than(load_bundle(tiny_bundle)) is None


@pytest.mark.browser
def test_a_visitor_reads_the_panel_and_goes_to_the_results(visit, serve, tmp_path):
    better = load_better("image", app.RESULTS / "image.json")
    page = visit(serve(image_tab(better=better), results=load_results(app.RESULTS)))
    panel = page.locator("#image-better")
    expect(panel.locator("table")).to_be_hidden()
    panel.locator("summary").click()
    expect(panel.locator("tbody tr")).to_have_count(len(better.measures))
    screenshot(page, "better", tmp_path)
    panel.locator(".to-tab").click()
    expect(page.get_by_role("tab", name="Results")).to_have_attribute("aria-selected", "true")
