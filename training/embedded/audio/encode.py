"""Clips to features of the frozen audio tower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lora_mcl.models.qwen2_audio import AudioLanguageModel, tower_features
from training.embedded.audio.render.dsp import RATE

TOWER_BATCH = 4


def encode_clips(model: AudioLanguageModel, clips: Sequence[np.ndarray], exact: bool = True) -> np.ndarray:
    """Tower output of N clips of one length, [N, 1, P, D] float16: a clip has a single view.

    Args:
        exact: compute in float32, else in bfloat16.
    """
    extractor = model.processor.feature_extractor
    inputs = extractor(list(clips), sampling_rate=RATE, return_attention_mask=True, return_tensors="pt")
    out = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        for features, mask in zip(
            inputs["input_features"].split(TOWER_BATCH), inputs["attention_mask"].split(TOWER_BATCH), strict=True
        ):
            out.append(torch.stack(tower_features(model.model, features, mask)))
    return torch.cat(out)[:, None].to(torch.float16).numpy()
