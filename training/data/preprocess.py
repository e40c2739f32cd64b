"""From a medium to what the model's tower reads of it, by the same road as when captioning."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from lora_mcl.audio import MIN_SECONDS, listen
from lora_mcl.images import FORMATS, load_image
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from lora_mcl.models.base import MediaLanguageModel
from training.data.example import Example

logger = logging.getLogger(__name__)

POSITIONS_PER_SECOND = 25
"""Of sound, in Qwen2-Audio's language model."""
_PROMPT = "prompt"


@dataclass(frozen=True)
class MediaInputs:
    """One medium, ready for the model.

    Attributes:
        tensors: the model's arguments without their batch axis. Images: ``pixel_values`` [tiles, 3, S, S] and
            ``image_sizes`` [2]; sounds: ``input_features`` [M, F] and ``feature_attention_mask`` [F].
        positions: how many positions it takes in the language model.
    """

    tensors: dict[str, Tensor]
    positions: int


def read_media(media: MediaLanguageModel, example: Example) -> MediaInputs:
    """Decode a medium. Of a sound that is longer than the model hears, the beginning is taken.

    Raises:
        MediaError: it cannot be decoded, or is silent.
    """
    with as_file(example) as path:
        if isinstance(media, ImageLanguageModel):
            return _inputs(media, load_image(path))
        assert isinstance(media, AudioLanguageModel)
        samples, _ = listen(path, 0, sampling_rate=media.sampling_rate, max_seconds=media.max_seconds)
        return _inputs(media, samples)


def blank(media: MediaLanguageModel) -> MediaInputs:
    """A medium that stands where one could not be decoded: a small white image, or a moment of silence."""
    if isinstance(media, ImageLanguageModel):
        side = media.model.config.vision_config.image_size
        return _inputs(media, Image.new("RGB", (side, side), "white"))
    assert isinstance(media, AudioLanguageModel)
    return _inputs(media, np.zeros(round(MIN_SECONDS * media.sampling_rate), np.float32))


def _inputs(media: MediaLanguageModel, medium: Image.Image | np.ndarray) -> MediaInputs:
    inputs = media.inputs(medium, _PROMPT)
    placeholder = media.tokenizer.convert_tokens_to_ids(media.placeholder)
    positions = int((inputs.pop("input_ids") == placeholder).sum())
    inputs.pop("attention_mask")
    return MediaInputs({name: values[0] for name, values in inputs.items()}, positions)


def without_weights(media: MediaLanguageModel) -> MediaLanguageModel:
    """The same model with its processor but no weights: what prepares media, light enough to be sent to workers."""
    with torch.device("meta"):
        model = media.model_class(media.model.config)
    model.generation_config = media.model.generation_config
    model.name_or_path = media.model.name_or_path
    return type(media)(model, media.processor)


@contextmanager
def as_file(example: Example) -> Iterator[Path]:
    """The medium as a file: its own, or one that is there for as long as it is read."""
    if isinstance(example.media, Path):
        yield example.media
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / re.sub(r"[^\w.-]+", "-", example.name)[-100:]
        path.write_bytes(example.media.read())
        yield path


def about_how_long(media: MediaLanguageModel, example: Example) -> int:
    """Roughly how many positions a medium takes, from its file's header; 0 where that cannot be read, or where the
    medium is no file."""
    if not isinstance(example.media, Path):
        return 0
    if isinstance(media, ImageLanguageModel):
        return _image_positions(media, example.media)
    assert isinstance(media, AudioLanguageModel)
    return round(min(_seconds(example.media), media.max_seconds) * POSITIONS_PER_SECOND)


def _image_positions(media: ImageLanguageModel, path: Path) -> int:
    config = media.model.config
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError):
        return 0
    side = config.vision_config.image_size
    tiles = image_size_to_num_patches((height, width), config.image_grid_pinpoints, side)
    return tiles * (side // config.vision_config.patch_size) ** 2


def _seconds(path: Path) -> float:
    try:
        return soundfile.info(str(path)).duration
    except (soundfile.SoundFileError, TypeError, ValueError):
        pass
    try:
        with path.open("rb") as file, av.open(file) as container:
            return (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return 0.0
