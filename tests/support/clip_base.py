"""A random LLaVA-NeXT base laid out like the published checkpoints: CLIP tower, several tiles."""

from pathlib import Path

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
)

from training.embedded.common.tokenizer import train_tokenizer
from training.embedded.image.model import CHAT_TEMPLATE

CORPUS = ["Three apples and a cow.", "Sur une plage, un hibou est à gauche d'une forêt.", "Caption:"] * 8


def clip_base(out: Path, layers: int | list[int]) -> None:
    """A random model laid out like the published checkpoints: CLIP tower, several tiles."""
    tokenizer = train_tokenizer(CORPUS, 300, {"image_token": "<image>"})
    pinpoints = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    torch.manual_seed(2)
    model = LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=tokenizer.image_token_id,
            image_grid_pinpoints=pinpoints,
            vision_feature_layer=layers,
        )
    )
    model.save_pretrained(out)
    LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(out)
