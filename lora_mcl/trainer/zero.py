"""Training under DeepSpeed ZeRO-3, as ``accelerate launch`` with zero3.yaml starts it."""

from __future__ import annotations

import os
from typing import Any

from lora_mcl.errors import OptionsError
from training.run.options import TrainConfig


def under_deepspeed() -> bool:
    """Whether ``accelerate launch`` started this process for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def configure_deepspeed(config: TrainConfig, settings: dict[str, Any], stage: int) -> None:
    """Put the run's precision into DeepSpeed's settings, before it prepares the model.

    Its own bfloat16 would turn adapters, gate and counts into bfloat16; by autocast they stay float32, as elsewhere.

    Args:
        settings: of DeepSpeed; changed in place.
        stage: of ZeRO.

    Raises:
        OptionsError: the configuration asks for what is not supported with DeepSpeed.
    """
    if stage != 3:
        raise OptionsError(f"DeepSpeed's ZeRO stage must be 3, not {stage}: take zero3.yaml, or ddp.yaml")
    if config.model.load_in_4bit:
        raise OptionsError("model.load_in_4bit and DeepSpeed do not go together: take ddp.yaml")
    if config.data.feature_cache:
        raise OptionsError("data.feature_cache and DeepSpeed do not go together: take fsdp2.yaml or ddp.yaml")
    if config.training.precision == "bfloat16":
        settings["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
