"""The captioner of a tiny random bundle gives what PEFT and transformers generate, for images and sounds."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lora_mcl.bundle import load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.types import Comparison
from tests.support.comparisons import generate, last, texts


@dataclass(frozen=True)
class Case:
    modality: str
    bundle: Path
    base: Path
    media: Path
    final: Comparison

    def generate(self, folder: Path | None, **options) -> list[str]:
        return generate(self.modality, self.base, self.media, folder, **options)


@pytest.fixture(scope="module", params=["image", "audio"])
def case(request) -> Case:
    names = {
        "image": ("tiny_captioner", "tiny_bundle", "tiny_base", "picture"),
        "audio": ("tiny_audio_captioner", "tiny_audio_bundle", "tiny_audio_base", "clip"),
    }
    captioner, bundle, base, media = (request.getfixturevalue(name) for name in names[request.param])
    return Case(request.param, bundle, base, media, last(captioner.compare(media)))


@pytest.mark.parametrize("k", range(3))
def test_a_hypothesis_is_what_peft_and_transformers_generate(case, k):
    assert texts(case.final)[f"hypothesis-{k}"] == case.generate(case.bundle / f"hypotheses/{k}")


def test_beam_search_is_what_peft_and_transformers_generate(case):
    expected = case.generate(case.bundle / "baseline", num_beams=4, num_return_sequences=4)
    assert texts(case.final)["beam"] == expected


def test_without_a_baseline_the_bare_base_is_used_and_named(case):
    captioner = Captioner.load(replace(load_bundle(case.bundle), baseline=None), device="cpu")
    beam, diverse = captioner.columns()[-2:]
    assert beam.label == "Beam search (base)" and "base model alone" in beam.description
    assert diverse.label == "Diverse beam search (base)" and "base model alone" in diverse.description
    expected = case.generate(None, num_beams=4, num_return_sequences=4)
    assert texts(last(captioner.compare(case.media)))["beam"] == expected


def test_the_medium_is_encoded_once(case):
    captioner = Captioner.load(case.bundle, device="cpu")
    seen = []
    model = captioner._model.model.model
    tower = model.vision_tower if case.modality == "image" else model.audio_tower
    tower.register_forward_hook(lambda *_: seen.append(1))
    last(captioner.compare(case.media))
    assert len(seen) == 1
