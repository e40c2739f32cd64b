"""Base models: LLaVA-NeXT and Qwen2-Audio, loaded from a folder or the Hub, and the embedded vision tower."""

from lora_mcl.modality import Modality
from lora_mcl.models.base import EncodedPrompt, MediaLanguageModel
from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from lora_mcl.models.image_tower import ImageTower, ImageTowerConfig
from lora_mcl.models.llava_next import ImageLanguageModel
from lora_mcl.models.qwen2_audio import AudioLanguageModel

LANGUAGE_MODELS: dict[Modality, type[MediaLanguageModel]] = {"image": ImageLanguageModel, "audio": AudioLanguageModel}

__all__ = [
    "LANGUAGE_MODELS",
    "AudioLanguageModel",
    "EfficientNetTower",
    "EfficientNetTowerConfig",
    "EncodedPrompt",
    "ImageLanguageModel",
    "ImageTower",
    "ImageTowerConfig",
    "MediaLanguageModel",
]
