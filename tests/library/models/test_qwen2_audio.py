"""Splitting Qwen2-Audio's forward in two changes no number; what is refused; adapters on the audio tower."""

import json
import re
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen2AudioForConditionalGeneration

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle.import_official import CHAT_TEMPLATES, PROMPTS
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.models import AudioLanguageModel
from lora_mcl.models.qwen2_audio import embed_prompt, tower_features
from lora_mcl.trainer.batch import pad_left
from tests.support.encoded_prompts import assert_stock_generation
from tests.support.tiny_audio import (
    MEL_BINS,
    SAMPLING_RATE,
    chirp,
    save_tiny_audio_base,
    tone,
)

PROMPT = "Describe the sound."
# In seconds: the tiny model's whole input, part of it, an odd part, hardly anything.
LENGTHS = [1.0, 0.6, 0.333, 0.2]


@pytest.fixture(scope="module")
def folder(tiny_audio_base):
    return tiny_audio_base


@pytest.fixture(scope="module")
def language_model(folder) -> AudioLanguageModel:
    return AudioLanguageModel.load(folder)


def test_load_gives_a_frozen_fp32_model_in_eval_mode(language_model):
    assert language_model.model.dtype == torch.float32
    assert not language_model.model.training
    assert not any(parameter.requires_grad for parameter in language_model.model.parameters())
    assert (language_model.sampling_rate, language_model.max_seconds) == (16_000, 1.0)


def test_load_in_another_dtype_and_by_a_device_map(folder):
    language_model = AudioLanguageModel.load(folder, dtype=torch.bfloat16, device_map={"": "cpu"})
    assert {parameter.dtype for parameter in language_model.model.parameters()} == {torch.bfloat16}
    assert language_model.encode(chirp(0.5), PROMPT).inputs_embeds.dtype == torch.bfloat16


def test_4_bits_without_the_package_names_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_4bit.is_bitsandbytes_available", lambda: False)
    with pytest.raises(BundleError, match="pip install -U bitsandbytes"):
        AudioLanguageModel.load(folder, load_in_4bit=True)


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (it has no wheel here)")
@torch.no_grad()
def test_4_bits_hold_the_language_model_and_carry_adapters(tmp_path):
    save_tiny_audio_base(tmp_path, hidden_size=64)
    language_model = AudioLanguageModel.load(tmp_path, load_in_4bit=True)
    core = language_model.model.model
    held = {name for name, module in core.named_modules() if type(module).__name__ == "Linear4bit"}
    assert len(held) == 2 * 7 and all(name.startswith("language_model.layers.") for name in held)
    assert core.audio_tower.layers[0].fc1.weight.dtype == language_model.model.lm_head.weight.dtype == torch.float32
    stack = AdapterStack.attach(language_model.model, [AdapterSpec("one", rank=2, alpha=4.0)])
    encoded = language_model.encode(chirp(0.5), PROMPT)
    with stack.rows([0]):
        assert language_model.model(inputs_embeds=encoded.inputs_embeds).logits.isfinite().all()


@pytest.mark.parametrize("seconds", LENGTHS)
@torch.no_grad()
def test_encoded_prompt_gives_the_stock_logits(language_model, seconds):
    inputs = language_model.inputs(chirp(seconds), PROMPT)
    stock = language_model.model(**inputs).logits
    encoded = language_model.encode(chirp(seconds), PROMPT)
    assert encoded.inputs_embeds.shape[:2] == encoded.attention_mask.shape == inputs["input_ids"].shape
    ours = language_model.model(inputs_embeds=encoded.inputs_embeds, attention_mask=encoded.attention_mask).logits
    assert torch.equal(ours, stock)


@torch.no_grad()
def test_encoded_prompt_generates_what_the_stock_model_does(language_model):
    assert_stock_generation(language_model, chirp(0.7), PROMPT)


@torch.no_grad()
def test_cached_features_of_a_mixed_batch_give_the_stock_logits(language_model):
    """Training's path: features cached one by one, prompts of unlike length padded on the left."""
    model, pad = language_model.model, language_model.pad_token_id
    examples = [language_model.inputs(chirp(seconds), PROMPT) for seconds in (0.4, 1.0)]
    features = [
        tower_features(model, example["input_features"], example["feature_attention_mask"])[0] for example in examples
    ]
    ids, mask = pad_left([example["input_ids"][0] for example in examples], value=pad)
    found = model(inputs_embeds=embed_prompt(model, ids, features), attention_mask=mask).logits[:, -1]
    for row, example in enumerate(examples):
        torch.testing.assert_close(found[row], model(**example).logits[0, -1], atol=1e-5, rtol=0)


def test_gradients_reach_projector_and_tokens(folder):
    language_model = AudioLanguageModel.load(folder)
    model = language_model.model
    inputs = language_model.inputs(chirp(0.5), PROMPT)
    features = tower_features(model, inputs["input_features"], inputs["feature_attention_mask"])
    model.requires_grad_(True)
    embed_prompt(model, inputs["input_ids"], [features[0].detach()]).square().sum().backward()
    wanted = [model.model.multi_modal_projector.linear.weight, model.get_input_embeddings().weight]
    assert all(parameter.grad.abs().sum() > 0 for parameter in wanted)
    assert all(parameter.grad is None for parameter in model.model.audio_tower.parameters())


def test_features_of_another_length_are_refused(language_model):
    ids = language_model.prompt_ids(SAMPLING_RATE, PROMPT)
    with pytest.raises(ValueError, match="25 audio tokens .* 7 audio positions"):
        embed_prompt(language_model.model, ids, [torch.zeros(7, 32)])


@pytest.mark.parametrize(("seconds", "positions"), [(1.0, 25), (0.6, 15), (0.2, 5)])
def test_prompt_template(language_model, seconds, positions):
    """Qwen2-Audio-7B-Instruct's own words around the clip; 25 positions a second."""
    ids = language_model.prompt_ids(round(seconds * SAMPLING_RATE), PROMPT)[0].tolist()
    assert language_model.tokenizer.decode(ids) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nAudio 1: <|audio_bos|>{'<|AUDIO|>' * positions}<|audio_eos|>\n"
        "Describe the sound.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_prompt_of_the_authors_checkpoints(folder):
    """Bare, without a chat: what their audio adapters were trained on."""
    language_model = AudioLanguageModel.load(folder, chat_template=CHAT_TEMPLATES["audio"])
    ids = language_model.prompt_ids(SAMPLING_RATE, PROMPTS["audio"])[0]
    assert language_model.tokenizer.decode(ids) == (
        f"<|audio_bos|>{'<|AUDIO|>' * 25}<|audio_eos|>Generate the caption in English:"
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[0]['content'][1]['text'] }}", "must hold the prompt and, once, '<|AUDIO|>'; it gives 'prompt'"),
        ("<|AUDIO|><|AUDIO|>{{ messages[0]['content'][1]['text'] }}", "once"),
        ("<|AUDIO|>", "must hold the prompt"),
        ("{% for message in messages %}", "cannot be used: Unexpected end of template"),
        ("{{ raise_exception('No audio here') }}", "cannot be used: No audio here"),
    ],
)
def test_a_chat_template_that_does_not_fit_is_refused_at_once(folder, template, message):
    with pytest.raises(BundleError, match=re.escape(message)):
        AudioLanguageModel.load(folder, chat_template=template)


def test_the_prompt_may_not_hold_the_placeholder(language_model):
    with pytest.raises(OptionsError, match=r"<\|AUDIO\|>.*the audio is added"):
        language_model.inputs(chirp(0.5), "What is <|AUDIO|>?")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 800), np.float32), "vector of floats"),
        (np.zeros(800, np.int16), "vector of floats"),
        (np.zeros(0, np.float32), "1 to 16000 samples"),
        (np.zeros(16_001, np.float32), "1 to 16000 samples"),
    ],
)
def test_samples_the_processor_would_bend_are_refused(language_model, samples, message):
    with pytest.raises(ValueError, match=message):
        language_model.encode(samples, PROMPT)
    with pytest.raises(ValueError, match=message):
        language_model.log_mel(samples)


def test_log_mel_is_what_the_tower_gets(language_model):
    clip = chirp(0.5)
    picture = language_model.log_mel(clip)
    assert picture.shape == (MEL_BINS, 50)
    fed = language_model.inputs(clip, PROMPT)["input_features"][0, :, :50]
    assert np.array_equal(picture, fed.numpy())


def test_log_mel_shows_pitch(language_model):
    """The higher the tone, the higher its brightest row."""
    rows = [language_model.log_mel(tone(hertz, 0.5)).mean(axis=1).argmax() for hertz in (200, 700, 2000, 6000)]
    assert rows == sorted(set(rows))


def test_token_roles(language_model):
    tokens = language_model.tokenizer.convert_tokens_to_ids
    assert language_model.eos_token_ids == tuple(tokens(["<|endoftext|>", "<|im_end|>"]))
    assert language_model.pad_token_id == tokens("<|endoftext|>")
    assert set(language_model.forbidden_token_ids) == set(tokens(["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]))


@pytest.fixture(scope="module")
def tower_adapters(folder, tmp_path_factory):
    """Two PEFT folders with the paper's targets: by bare names, they hit the audio tower too."""
    folders = {}
    for seed in range(2):
        torch.manual_seed(seed)
        config = LoraConfig(
            r=2 + seed, lora_alpha=4, target_modules=["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
        )
        model = get_peft_model(Qwen2AudioForConditionalGeneration.from_pretrained(folder), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.2)
        folders[f"adapter-{seed}"] = tmp_path_factory.mktemp("peft") / str(seed)
        model.save_pretrained(folders[f"adapter-{seed}"])
    return folders


@torch.no_grad()
def test_adapters_on_the_tower_encode_their_own_copy(folder, tower_adapters):
    language_model = AudioLanguageModel.load(folder)
    stack = AdapterStack.from_peft(language_model.model, tower_adapters)
    assert any("audio_tower" in layer for layer in stack.layers)
    rows = [0, 1, -1]
    with stack.rows(rows):
        encoded = language_model.encode(chirp(0.6), PROMPT, copies=3)
        logits = language_model.model(inputs_embeds=encoded.inputs_embeds).logits
    inputs = language_model.inputs(chirp(0.6), PROMPT)
    stock = Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    expected = [
        PeftModel.from_pretrained(Qwen2AudioForConditionalGeneration.from_pretrained(folder), adapter)(**inputs).logits
        for adapter in tower_adapters.values()
    ]
    torch.testing.assert_close(logits, torch.cat([*expected, stock(**inputs).logits]), atol=2e-5, rtol=0)
    assert (encoded.inputs_embeds[0] - encoded.inputs_embeds[1]).abs().max() > 1e-3


def other_model(folder):
    (folder / "config.json").write_text('{"model_type": "llava_next"}')


def shorter_clips(folder):
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["feature_extractor"] |= {"chunk_length": 2, "n_samples": 32_000, "nb_max_frames": 200}
    path.write_text(json.dumps(settings))


def remove_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_model, "holds a 'llava_next' model; a 'qwen2_audio' model is needed"),
        (shorter_clips, "200 frames a clip, but the audio tower reads 100"),
        (remove_tokenizer, "cannot be loaded"),
        (remove_weights, "cannot be loaded"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(folder, tmp_path, damage, message):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(BundleError, match=message):
        AudioLanguageModel.load(copy)
