"""The captioner of a tiny random bundle gives what PEFT and transformers generate, for images and sounds."""

from dataclasses import replace
from pathlib import Path

import pytest

from lora_mcl.bundle import load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.types import Comparison
from tests.support.comparisons import generate, last, texts
from tests.support.tiny_bundle import TinyModel


@pytest.fixture(scope="module")
def final(tiny_model) -> Comparison:
    """The complete comparison of the tiny model's file."""
    return last(tiny_model.captioner.compare(tiny_model.media))


def reference(tiny_model: TinyModel, folder: Path | None, **options) -> list[str]:
    """Captions by PEFT and transformers."""
    return generate(tiny_model.modality, tiny_model.base, tiny_model.media, folder, **options)


@pytest.mark.parametrize("k", range(3))
def test_a_hypothesis_is_what_peft_and_transformers_generate(tiny_model, final, k):
    assert texts(final)[f"hypothesis-{k}"] == reference(tiny_model, tiny_model.bundle / f"hypotheses/{k}")


def test_beam_search_is_what_peft_and_transformers_generate(tiny_model, final):
    expected = reference(tiny_model, tiny_model.bundle / "baseline", num_beams=4, num_return_sequences=4)
    assert texts(final)["beam"] == expected


def test_without_a_baseline_the_bare_base_is_used_and_named(tiny_model):
    captioner = Captioner.load(replace(load_bundle(tiny_model.bundle), baseline=None), device="cpu")
    beam, diverse = captioner.columns()[-2:]
    assert beam.label == "Beam search (base)" and "base model alone" in beam.description
    assert diverse.label == "Diverse beam search (base)" and "base model alone" in diverse.description
    expected = reference(tiny_model, None, num_beams=4, num_return_sequences=4)
    assert texts(last(captioner.compare(tiny_model.media)))["beam"] == expected


def test_the_medium_is_encoded_once(tiny_model):
    captioner = Captioner.load(tiny_model.bundle, device="cpu")
    seen = []
    model = captioner._model.model.model
    tower = model.vision_tower if tiny_model.modality == "image" else model.audio_tower
    tower.register_forward_hook(lambda *_: seen.append(1))
    last(captioner.compare(tiny_model.media))
    assert len(seen) == 1
