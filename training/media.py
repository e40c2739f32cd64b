"""Batches with media as examples: the tower and the projector run once per example, whatever K."""

from __future__ import annotations

from typing import Any

from transformers import LlavaNextForConditionalGeneration
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from lora_mcl.models.llava_next import embed_prompt, tower_features
from training.examples import Examples


def llava_next_examples(model: LlavaNextForConditionalGeneration, batch: dict[str, Any]) -> Examples:
    """Examples whose pictures are embedded already, as ``examples_of`` of the Trainer::

        MultipleChoiceTrainer(learner, args, examples_of=lambda batch: llava_next_examples(model, batch), ...)

    Only right while neither the tower nor the projector carries adapters.

    Args:
        batch: what ``LlavaNextProcessor`` makes of B texts with one picture each (``input_ids``, ``attention_mask``,
            ``pixel_values``, ``image_sizes``), and ``labels`` [B, T].
    """
    config, sizes = model.config, batch["image_sizes"]
    side = config.vision_config.image_size
    features = [
        tower_features(model, tiles[: image_size_to_num_patches(size, config.image_grid_pinpoints, side)])
        for tiles, size in zip(batch["pixel_values"], sizes, strict=True)
    ]
    embeds = embed_prompt(model, batch["input_ids"], features, sizes)
    return Examples.from_batch(
        {"inputs_embeds": embeds, "attention_mask": batch["attention_mask"], "labels": batch["labels"]}
    )
