"""The audio cards say what the results file says, and the committed model is of the size they promise."""

import json

import pytest

from lora_mcl.bundle import load_bundle
from training.embedded.audio import card
from training.embedded.audio.bundle import BUNDLE_DIR, LABELS, MODEL_DIR, hypothesis_refs
from training.embedded.audio.captions.reader import read
from training.embedded.audio.captions.scoring import score
from training.embedded.audio.evaluate import RESULTS
from training.embedded.audio.examples import EXAMPLES, EXAMPLES_DIR
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import PACK_DIR
from training.embedded.audio.render.clips import draw, material_split
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.tables import filled


@pytest.mark.parametrize("template", card.CARDS, ids=lambda path: path.stem)
def test_every_figure_of_a_card_comes_from_the_results(template):
    passages = card.blocks(json.loads(RESULTS.read_text(encoding="utf-8")))
    made = filled(template.read_text(encoding="utf-8"), passages)
    assert card.CARDS[template].read_text(encoding="utf-8") == made, "run `python -m training.embedded.audio.card`"


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_embedded_bundle_is_complete_and_small(results):
    bundle = load_bundle(BUNDLE_DIR)
    assert bundle.modality == "audio" and len(bundle.hypotheses) == 3 and bundle.baseline is not None
    assert bundle.hypotheses == hypothesis_refs(results["test"]["likelihood"]["caption-gate"]["stability"]["main"])
    files = [path for folder in (MODEL_DIR, BUNDLE_DIR) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".jinja"}
    assert "Copyright (c) 2022 OpenAI" in (MODEL_DIR / "README.md").read_text(encoding="utf-8")


def test_columns_are_stable_on_the_test_clips(results):
    found = results["test"]["likelihood"]["caption-gate"]["stability"]
    assert found["distinct"] and min(found["share"]) >= 0.95
    hypotheses = results["test"]["generation"]["caption-gate"]["hypotheses"]
    assert all(report["in_mode"] >= 0.95 for report in hypotheses.values())


def test_hypotheses_fit_better_than_one_adapter(results):
    for split in ("test", "seen"):
        likelihood = results[split]["likelihood"]
        oracle = likelihood["caption-gate"]["oracle_nll"]
        assert oracle < min(likelihood["mle"]["nll"], likelihood["mle-wide"]["nll"])


def test_the_committed_weights_caption_the_examples_in_their_annotators_words(embedded_audio_captioner):
    """Through the page's own code; the examples were chosen because the model describes them well."""
    lexicon, right = load_lexicon(), []
    modes = {label: mode for mode, (label, _) in LABELS.items()}
    expected = [modes[ref.label] for ref in load_bundle(BUNDLE_DIR).hypotheses]
    listed = json.loads((EXAMPLES_DIR / "examples.json").read_text(encoding="utf-8"))
    for example, entry in zip(EXAMPLES, listed, strict=True):
        scene, _ = draw(example.split, example.number, Material(material_split(example.split), PACK_DIR))
        *_, final = embedded_audio_captioner.compare(EXAMPLES_DIR / entry["file"])
        readings = [read(text) for text in final.captions("hypothesis")]
        assert [reading.mode for reading in readings] == expected, entry["title"]
        right += [score(lexicon, scene, reading).nothing_wrong for reading in readings]
    assert sum(right) >= 0.8 * len(right)


def test_sounds_are_listed_from_best_to_worst():
    split = {
        "sounds": {
            "dog": {"clips": 9, "named": 0.9},
            "cat": {"clips": 9, "named": 0.5},
            "cow": {"clips": 9, "named": 0.1},
            "pig": {"clips": card.LEAST_CLIPS - 1, "named": 1.0},
        }
    }
    rows = card.sounds(split).splitlines()[2:]
    assert rows[0] == "| a dog barks | 90.0 % | a cow moos | 10.0 % |"
    assert rows[1] == "| a cat meows | 50.0 % | a cat meows | 50.0 % |" and "pig" not in card.sounds(split)
