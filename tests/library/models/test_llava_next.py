"""Splitting LLaVA-NeXT's forward in two changes no number: embedded geometry and published layout."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    LlavaNextImageProcessorPil,
)

from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.models.image_tower import GREY, detector_pixels
from lora_mcl.models.llava_next import ImageLanguageModel, embed_prompt, tower_features
from lora_mcl.trainer.batch import pad_left
from tests.support.clip_base import CORPUS, clip_base
from tests.support.embedded import tiny_image_tower
from tests.support.encoded_prompts import assert_stock_generation
from training.embedded.build_base import build_base
from training.embedded.common.domain import LanguageModelSize
from training.embedded.image.domain import IMAGE

SMALL = LanguageModelSize(hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=48, vocab_size=300)

# (width, height): square, both photo shapes, wide, the extremes that are unpadded to no row or column.
SIZES = [(256, 256), (640, 480), (480, 640), (320, 180), (500, 30), (30, 500)]


def picture(width: int, height: int) -> Image.Image:
    generator = torch.Generator().manual_seed(width)
    noise = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(noise.numpy())


@pytest.fixture(scope="module")
def embedded_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    build_base(IMAGE, folder, CORPUS, SMALL, tower=tiny_image_tower(image_size=256))
    return folder


@pytest.fixture(scope="module")
def embedded(embedded_folder) -> ImageLanguageModel:
    return ImageLanguageModel.load(embedded_folder)


@pytest.fixture(scope="module", params=["embedded", "clip", "clip, two layers"])
def language_model(request, embedded, tmp_path_factory) -> ImageLanguageModel:
    if request.param == "embedded":
        return embedded
    folder = tmp_path_factory.mktemp("clip")
    clip_base(folder, -2 if request.param == "clip" else [-2, -1])
    return ImageLanguageModel.load(folder)


def test_load_gives_a_frozen_fp32_model_in_eval_mode(language_model):
    assert language_model.model.dtype == torch.float32
    assert not language_model.model.training
    assert not any(parameter.requires_grad for parameter in language_model.model.parameters())
    assert isinstance(language_model.processor.image_processor, LlavaNextImageProcessorPil)


def test_load_in_another_dtype(embedded_folder):
    language_model = ImageLanguageModel.load(embedded_folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in language_model.model.parameters()} == {torch.bfloat16}
    assert language_model.encode(picture(64, 64), "Caption:").inputs_embeds.dtype == torch.bfloat16


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_encoded_prompt_gives_the_stock_logits(language_model, size):
    inputs = language_model.inputs(picture(*size), "Caption:")
    stock = language_model.model(**inputs).logits
    encoded = language_model.encode(picture(*size), "Caption:")
    assert encoded.inputs_embeds.shape[:2] == encoded.attention_mask.shape == inputs["input_ids"].shape
    ours = language_model.model(inputs_embeds=encoded.inputs_embeds, attention_mask=encoded.attention_mask).logits
    assert torch.equal(ours, stock)


@torch.no_grad()
def test_encoded_prompt_generates_what_the_stock_model_does(language_model):
    assert_stock_generation(language_model, picture(320, 180), "Caption:")


@torch.no_grad()
def test_cached_features_of_a_mixed_batch_give_the_stock_logits(language_model):
    """Training's path: features cached one by one, prompts of unlike length padded on the left."""
    model, pad = language_model.model, language_model.pad_token_id
    examples = [language_model.inputs(picture(*size), "Caption:") for size in [(64, 64), (90, 40)]]
    features = [tower_features(model, example["pixel_values"][0]) for example in examples]
    ids, mask = pad_left([example["input_ids"][0] for example in examples], value=pad)
    sizes = torch.cat([example["image_sizes"] for example in examples])
    embeds = embed_prompt(model, ids, features, sizes)
    found = model(inputs_embeds=embeds, attention_mask=mask).logits[:, -1]
    for row, example in enumerate(examples):
        torch.testing.assert_close(found[row], model(**example).logits[0, -1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_one_view_stands_for_the_equal_tiles_of_a_square(embedded):
    inputs = embedded.inputs(picture(100, 100), "Caption:")
    both = tower_features(embedded.model, inputs["pixel_values"][0])
    assert torch.equal(both[0], both[1])
    embeds = [
        embed_prompt(embedded.model, inputs["input_ids"], [features], inputs["image_sizes"])
        for features in (both, both[:1])
    ]
    torch.testing.assert_close(*embeds, atol=1e-6, rtol=0)


def test_gradients_reach_projector_newline_and_tokens(embedded_folder):
    language_model = ImageLanguageModel.load(embedded_folder)
    model = language_model.model
    inputs = language_model.inputs(picture(64, 64), "Caption:")
    features = tower_features(model, inputs["pixel_values"][0])
    model.requires_grad_(True)
    model.model.vision_tower.requires_grad_(False)
    embed_prompt(model, inputs["input_ids"], [features], inputs["image_sizes"]).square().sum().backward()
    wanted = [
        model.model.multi_modal_projector.linear_1.weight,
        model.model.image_newline,
        model.get_input_embeddings().weight,
    ]
    assert all(parameter.grad.abs().sum() > 0 for parameter in wanted)
    assert all(parameter.grad is None for parameter in model.model.vision_tower.parameters())


def test_features_of_another_picture_size_are_refused(embedded):
    inputs = embedded.inputs(picture(320, 180), "Caption:")
    features = torch.zeros(2, 16, embedded.model.config.vision_config.hidden_size)
    with pytest.raises(ValueError, match="tokens"):
        embed_prompt(embedded.model, inputs["input_ids"], [features], torch.tensor([[256, 256]]))


@pytest.mark.parametrize(
    ("size", "positions"), [((256, 256), 36), ((640, 480), 36), ((480, 640), 36), ((320, 180), 26)]
)
def test_positions_that_a_picture_costs(embedded, size, positions):
    """16 for the overview, then each unpadded row of the tile and a newline."""
    width, height = size
    ids = embedded.prompt_ids((height, width), "Caption:")
    assert (ids == embedded.model.config.image_token_id).sum() == positions
    assert torch.equal(ids, embedded.inputs(picture(*size), "Caption:")["input_ids"])


def test_the_processors_bars_are_the_detectors_grey(embedded):
    """A wide white picture: the tile has bars above and below it, the squashed overview none."""
    views = embedded.inputs(Image.new("RGB", (256, 128), "white"), "Caption:")["pixel_values"][0]
    overview, tile = detector_pixels(views)
    tile = tile.mean((0, 2))  # of each row
    torch.testing.assert_close(overview, torch.ones_like(overview))
    torch.testing.assert_close(tile[66:190], torch.ones(124))
    assert (tile[:63] == GREY).all() and (tile[193:] == GREY).all()


def test_prompt_template(embedded):
    ids = embedded.prompt_ids((256, 256), "Caption:")[0].tolist()
    assert embedded.tokenizer.decode(ids) == "<s>" + "<image>" * 36 + "Caption:\n"


def test_the_prompt_may_not_hold_the_placeholder(embedded):
    with pytest.raises(OptionsError, match="<image>"):
        embedded.inputs(picture(64, 64), "What is <image>?")


def test_pictures_are_rgb_by_then(embedded):
    with pytest.raises(ValueError, match="must be RGB, not RGBA: read it with lora_mcl.images.load_image"):
        embedded.inputs(Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "Caption:")


def test_token_roles(embedded):
    tokenizer = embedded.tokenizer
    assert embedded.eos_token_ids == (tokenizer.convert_tokens_to_ids("</s>"),)
    assert embedded.pad_token_id == tokenizer.convert_tokens_to_ids("<pad>")
    assert set(embedded.forbidden_token_ids) == set(tokenizer.convert_tokens_to_ids(["<pad>", "<image>"]))


def test_text_drops_special_tokens_and_keeps_accents(embedded):
    ids = embedded.tokenizer("Où est l'œuf ? Déjà là, à gauche.")["input_ids"]
    assert embedded.text([*ids, *embedded.eos_token_ids]) == "Où est l'œuf ? Déjà là, à gauche."


def remove_config(folder):
    (folder / "config.json").unlink()


def break_config(folder):
    (folder / "config.json").write_text("{")


def other_model(folder):
    (folder / "config.json").write_text('{"model_type": "llama"}')


def unknown_model(folder):
    (folder / "config.json").write_text('{"model_type": "never_heard_of"}')


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def truncate_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def forget_a_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["multi_modal_projector.linear_2.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def reshape_a_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    weights["image_newline"] = torch.zeros(7)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def remove_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_config, "holds no model that can be read"),
        (break_config, "holds no model that can be read"),
        (other_model, "'llama' model"),
        (unknown_model, "holds no model that can be read"),
        (remove_weights, "cannot be loaded"),
        (truncate_weights, "cannot be loaded"),
        (forget_a_tensor, "linear_2.weight"),
        (reshape_a_tensor, "cannot be loaded"),
        (remove_tokenizer, "cannot be loaded"),
    ],
)
def test_a_damaged_folder_is_named(embedded_folder, tmp_path, damage, message):
    folder = tmp_path / "model"
    shutil.copytree(embedded_folder, folder)
    damage(folder)
    with pytest.raises(BundleError, match=message) as raised:
        ImageLanguageModel.load(folder)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("base", ["no such folder", "nobody/nothing-of-this-name"])
def test_a_base_that_is_nowhere_is_refused(base):
    with pytest.raises(BundleError, match=base):
        ImageLanguageModel.load(base)
