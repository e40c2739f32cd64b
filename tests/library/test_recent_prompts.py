"""Prompts that are kept for those who ask for the same media again."""

import numpy as np
import pytest
from PIL import Image

from lora_mcl.captioner import Captioner
from lora_mcl.recent_prompts import RecentPrompts
from lora_mcl.types import CompareOptions
from tests.support.comparisons import last

OPTIONS = CompareOptions(num_beams=2, num_beam_groups=1, max_new_tokens=6)


def test_the_last_ones_are_kept_by_content():
    kept, encoded = RecentPrompts(2), []

    def get(content) -> object:
        return kept.get(content, lambda: encoded.append(content) or object())

    red, blue = (Image.new("RGB", (4, 2), colour) for colour in ("red", "blue"))
    first = get(red)
    assert get(red.copy()) is first and len(encoded) == 1
    get(blue)
    assert get(red) is first, "used last, so kept longer"
    get(np.zeros(3, np.float32))
    assert get(red) is first and len(encoded) == 3
    get(blue)
    assert len(encoded) == 4, "the one that was not used for longest went"


def test_shape_and_kind_count():
    kept = RecentPrompts(9)
    contents = [
        *(Image.new("L", size) for size in ((4, 2), (2, 4))),
        *(np.zeros(shape, dtype) for shape in (8, (2, 4)) for dtype in ("<f4", "<i4")),
    ]
    prompts = [kept.get(content, object) for content in contents]
    assert len(set(map(id, prompts))) == len(contents)


def test_nothing_is_kept_unless_asked():
    kept = RecentPrompts(0)
    picture = Image.new("L", (2, 2))
    assert kept.get(picture, object) is not kept.get(picture, object)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_captions_of_a_kept_prompt_are_the_same(
    modality, tiny_bundle, tiny_audio_bundle, tiny_captioner, tiny_audio_captioner, picture, clip
):
    bundle, fresh, file = {
        "image": (tiny_bundle, tiny_captioner, picture),
        "audio": (tiny_audio_bundle, tiny_audio_captioner, clip),
    }[modality]
    captioner = Captioner.load(bundle, device="cpu", keep_prompts=2)
    forwards = []
    decoder = captioner._model.model.model
    tower = decoder.vision_tower if modality == "image" else decoder.audio_tower
    tower.register_forward_hook(lambda *_: forwards.append(1))
    for options in (captioner.defaults, OPTIONS, captioner.defaults):
        expected = last(fresh.compare(file, options))
        found = last(captioner.compare(file, options))
        assert [c.captions for c in found.columns] == [c.captions for c in expected.columns]
    score = captioner.score(file, "A dog barks.")
    assert len(forwards) == 1
    assert score.hypotheses == fresh.score(file, "A dog barks.").hypotheses
