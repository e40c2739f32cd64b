"""Test-time augmentation: variants of an image or a sound, the first of which is the input itself.

Images are cropped and mirrored. Of sounds, stretches of time and bands of frequency are silenced in the log-mel
spectrogram (SpecAugment, Park et al. 2019), with the paper's middle strength: at most .4 of the time, .6 of the bands.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps

from lora_mcl.models import AudioLanguageModel, ImageLanguageModel, qwen2_audio
from lora_mcl.models.base import EncodedPrompt, MediaLanguageModel

CROP = 0.85
"""Side of a crop, as a share of the image's."""
TIME, FREQUENCY = 0.4, 0.6
"""Largest share of a clip's frames and of the mel bins that are silenced."""


def encode_variants(
    model: MediaLanguageModel, content: Image.Image | np.ndarray, prompt: str, count: int, seed: int
) -> list[EncodedPrompt]:
    """``count`` encoded prompts, the first one of the input as it is; the same for the same seed.

    Args:
        content: an RGB image, or a clip's samples [N].
    """
    if isinstance(model, ImageLanguageModel):
        return [model.encode(one, prompt) for one in image_variants(content, count)]
    assert isinstance(model, AudioLanguageModel)
    plain = model.encode(content, prompt)
    masked = [_encode_masked(model, content, prompt, np.random.default_rng([seed, n])) for n in range(1, count)]
    return [plain, *masked]


def image_variants(image: Image.Image, count: int) -> list[Image.Image]:
    """The image, its mirror image, then crops of its four corners and of its middle, mirrored in the second round."""
    width, height = image.size
    wide, high = max(1, round(CROP * width)), max(1, round(CROP * height))
    right, bottom = width - wide, height - high
    corners = [(0, 0), (right, bottom), (right, 0), (0, bottom), (right // 2, bottom // 2)]
    crops = [image.crop((left, top, left + wide, top + high)) for left, top in corners]
    variants = [image, ImageOps.mirror(image), *crops, *(ImageOps.mirror(crop) for crop in crops)]
    return [variants[number % len(variants)] for number in range(count)]


def mask_spectrogram(
    log_mel: torch.Tensor, frames: int, rng: np.random.Generator, time: float = TIME, frequency: float = FREQUENCY
) -> torch.Tensor:
    """A spectrogram [bins, padded frames] with one stretch and one band at its lowest value.

    Args:
        frames: of the clip itself, without padding.
        time, frequency: largest share; the share is drawn evenly below it.
    """
    masked = log_mel.clone()
    floor = log_mel[:, :frames].min()
    for axis, size, most in ((1, frames, time), (0, len(log_mel), frequency)):
        width = int(rng.uniform(0, most) * size)
        start = int(rng.integers(0, size - width + 1))
        masked.narrow(axis, start, width).fill_(floor)
    return masked


@torch.no_grad()
def _encode_masked(
    model: AudioLanguageModel, samples: np.ndarray, prompt: str, rng: np.random.Generator
) -> EncodedPrompt:
    inputs = model.inputs(samples, prompt).to(model.model.device)
    mask = inputs["feature_attention_mask"]
    features = mask_spectrogram(inputs["input_features"][0], int(mask.sum()), rng)[None]
    tower = qwen2_audio.tower_features(model.model, features, mask)
    embeds = qwen2_audio.embed_prompt(model.model, inputs["input_ids"], tower)
    return EncodedPrompt(embeds, inputs["attention_mask"])
