"""The untrained embedded model: tokenizer, chat template, processor, weights on disk."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_mcl.models import EfficientNetTower, EfficientNetTowerConfig, ImageLanguageModel
from training.embedded.common.tokenizer import train_tokenizer
from training.embedded.image.build_base import LanguageModelSize, build_base, save_half

CORPUS = ["Two owls and a cow.", "Dans une forêt, deux hiboux sont à côté d'une vache.", "Caption:"] * 8
SMALL = LanguageModelSize(hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=48, vocab_size=320)


@pytest.fixture(scope="module")
def tower() -> EfficientNetTower:
    torch.manual_seed(0)
    return EfficientNetTower(
        EfficientNetTowerConfig(
            image_size=64,
            stem_width=4,
            stage_widths=(4,) * 7,
            stage_depths=(1,) * 7,
            head_width=6,
            num_classes=5,
            tag_dim=3,
        )
    )


@pytest.fixture(scope="module")
def folder(tower, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    build_base(folder, CORPUS, SMALL, tower=tower)
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "Two owls and a cow.",
        "L'œuf est déjà là-bas, à côté du maïs ; où ça ?",
        "  spaces,  tabs\t and\nlines ",
        "日本語 🦉 – “quotes”",
        "",
    ],
)
def test_tokenizer_is_lossless(text):
    tokenizer = train_tokenizer(CORPUS, 320, {"image_token": "<image>"})
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tokenizer_learns_accented_words_of_the_corpus():
    tokenizer = train_tokenizer(CORPUS, 400, {"image_token": "<image>"})
    assert len(tokenizer) <= 400
    assert len(tokenizer(" forêt")["input_ids"]) == 1


def test_an_answer_tokenises_the_same_alone_and_after_its_prompt(folder):
    """Training appends the caption's own tokens to the prompt's; stock chat formatting must agree."""
    model = ImageLanguageModel.load(folder)
    conversation = [
        {"role": "user", "content": [{"type": "text", "text": "Caption:"}]},
        {"role": "assistant", "content": [{"type": "text", "text": CORPUS[1]}]},
    ]
    whole = model.processor.apply_chat_template(conversation)
    prompt = model.processor.apply_chat_template(conversation[:1], add_generation_prompt=True)
    assert whole == prompt + CORPUS[1] + "</s>"
    tokenizer = model.tokenizer
    parts = tokenizer(prompt)["input_ids"] + tokenizer(CORPUS[1])["input_ids"] + list(model.eos_token_ids)
    assert tokenizer(whole)["input_ids"] == parts


def test_weights_are_half_precision_and_tied_once(folder):
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert "lm_head.weight" not in weights
    model = ImageLanguageModel.load(folder).model
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_the_tower_is_kept(folder, tower):
    loaded = ImageLanguageModel.load(folder).model.model.vision_tower
    for name, tensor in tower.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.half().float()), name


def test_building_is_repeatable(folder, tower, tmp_path):
    build_base(tmp_path, CORPUS, SMALL, tower=tower)
    for name in ("model.safetensors", "tokenizer.json", "config.json", "processor_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_saving_leaves_the_model_as_it_is(folder, tmp_path):
    base = ImageLanguageModel.load(folder)
    save_half(base.model, base.processor, tmp_path)
    assert base.model.dtype == torch.float32
    assert ImageLanguageModel.load(tmp_path).model.config.dtype == torch.float32
    assert load_file(tmp_path / "model.safetensors")["image_newline"].dtype == torch.float16
