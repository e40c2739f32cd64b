"""Shared fixtures: tiny bases with random weights, bundles on them, a picture, a clip, a browser.

Nothing here is trained: tests that use it check plumbing and arithmetic, never what a caption says.
"""

import os
import shutil
from pathlib import Path

import pytest

# Before any import of the libraries that read them: the tests need no network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import numpy as np
import soundfile
import torch
from PIL import Image, ImageDraw
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2AudioForConditionalGeneration,
)

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.types import CompareOptions
from tests.support.tiny_audio import byte_tokenizer, chirp, save_tiny_audio_base

# Tiny models are slower on many threads than on one.
torch.set_num_threads(1)

TEXTS = [
    "A red apple and two blue cats.",
    "Une pomme rouge à côté d'un éléphant bleu, sur une île.",
    "Describe.",
]
SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<image>"]
IMAGE_SIDE, PATCH_SIDE = 32, 16
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def tiny_processor() -> LlavaNextProcessor:
    """Byte-level words of ``TEXTS`` and one 32-pixel tile."""
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": IMAGE_SIDE},
            crop_size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
            image_grid_pinpoints=[[IMAGE_SIDE, IMAGE_SIDE]],
        ),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=byte_tokenizer(TEXTS, SPECIAL_TOKENS), pad_token="<pad>", bos_token="<s>", eos_token="</s>"
        ),
        patch_size=PATCH_SIDE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def tiny_model(vocab_size: int) -> LlavaNextForConditionalGeneration:
    """A random LLaVA-NeXT with a CLIP tower and a two-layer Llama, 32 channels wide."""
    torch.manual_seed(0)
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=IMAGE_SIDE,
            patch_size=PATCH_SIDE,
            projection_dim=32,
        ),
        text_config=LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            initializer_range=0.2,
        ),
        image_token_index=3,
        image_grid_pinpoints=[[IMAGE_SIDE, IMAGE_SIDE]],
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    return LlavaNextForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """Folder of a tiny base model with its processor."""
    folder = tmp_path_factory.mktemp("tiny") / "base"
    processor = tiny_processor()
    tiny_model(len(processor.tokenizer)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_base) -> Path:
    """Folder of a bundle on the tiny base: three random hypotheses of rank 4, a baseline of rank 6."""
    model = LlavaNextForConditionalGeneration.from_pretrained(tiny_base)
    return save_tiny_bundle(model, tiny_base.parent / "bundle", "image")


@pytest.fixture(scope="session")
def tiny_audio_base(tmp_path_factory) -> Path:
    """Folder of a tiny audio base, which hears 1 s."""
    folder = tmp_path_factory.mktemp("tiny-audio") / "base"
    save_tiny_audio_base(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_audio_bundle(tiny_audio_base) -> Path:
    """Folder of an audio bundle like ``tiny_bundle``."""
    model = Qwen2AudioForConditionalGeneration.from_pretrained(tiny_audio_base)
    return save_tiny_bundle(model, tiny_audio_base.parent / "audio-bundle", "audio")


def save_tiny_bundle(model: PreTrainedModel, folder: Path, modality: str) -> Path:
    """Write a bundle of random adapters on the base that lies beside it, from which ``model`` was loaded."""
    refs = {f"hypothesis-{k}": AdapterRef(f"hypotheses/{k}", f"Hypothesis {k}", "Random.") for k in range(3)}
    refs["baseline"] = AdapterRef("baseline", "One adapter", "Random too.")
    specs = [AdapterSpec(name, rank=6 if name == "baseline" else 4, alpha=16.0) for name in refs]
    stack = AdapterStack.attach(model, specs, generator=torch.Generator().manual_seed(1))
    draws = torch.Generator().manual_seed(2)
    for name, ref in refs.items():
        with torch.no_grad():
            for _, b in stack.tensors(name).values():
                b.normal_(std=0.1, generator=draws)
        stack.save(name, folder / ref.path)
    *hypotheses, baseline = refs.values()
    save_bundle(
        Bundle(
            folder=folder,
            name="bundle",
            base=BaseRef(path="../base"),
            prompt="Describe.",
            hypotheses=tuple(hypotheses),
            baseline=baseline,
            modality=modality,
            generation=CompareOptions(num_beams=4, num_beam_groups=2, max_new_tokens=12),
        )
    )
    return folder


@pytest.fixture(scope="session")
def tiny_captioner(tiny_bundle) -> Captioner:
    """A captioner of the tiny bundle, on the CPU."""
    return Captioner.load(tiny_bundle, device="cpu")


@pytest.fixture(scope="session")
def tiny_audio_captioner(tiny_audio_bundle) -> Captioner:
    """A captioner of the tiny audio bundle, on the CPU."""
    return Captioner.load(tiny_audio_bundle, device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A sound file: 0.8 s of a rising tone, stereo, 44.1 kHz."""
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    samples = chirp(0.8, 44_100)
    soundfile.write(path, np.stack([samples, 0.5 * samples], axis=1), 44_100)
    return path


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    """A small picture file."""
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    image = Image.new("RGB", (48, 40), "skyblue")
    ImageDraw.Draw(image).ellipse((8, 8, 30, 30), fill="red")
    image.save(path)
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium; without one, browser tests skip, except in CI: there they fail."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    reason = "no Chromium on this machine: install the system's chromium package"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
