"""The cards hold what the results files hold, and the committed models are of the size they promise."""

import io
import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from lora_mcl.bundle import load_bundle
from tests.support.embedded import DOMAINS, packed_sounds
from training.embedded.audio import card as audio_card
from training.embedded.audio import examples as audio_examples
from training.embedded.audio.captions.parser import load_parser
from training.embedded.audio.captions.scoring import score
from training.embedded.audio.render.clips import draw, material_split
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.bundle import hypothesis_refs
from training.embedded.card import cards, passages
from training.embedded.common.tables import filled, table

MEGABYTE = 1_000_000


@pytest.fixture(params=DOMAINS)
def domain(request):
    return DOMAINS[request.param]


@pytest.fixture
def results(domain):
    return json.loads(domain.results_file.read_text(encoding="utf-8"))


def test_every_figure_of_a_card_comes_from_the_results(domain):
    texts = passages(domain)
    for file in cards(domain):
        text = file.read_text(encoding="utf-8")
        assert f"<!-- {domain.name}_" in text
        assert filled(text, texts) == text, f"run `python -m training.embedded.card {domain.name}`"


def test_only_the_named_passages_are_replaced():
    text = "a <!-- mine -->\nold\n<!-- /mine --> b <!-- other -->\nkept\n<!-- /other -->"
    assert filled(text, {"mine": "new"}) == text.replace("old", "new")
    assert filled("<!-- mine -->\n<!-- /mine -->", {"mine": "new"}) == "<!-- mine -->\nnew\n<!-- /mine -->"


def test_tables():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_embedded_bundle_is_complete_and_small(domain, results):
    bundle = load_bundle(domain.bundle_dir)
    assert bundle.modality == domain.name and len(bundle.hypotheses) == 3 and bundle.baseline is not None
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    assert bundle.hypotheses == hypothesis_refs(domain, main)
    for folder in (domain.model_dir, domain.bundle_dir):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= 45 * MEGABYTE
        assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".jinja"}


def test_the_audio_card_credits_whisper():
    card = (DOMAINS["audio"].model_dir / "README.md").read_text(encoding="utf-8")
    assert "Copyright (c) 2022 OpenAI" in card


def test_columns_are_stable(domain, results):
    """What the caption gate is for: one hypothesis a mode, from one input to the next."""
    found = results["test"]["likelihood"]["caption-gate"]["stability"]
    assert found["distinct"] and min(found["share"]) >= 0.95
    split = "seen" if domain.name == "image" else "test"
    hypotheses = results[split]["generation"]["caption-gate"]["hypotheses"]
    assert all(report["in_mode"] >= 0.95 for report in hypotheses.values())


def test_hypotheses_fit_better_than_one_adapter(results):
    for split in ("test", "seen"):
        likelihood = results[split]["likelihood"]
        oracle = likelihood["caption-gate"]["oracle_nll"]
        assert oracle < min(likelihood["mle"]["nll"], likelihood["mle-wide"]["nll"])


def test_the_committed_audio_weights_caption_the_examples_in_their_annotators_words(embedded_audio_captioner):
    """Through the page's own code; the examples were chosen because the model describes them well."""
    domain = DOMAINS["audio"]
    lexicon, right = load_lexicon(), []
    modes = {label: mode for mode, (label, _) in domain.annotators.labels.items()}
    expected = [modes[ref.label] for ref in load_bundle(domain.bundle_dir).hypotheses]
    listed = json.loads((domain.examples_dir / "examples.json").read_text(encoding="utf-8"))
    for example, entry in zip(audio_examples.EXAMPLES, listed, strict=True):
        scene, _ = draw(example.split, example.number, packed_sounds(material_split(example.split)))
        *_, final = embedded_audio_captioner.compare(domain.examples_dir / entry["file"])
        parsed = [load_parser().parse(text) for text in final.captions("hypothesis")]
        assert [one.mode for one in parsed] == expected, entry["title"]
        right += [score(lexicon, scene, one).nothing_wrong for one in parsed]
    assert sum(right) >= 0.8 * len(right)


def test_audio_examples_are_clips_of_the_pack(tmp_path):
    examples, folder = audio_examples.EXAMPLES, DOMAINS["audio"].examples_dir
    assert len(examples) >= 8 and len({one.title for one in examples}) == len(examples)
    listed = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    assert [entry["title"] for entry in listed] == [one.title for one in examples]
    entry = audio_examples.write(examples[0], packed_sounds(material_split(examples[0].split)), tmp_path)
    waves = [soundfile.read(where / entry["file"])[0] for where in (tmp_path, folder)]
    # Opus decoders may differ in the last bits.
    assert waves[0].shape == waves[1].shape == (160_000,) and np.abs(waves[0] - waves[1]).max() < 0.01


def test_audio_thumbnails_show_their_sounds():
    folder = DOMAINS["audio"].examples_dir
    listed = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    committed, drawn = [], []
    for entry in listed:
        with Image.open(folder / entry["thumbnail"]) as picture:
            committed.append(np.asarray(picture.convert("LA"), float)[..., 1])
        samples, _ = soundfile.read(folder / entry["file"], dtype="float32")
        with Image.open(io.BytesIO(audio_examples.thumbnail(samples))) as picture:
            drawn.append(np.asarray(picture.convert("LA"), float)[..., 1])
    differences = np.array([[np.abs(one - other).mean() for other in committed] for one in drawn])
    # Encoders may differ in the last bits; another sound is another picture.
    assert np.diag(differences).max() < 2 < 10 < (differences + 1000 * np.eye(len(listed))).min()


def test_sounds_are_listed_from_best_to_worst():
    split = {
        "sounds": {
            "dog": {"clips": 9, "named": 0.9},
            "cat": {"clips": 9, "named": 0.5},
            "cow": {"clips": 9, "named": 0.1},
            "pig": {"clips": audio_card.LEAST_CLIPS - 1, "named": 1.0},
        }
    }
    rows = audio_card.sounds(split).splitlines()[2:]
    assert rows[0] == "| a dog barks | 90.0 % | a cow moos | 10.0 % |"
    assert rows[1] == "| a cat meows | 50.0 % | a cat meows | 50.0 % |" and "pig" not in audio_card.sounds(split)
