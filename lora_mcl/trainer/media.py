"""Batches with media as examples: the tower and the projector run once per example, whatever K."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import LlavaNextForConditionalGeneration, Qwen2AudioForConditionalGeneration
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from lora_mcl.models import llava_next, qwen2_audio
from lora_mcl.trainer.batch import Examples


def llava_next_examples(model: LlavaNextForConditionalGeneration, batch: dict[str, Any]) -> Examples:
    """Examples whose pictures are embedded already, as ``examples_of`` of the Trainer::

        MultipleChoiceTrainer(learner, args, examples_of=lambda batch: llava_next_examples(model, batch), ...)

    Only right while neither the tower nor the projector carries adapters; where they do, leave ``examples_of`` out.

    Args:
        batch: what ``LlavaNextProcessor`` makes of B texts with one picture each (``input_ids``, ``attention_mask``,
            ``pixel_values``, ``image_sizes``), and ``labels`` [B, T].
    """
    config, sizes = model.config, batch["image_sizes"]
    side = config.vision_config.image_size
    features = [
        llava_next.tower_features(model, tiles[: image_size_to_num_patches(size, config.image_grid_pinpoints, side)])
        for tiles, size in zip(batch["pixel_values"], sizes, strict=True)
    ]
    return _examples(llava_next.embed_prompt(model, batch["input_ids"], features, sizes), batch)


def qwen2_audio_examples(model: Qwen2AudioForConditionalGeneration, batch: dict[str, Any]) -> Examples:
    """Examples whose sounds are embedded already; like ``llava_next_examples``.

    Args:
        batch: what ``Qwen2AudioProcessor`` makes of B texts with one clip each (``input_ids``, ``attention_mask``,
            ``input_features``, ``feature_attention_mask``), and ``labels`` [B, T].
    """
    features = qwen2_audio.tower_features(model, batch["input_features"], batch["feature_attention_mask"])
    return _examples(qwen2_audio.embed_prompt(model, batch["input_ids"], features), batch)


def _examples(embeds: Tensor, batch: dict[str, Any]) -> Examples:
    return Examples.from_batch(
        {"inputs_embeds": embeds, "attention_mask": batch["attention_mask"], "labels": batch["labels"]}
    )
