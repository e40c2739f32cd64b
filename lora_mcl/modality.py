"""Modalities: the kinds of input that models take."""

from typing import Literal, get_args

Modality = Literal["image", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
