"""The embedded models with tiny random towers and language models, and folders of their own to build in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, Qwen2AudioEncoder

from lora_mcl.models import EfficientNetTowerConfig, ImageTower, ImageTowerConfig
from lora_mcl.models.yolov3_tiny import COARSE_HEAD, COCO_CLASSES, FINE_HEAD
from training.embedded.audio.domain import AUDIO
from training.embedded.audio.material import assets as audio_assets
from training.embedded.audio.material.recordings import PACK_DIR as AUDIO_PACK
from training.embedded.audio.whisper import whisper_config
from training.embedded.build_base import build_base
from training.embedded.common.domain import Domain, LanguageModelSize, sample_captions
from training.embedded.image.domain import IMAGE
from training.embedded.image.material import assets as image_assets

DOMAINS = {"image": IMAGE, "audio": AUDIO}
TINY = LanguageModelSize(600, hidden_size=32, layers=1, heads=2, kv_heads=1, intermediate_size=48)


def tiny_tower(name: str) -> PreTrainedModel:
    """A random tower: the image tower's parts on 64 pixels, or Whisper's shape 32 channels wide."""
    torch.manual_seed(0)
    if name == "audio":
        config = whisper_config(layers=1)
        config.d_model, config.encoder_attention_heads, config.encoder_ffn_dim = 32, 2, 64
        return Qwen2AudioEncoder(config)
    return tiny_image_tower(image_size=64)


def tiny_image_tower(image_size: int, num_classes: int = 5, tag_dim: int = 3, mean_cell: bool = False) -> ImageTower:
    """A random classifier with few channels, and a detector that finds a dog in every cell of every picture.

    A random detector is about equally sure of all its boxes: which of them are kept then depends on rounding.
    """
    torch.manual_seed(1)
    widths = {"stem_width": 4, "stage_widths": (4,) * 7, "stage_depths": (1,) * 7, "head_width": 12}
    sizes = {"image_size": image_size, "num_classes": num_classes, "tag_dim": tag_dim, "mean_cell": mean_cell}
    tower = ImageTower(ImageTowerConfig(classifier_config=EfficientNetTowerConfig(**widths, **sizes)))
    with torch.no_grad():
        for index in (COARSE_HEAD, FINE_HEAD):
            head = tower.detector.convolutions[index]
            head.weight.zero_()
            head.bias.fill_(-8)
            head.bias[[4, 5 + COCO_CLASSES.index("dog")]] = 2.0
    return tower


def build_tiny(name: str, folder: Path) -> None:
    """The untrained model with a tiny tower and language model, in ``folder``."""
    domain = DOMAINS[name]
    build_base(domain, folder, sample_captions(domain, 150, 0), TINY, tower=tiny_tower(name))


def in_folder(name: str, folder: Path) -> Domain:
    """The domain, building below ``folder`` from the committed pack alone."""
    domain = DOMAINS[name]
    rendering = replace(domain.rendering, load_material=PACKED[name])
    return replace(domain, build=folder / "build", assets=folder / "assets", rendering=rendering)


def packed_pictures(split: str) -> image_assets.Material:
    return image_assets.Material(split, image_assets.PACK_DIR)


def packed_sounds(split: str) -> audio_assets.Material:
    return audio_assets.Material(split, AUDIO_PACK)


PACKED = {"image": packed_pictures, "audio": packed_sounds}
