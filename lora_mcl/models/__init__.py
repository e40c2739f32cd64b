"""Base models: the embedded vision tower, and LLaVA-NeXT models loaded from a folder or the Hub."""

from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from lora_mcl.models.images import upright_rgb
from lora_mcl.models.llava_next import EncodedPrompt, ImageLanguageModel, embed_prompt, tower_features

__all__ = [
    "EfficientNetTower",
    "EfficientNetTowerConfig",
    "EncodedPrompt",
    "ImageLanguageModel",
    "embed_prompt",
    "tower_features",
    "upright_rgb",
]
