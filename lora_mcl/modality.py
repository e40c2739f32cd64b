"""What a model takes as input."""

from typing import Literal, get_args

Modality = Literal["image", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
