"""Media to the inputs of the model's tower, by the same code as when captioning."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from lora_mcl.audio import MIN_SECONDS, load_window
from lora_mcl.audio_readers import header_seconds
from lora_mcl.errors import MediaError
from lora_mcl.images import FORMATS, load_image
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from lora_mcl.models.base import MediaLanguageModel
from training.data.example import Example

logger = logging.getLogger(__name__)

POSITIONS_PER_SECOND = 25
"""That a second of sound takes in Qwen2-Audio's language model."""
_PROMPT = "prompt"


@dataclass(frozen=True)
class MediaInputs:
    """The tower's inputs for one image or sound.

    Attributes:
        tensors: the model's arguments without their batch axis. Images: ``pixel_values`` [tiles, 3, S, S] and
            ``image_sizes`` [2]; sounds: ``input_features`` [M, F] and ``feature_attention_mask`` [F].
        positions: that the media take in the language model.
    """

    tensors: dict[str, Tensor]
    positions: int


def load_media_inputs(model: MediaLanguageModel, example: Example) -> MediaInputs:
    """Decode an example's media. Of a sound longer than the model's window, the part from its first sound on is taken.

    Raises:
        MediaError: it cannot be decoded, or is silent.
    """
    if isinstance(model, ImageLanguageModel):
        return _inputs(model, decode_image(example))
    assert isinstance(model, AudioLanguageModel)
    return _inputs(model, decode_audio(example, model.sampling_rate, model.max_seconds))


def decode_image(example: Example) -> Image.Image:
    """An example's image, upright and RGB.

    Raises:
        MediaError: it cannot be decoded.
    """
    with _decoding(example) as path:
        return load_image(path)


def decode_audio(example: Example, sampling_rate: int, max_seconds: float) -> np.ndarray:
    """The samples of an example's sound, at most ``max_seconds`` from where captioning begins by default.

    Raises:
        MediaError: it cannot be decoded, or is silent.
    """
    with _decoding(example) as path:
        return load_window(path, sampling_rate=sampling_rate, max_seconds=max_seconds)[0]


@contextmanager
def _decoding(example: Example) -> Iterator[Path]:
    """The example's file; any error that a decoder raises at a damaged file becomes a MediaError inside the block."""
    try:
        with as_file(example) as path:
            yield path
    except (MediaError, OSError):
        raise
    except Exception as error:  # decoders raise what they like at damaged files, and one must not end a run
        raise MediaError(f"{example.name} cannot be decoded: {type(error).__name__}: {error}") from error


def blank_inputs(model: MediaLanguageModel) -> MediaInputs:
    """Inputs in place of media that could not be decoded: a small white image, or a moment of silence."""
    if isinstance(model, ImageLanguageModel):
        side = model.model.config.vision_config.image_size
        return _inputs(model, Image.new("RGB", (side, side), "white"))
    assert isinstance(model, AudioLanguageModel)
    return _inputs(model, np.zeros(round(MIN_SECONDS * model.sampling_rate), np.float32))


def _inputs(model: MediaLanguageModel, media: Image.Image | np.ndarray) -> MediaInputs:
    inputs = model.inputs(media, _PROMPT)
    placeholder = model.tokenizer.convert_tokens_to_ids(model.placeholder)
    positions = int((inputs.pop("input_ids") == placeholder).sum())
    inputs.pop("attention_mask")
    return MediaInputs({name: values[0] for name, values in inputs.items()}, positions)


def without_weights(model: MediaLanguageModel) -> MediaLanguageModel:
    """The same model with its processor but no weights: all the dataset needs, and small to pickle for workers."""
    with torch.device("meta"):
        empty = model.model_class(model.model.config)
    empty.generation_config = model.model.generation_config
    empty.name_or_path = model.model.name_or_path
    return type(model)(empty, model.processor)


@contextmanager
def as_file(example: Example) -> Iterator[Path]:
    """An example's media as a file: its own, or a temporary one inside the block."""
    if isinstance(example.media, Path):
        yield example.media
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / re.sub(r"[^\w.-]+", "-", example.name)[-100:]
        path.write_bytes(example.media.read())
        yield path


def estimate_positions(model: MediaLanguageModel, example: Example) -> int:
    """Roughly how many positions an example's media take, from the file's header; 0 where that cannot be read, or where
    it is no file."""
    if not isinstance(example.media, Path):
        return 0
    if isinstance(model, ImageLanguageModel):
        return _image_positions(model, example.media)
    assert isinstance(model, AudioLanguageModel)
    return round(min(header_seconds(example.media), model.max_seconds) * POSITIONS_PER_SECOND)


def _image_positions(model: ImageLanguageModel, path: Path) -> int:
    config = model.model.config
    try:
        with Image.open(path, formats=list(FORMATS)) as image:
            width, height = image.size
    except Exception:  # Pillow raises many kinds at damaged headers; decoding names the file later
        return 0
    side = config.vision_config.image_size
    tiles = image_size_to_num_patches((height, width), config.image_grid_pinpoints, side)
    return tiles * (side // config.vision_config.patch_size) ** 2
