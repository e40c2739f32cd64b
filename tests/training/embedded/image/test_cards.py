"""The cards say what the results file says, and the committed model is what the cards describe."""

import json

import pytest

from lora_mcl.bundle import load_bundle
from training.embedded.common.tables import filled, table
from training.embedded.image.bundle import BUNDLE_DIR, MODEL_DIR, hypothesis_refs
from training.embedded.image.card import CARDS, RESULTS, blocks

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.parent.name)
def test_every_figure_of_a_card_comes_from_the_results(card, results):
    text = card.read_text(encoding="utf-8")
    assert "<!-- " in text
    assert filled(text, blocks(results)) == text, "run `python -m training.embedded.image.card`"


def test_a_stale_card_is_noticed():
    assert filled("a\n<!-- x -->\nold\n<!-- /x -->\nb", {"x": "new"}) == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    assert filled("<!-- x -->\n<!-- /x -->", {"x": "new"}) == "<!-- x -->\nnew\n<!-- /x -->"


def test_tables():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_labels_follow_what_was_measured():
    assert [ref.label[:6] for ref in hypothesis_refs([2, 0, 1])] == ["Englis", "French", "Englis"]
    assert hypothesis_refs([2, 0, 1])[2].label == "English, objects"
    assert hypothesis_refs([0, 0, 1])[2].label == "Hypothesis 3"


def test_the_embedded_bundle_is_complete_and_small(results):
    bundle = load_bundle(BUNDLE_DIR)
    assert len(bundle.hypotheses) == 3 and bundle.baseline is not None
    assert bundle.hypotheses == hypothesis_refs(results["test"]["likelihood"]["caption-gate"]["stability"]["main"])
    for folder in (MODEL_DIR, BUNDLE_DIR):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= 25 * MEGABYTE
        assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".jinja"}


def test_columns_are_stable_on_the_test_scenes(results):
    """What the caption gate is for: one hypothesis a mode, from picture to picture."""
    found = results["test"]["likelihood"]["caption-gate"]["stability"]
    assert found["distinct"] and min(found["share"]) >= 0.95
    hypotheses = results["seen"]["generation"]["caption-gate"]["hypotheses"]
    assert all(report["in_mode"] >= 0.95 for report in hypotheses.values())


def test_hypotheses_fit_better_than_one_adapter(results):
    likelihood = results["test"]["likelihood"]
    oracle = likelihood["caption-gate"]["oracle_nll"]
    assert oracle < min(likelihood["mle"]["nll"], likelihood["mle-wide"]["nll"])
