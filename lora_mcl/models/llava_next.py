"""LLaVA-NeXT (LLaVA-1.6) models: loading them, and turning an image and a prompt into embeddings once.

The embedded small model and the published 7B checkpoints are the same class, transformers'
``LlavaNextForConditionalGeneration``, and go through the same code. What this module adds is a split of its
forward pass: the vision tower (frozen, so its output may be cached in training), then everything up to the
language model's input. Decoding K hypotheses and training on cached features both start from there, and get
exactly the numbers of the stock forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoTokenizer,
    BatchFeature,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
)
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from lora_mcl.models import image_tower  # noqa: F401  (registers the embedded tower with transformers)
from lora_mcl.models.base import EncodedPrompt, MediaLanguageModel


class ImageLanguageModel(MediaLanguageModel):
    """A LLaVA-NeXT model with its processor, which is on the PIL path (no torchvision needed)."""

    modality = "image"
    config_class = LlavaNextConfig
    model_class = LlavaNextForConditionalGeneration
    media_modules = ("model.vision_tower", "model.multi_modal_projector")

    @classmethod
    def _load_processor(cls, base: str | Path, revision: str | None) -> LlavaNextProcessor:
        # Assembled from its parts: LlavaNextProcessor.from_pretrained would look for torchvision first.
        settings, _ = LlavaNextProcessor.get_processor_dict(base, revision=revision)
        image_processor = LlavaNextImageProcessorPil.from_pretrained(base, revision=revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(base, revision=revision, trust_remote_code=False)
        return LlavaNextProcessor.from_args_and_dict([image_processor, tokenizer], settings)

    @property
    def placeholder(self) -> str:
        return self.processor.image_token

    @property
    def media_token_ids(self) -> tuple[int, ...]:
        return (self.model.config.image_token_id,)

    def inputs(self, image: Image.Image, prompt: str) -> BatchFeature:
        """Return the stock model's inputs for one user turn, ``image`` (RGB) then ``prompt``, in the chat template.

        They are ``input_ids`` and ``attention_mask`` [1, T] (one placeholder token per image position),
        ``pixel_values`` [1, tiles, 3, S, S] and ``image_sizes`` [1, 2] (height, width), on the CPU.

        Raises:
            ValueError: if the image is not RGB: ``images.load_image`` makes it so, and upright.
            OptionsError: if the prompt contains the image placeholder.
        """
        if image.mode != "RGB":
            raise ValueError(f"the image must be RGB, not {image.mode}: read it with lora_mcl.images.load_image")
        return self.processor.apply_chat_template(
            self.conversation(image, prompt),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    def prompt_ids(self, image_size: tuple[int, int], prompt: str) -> Tensor:
        """Return the token ids [1, T] of ``prompt`` on any image of ``image_size`` (height, width)."""
        height, width = image_size
        return self.inputs(Image.new("RGB", (width, height)), prompt)["input_ids"]

    @torch.no_grad()
    def encode(self, image: Image.Image, prompt: str) -> EncodedPrompt:
        """Run tower and projector once and return the embedded prompt.

        Raises:
            ValueError: if the image is not RGB.
            OptionsError: if the prompt contains the image placeholder.
        """
        inputs = self.inputs(image, prompt).to(self.model.device)
        tiles = tower_features(self.model, inputs["pixel_values"][0])
        embeds = embed_prompt(self.model, inputs["input_ids"], [tiles], inputs["image_sizes"])
        return EncodedPrompt(embeds, inputs["attention_mask"])


def tower_features(model: LlavaNextForConditionalGeneration, pixel_values: Tensor) -> Tensor:
    """Return what the projector reads of each tile: [tiles, P, C] for ``pixel_values`` [tiles, 3, S, S]."""
    layers = model.config.vision_feature_layer
    hidden = model.model.vision_tower(
        pixel_values.to(model.device, model.dtype), output_hidden_states=True, return_dict=True
    ).hidden_states
    chosen = [layers] if isinstance(layers, int) else layers
    features = torch.cat([hidden[layer] for layer in chosen], dim=-1)
    return features[:, 1:] if model.config.vision_feature_select_strategy == "default" else features


def embed_prompt(
    model: LlavaNextForConditionalGeneration,
    input_ids: Tensor,
    features: Sequence[Tensor],
    image_sizes: Tensor,
) -> Tensor:
    """Return the language model's input embeddings [B, T, D], as the stock forward computes them.

    Gradients reach the projector, the newline and the token embeddings where these require them.

    Args:
        input_ids: [B, T], with one placeholder token per image position.
        features: for each image its ``tower_features`` [tiles, P, C]; or [1, P, C] where all its tiles are
            equal (a square image cut in one tile: overview and tile are the same picture), projected once.
        image_sizes: [B, 2], each image's height and width in pixels.

    Raises:
        ValueError: if placeholders and image positions differ in number (raised by transformers).
    """
    config, core = model.config, model.model
    projected = core.multi_modal_projector(torch.cat(list(features)).to(model.device, model.dtype))
    tiles = [
        image.expand(_tile_count(config, size), -1, -1) if len(image) == 1 else image
        for image, size in zip(projected.split([len(image) for image in features]), image_sizes, strict=True)
    ]
    packed, _ = core.pack_image_features(
        tiles,
        image_sizes,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        image_newline=core.image_newline,
    )
    embeds = core.get_input_embeddings()(input_ids)
    positions = torch.cat(packed).to(embeds.device, embeds.dtype)
    placeholders = core.get_placeholder_mask(input_ids, inputs_embeds=embeds, image_features=positions)
    return embeds.masked_scatter(placeholders, positions)


def _tile_count(config: LlavaNextConfig, image_size: Tensor) -> int:
    return image_size_to_num_patches(image_size, config.image_grid_pinpoints, config.vision_config.image_size)
