"""A tiny LLaVA-NeXT base with random weights: one 32-pixel tile, a byte-level tokenizer."""

from pathlib import Path

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)

from tests.support.byte_tokenizer import byte_tokenizer

TEXTS = [
    "A red apple and two blue cats.",
    "Une pomme rouge à côté d'un éléphant bleu, sur une île.",
    "Describe.",
]


SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<image>"]


IMAGE_SIDE, PATCH_SIDE = 32, 16


CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def tiny_image_processor() -> LlavaNextProcessor:
    """Byte-level words of ``TEXTS`` and one 32-pixel tile."""
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": IMAGE_SIDE},
            crop_size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
            image_grid_pinpoints=[[IMAGE_SIDE, IMAGE_SIDE]],
        ),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=byte_tokenizer(TEXTS, SPECIAL_TOKENS), pad_token="<pad>", bos_token="<s>", eos_token="</s>"
        ),
        patch_size=PATCH_SIDE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def tiny_image_model(vocab_size: int) -> LlavaNextForConditionalGeneration:
    """A random LLaVA-NeXT with a CLIP tower and a two-layer Llama, 32 channels wide."""
    torch.manual_seed(0)
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=IMAGE_SIDE,
            patch_size=PATCH_SIDE,
            projection_dim=32,
        ),
        text_config=LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            initializer_range=0.2,
        ),
        image_token_index=3,
        image_grid_pinpoints=[[IMAGE_SIDE, IMAGE_SIDE]],
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    return LlavaNextForConditionalGeneration(config).eval()


def save_tiny_image_base(folder: Path) -> None:
    """Write model and processor to ``folder``."""
    processor = tiny_image_processor()
    tiny_image_model(len(processor.tokenizer)).save_pretrained(folder)
    processor.save_pretrained(folder)
