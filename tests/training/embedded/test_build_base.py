"""The untrained embedded models: tokenizer, chat template, processor, weights on disk."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
)

from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from tests.support.embedded import build_tiny, tiny_tower
from training.embedded.audio.render.dsp import RATE
from training.embedded.build_base import save_half
from training.embedded.common.collator import SampleCollator
from training.embedded.common.dataset import Sample
from training.embedded.common.domain import PROMPT, Item, sample_captions
from training.embedded.common.tokenizer import train_tokenizer

STOCK = {
    "image": (LlavaNextForConditionalGeneration, LlavaNextProcessor),
    "audio": (Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor),
}
INPUTS = {
    "image": ((64, 96), Image.new("RGB", (96, 64))),
    "audio": (8000, np.zeros(8000, np.float32)),
}


@pytest.fixture
def model(domain, folder):
    return domain.architecture.model_class.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "Two owls and a cow.",
        "L'œuf est déjà là-bas, à côté du maïs ; où ça ? « ça grésille »",
        "  spaces,  tabs\t and\nlines ",
        "日本語 🦉 – “quotes”",
        "",
    ],
)
def test_any_text_survives_the_tokenizer(model, text):
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert model.tokenizer.decode(ids) == text


def test_special_tokens_come_first_and_accented_words_are_learned():
    tokenizer = train_tokenizer(
        ["Dans une forêt, deux hiboux sont à côté d'une vache."] * 8, 400, {"audio_token": "<a>"}
    )
    assert tokenizer.audio_token == "<a>"
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<s>", "</s>", "<a>"]
    assert len(tokenizer) <= 400 and len(tokenizer(" forêt")["input_ids"]) == 1


def test_stock_classes_load_it_and_nothing_is_missing(domain, folder):
    model_class, processor_class = STOCK[domain.name]
    _, loading = model_class.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    processor = processor_class.from_pretrained(folder)
    for attribute, token in domain.architecture.special_tokens.items():
        assert getattr(processor.tokenizer, attribute) == token


def test_a_training_sample_is_what_the_chat_template_makes_of_the_conversation(domain, model):
    """Prompt and caption as trained on are the ids of the whole exchange: the app sends what was trained on."""
    size, media = INPUTS[domain.name]
    text = next(iter(sample_captions(domain, 1, 3)))
    batch = SampleCollator(model)([Sample(torch.zeros(1, 12, 32), Item(None, size), text, domain.annotators.modes[0])])
    turns = [*model.conversation(media, PROMPT), {"role": "assistant", "content": [{"type": "text", "text": text}]}]
    whole = model.processor.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")
    assert torch.equal(torch.cat([batch["input_ids"], batch["captions"]], dim=1), whole["input_ids"])


def test_weights_are_half_precision_and_the_tower_is_kept(domain, folder, model):
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    tower, loaded = (
        tiny_tower(domain.name).state_dict(),
        getattr(model.model.model, domain.architecture.tower).state_dict(),
    )
    assert tower.keys() == loaded.keys()
    for name, tensor in tower.items():
        assert torch.equal(loaded[name], tensor.half().float()), name


def test_the_image_models_output_layer_is_tied(tmp_path):
    build_tiny("image", tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    model = ImageLanguageModel.load(tmp_path).model
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_building_is_repeatable(domain, folder, tmp_path):
    build_tiny(domain.name, tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json", "processor_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_saving_leaves_the_model_as_it_is(model, tmp_path):
    save_half(model.model, model.processor, tmp_path)
    assert model.model.dtype == torch.float32
    assert type(model).load(tmp_path).model.config.dtype == torch.float32
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}


@pytest.mark.parametrize(("seconds", "positions"), [(10, 250), (5, 125), (0.5, 12)])
def test_a_prompt_holds_a_token_for_every_forty_milliseconds(tmp_path_factory, seconds, positions):
    folder = tmp_path_factory.mktemp("audio")
    build_tiny("audio", folder)
    model = AudioLanguageModel.load(folder)
    extractor = model.processor.feature_extractor
    assert (extractor.nb_max_frames, extractor.sampling_rate, extractor.feature_size) == (1000, RATE, 80)
    ids = model.prompt_ids(round(seconds * RATE), PROMPT)[0]
    assert (ids == model.model.config.audio_token_id).sum() == positions
    text = model.tokenizer.decode(ids)
    assert text.startswith("<s><|audio_bos|>") and text.endswith(f"<|audio_eos|>{PROMPT}\n")
