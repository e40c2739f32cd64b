"""The captioner on a tiny random audio bundle: which part of a sound it captions, what it refuses, its tower."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import LlavaNextForConditionalGeneration, Qwen2AudioForConditionalGeneration

from lora_mcl.audio import load_audio
from lora_mcl.bundle import BaseRef, load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding import ColumnRequest, Engine, Greedy
from lora_mcl.errors import BundleError, MediaError, OptionsError
from lora_mcl.types import AudioClip
from tests.support.comparisons import IDS, generate, last, texts
from tests.support.tiny_audio import SAMPLING_RATE, chirp, tone


@pytest.fixture(scope="module")
def snapshots(tiny_audio_captioner, clip):
    return list(tiny_audio_captioner.compare(clip))


def test_the_final_result(snapshots):
    final = snapshots[-1]
    assert final.done and final.media == "clip.wav" and final.model == "audio-bundle"
    assert [len(column.captions) for column in final.columns] == [1, 1, 1, 4, 4]
    assert len(set(final.captions("hypothesis"))) == 3
    assert not final.window.cut and final.window.end == pytest.approx(0.8, abs=0.001)
    table = json.loads(json.dumps(final.to_dict(), allow_nan=False))
    assert [column["id"] for column in table["columns"]] == IDS
    assert table["window"] == {"start": 0.0, "end": final.window.end, "duration": final.window.duration}


@torch.no_grad()
def test_columns_together_are_columns_one_by_one(tiny_audio_captioner, clip):
    """Grouped = sequential: logits of a mixed prefill, and whole decodes."""
    model, stack, engine = (getattr(tiny_audio_captioner, name) for name in ("_model", "_stack", "_engine"))
    prompt = model.encode(load_audio(clip, SAMPLING_RATE), "Describe.")
    rows = list(range(4))
    with stack.rows(rows):
        together = model.model(inputs_embeds=prompt.inputs_embeds.expand(4, -1, -1)).logits
    for row in rows:
        with stack.rows([row]):
            alone = model.model(inputs_embeds=prompt.inputs_embeds).logits[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=0)
    requests = [ColumnRequest(str(row), row, Greedy()) for row in rows]

    def answers(requests):
        found = {}
        for event in Engine(model.model, stack, engine.eos_token_ids, engine.pad_token_id).decode(
            prompt, requests, max_new_tokens=10
        ):
            found |= event.columns
        return {id: candidates[0].tokens for id, candidates in found.items()}

    one_by_one = {}
    for request in requests:
        one_by_one |= answers([request])
    assert answers(requests) == one_by_one


def test_the_part_that_is_captioned(tiny_audio_captioner):
    """From second 1.5 on, a clip is captioned as if it began there."""
    samples = np.concatenate([tone(300, 1.5), chirp(1.2)])
    whole = AudioClip(samples, SAMPLING_RATE)
    part = AudioClip(samples[SAMPLING_RATE * 3 // 2 :][:SAMPLING_RATE], SAMPLING_RATE)
    final = last(tiny_audio_captioner.compare(whole, start=1.5))
    assert (final.window.start, final.window.end) == (1.5, 2.5) and final.window.cut
    assert texts(final) == texts(last(tiny_audio_captioner.compare(part)))
    assert texts(final) != texts(last(tiny_audio_captioner.compare(whole)))
    view = tiny_audio_captioner.audio_view(whole, 1.5)
    assert view.window == final.window
    assert np.array_equal(view.log_mel, tiny_audio_captioner.audio_view(part).log_mel)


def test_bad_sounds_are_refused_at_once(tiny_audio_captioner, tiny_captioner, picture, clip):
    with pytest.raises(MediaError, match="picture.png is not a sound"):
        tiny_audio_captioner.compare(picture)
    with pytest.raises(MediaError, match="captions sounds, not images"):
        tiny_audio_captioner.compare(Image.new("RGB", (32, 32)))
    with pytest.raises(OptionsError, match="start must be .* from 0 to 0.6"):
        tiny_audio_captioner.compare(clip, start=0.7)
    with pytest.raises(MediaError, match="clip.wav is not an image"):
        tiny_captioner.compare(clip)
    with pytest.raises(MediaError, match="captions images, not sounds"):
        tiny_captioner.compare(AudioClip(tone(440, 0.5), SAMPLING_RATE))
    with pytest.raises(OptionsError, match="start is the second of a sound"):
        tiny_captioner.compare(picture, start=1)
    with pytest.raises(OptionsError, match="captions images, not sounds"):
        tiny_captioner.audio_view(clip)


def test_a_bundle_whose_base_is_of_the_other_kind(tiny_bundle, tiny_audio_bundle):
    with pytest.raises(BundleError, match="'llava_next' model; a 'qwen2_audio' model is needed"):
        Captioner.load(replace(load_bundle(tiny_bundle), modality="audio"))
    with pytest.raises(BundleError, match="'qwen2_audio' model; a 'llava_next' model is needed"):
        Captioner.load(replace(load_bundle(tiny_audio_bundle), modality="image"))
    with pytest.raises(OptionsError, match="either device or device_map"):
        Captioner.load(tiny_audio_bundle, device="cpu", device_map="auto")


def reach_the_tower(model, folder, seed, targets):
    """Save a random adapter of ``model`` that PEFT places by the ends of names, in the tower too."""
    torch.manual_seed(seed)
    peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, target_modules=targets))
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    peft.save_pretrained(folder)


@pytest.mark.parametrize("targets", [["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"], ["linear", "v_proj"]])
def test_adapters_on_tower_or_projector_encode_separately(tiny_audio_bundle, tiny_audio_base, clip, tmp_path, targets):
    """The paper's targets (section 3.1): each hypothesis then has its own reading of the sound."""
    bundle = replace(load_bundle(tiny_audio_bundle), folder=tmp_path, base=BaseRef(path=str(tiny_audio_base)))
    for seed, ref in enumerate([*bundle.hypotheses, bundle.baseline]):
        model = Qwen2AudioForConditionalGeneration.from_pretrained(tiny_audio_base)
        reach_the_tower(model, tmp_path / ref.path, seed, targets)
    captioner = Captioner.load(bundle, device="cpu")
    seen = []
    captioner._model.model.model.audio_tower.register_forward_hook(lambda *call: seen.append(len(call[1][0])))
    final = texts(last(captioner.compare(clip)))
    assert seen == [4], "one row for each adapter, in one batch"
    for k in range(3):
        assert final[f"hypothesis-{k}"] == generate("audio", tiny_audio_base, clip, tmp_path / f"hypotheses/{k}")
    beams = generate("audio", tiny_audio_base, clip, tmp_path / "baseline", num_beams=4, num_return_sequences=4)
    assert final["beam"] == beams
    bare = texts(last(Captioner.load(replace(bundle, baseline=None), device="cpu").compare(clip)))
    assert bare["beam"] == generate("audio", tiny_audio_base, clip, None, num_beams=4, num_return_sequences=4)


def test_adapters_on_a_vision_tower_are_refused(tiny_bundle, tiny_base, tmp_path):
    bundle = replace(load_bundle(tiny_bundle), folder=tmp_path, base=BaseRef(path=str(tiny_base)), baseline=None)
    for seed, ref in enumerate(bundle.hypotheses):
        model = LlavaNextForConditionalGeneration.from_pretrained(tiny_base)
        reach_the_tower(model, tmp_path / ref.path, seed, ["q_proj"])
    with pytest.raises(BundleError, match="vision tower .* not supported for images"):
        Captioner.load(bundle, device="cpu")
