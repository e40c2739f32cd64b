"""The image model before any training: classifier and detector, LLaVA-NeXT's projector, and a small Llama."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)

from lora_mcl.models.image_tower import ImageTower, ImageTowerConfig
from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.common.domain import LanguageModelSize
from training.embedded.image.world.lexicon import load_lexicon, plain_concept

IMAGE = "<image>"
IMAGE_MEAN, IMAGE_STD = 127 / 255, 128 / 255

# A user turn is its text and image placeholders; an answer is a new line, the text, and the end token.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '\\n' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n' }}{% endif %}"
)


def build_model(
    tokenizer: PreTrainedTokenizerFast, size: LanguageModelSize, tower: ImageTower
) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    """The model with random weights, and its processor, for a tower of that shape."""
    config = LlavaNextConfig(
        vision_config=tower.config,
        text_config=LlamaConfig(**size.config(tokenizer), tie_word_embeddings=True),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_grid_pinpoints=[[tower.config.image_size, tower.config.image_size]],
        image_seq_length=(tower.config.image_size // tower.config.patch_size) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    model = LlavaNextForConditionalGeneration(config)
    share_columns(model.model.multi_modal_projector.linear_1.weight, tower.config)
    return model, make_processor(tokenizer, config)


@torch.no_grad()
def share_columns(weight: Tensor, config: ImageTowerConfig) -> None:
    """Give the channels of one concept the same column of the projector's first layer, in place.

    A dog is one of 118 classes of the classifier, and one of the detector's: what the model learns from one of these
    channels then holds for all of them.

    Args:
        weight: [H, ``config.hidden_size``].
    """
    tags = config.classifier_config.hidden_size
    scores = tags + config.tag_channels
    best = scores + len(COCO_CLASSES) + 2  # after the scores of the patch's own boxes and the box's two sides
    lexicon, count = load_lexicon(), config.tag_channels  # the tests' towers have fewer than ImageNet's classes
    first: dict[str, int] = {}
    columns = [
        *((concept.id, tags + index) for concept in lexicon.values() for index in concept.imagenet if index < count),
        *((plain_concept(coco), start + n) for start in (scores, best) for n, coco in enumerate(COCO_CLASSES)),
    ]
    for concept, column in columns:
        weight[:, column] = weight[:, first.setdefault(concept, column)]


def make_processor(tokenizer: PreTrainedTokenizerFast, config: LlavaNextConfig) -> LlavaNextProcessor:
    """Return the processor whose image placeholders match the features of a model with ``config``."""
    side = config.vision_config.image_size
    image_processor = LlavaNextImageProcessorPil(
        size={"height": side, "width": side},
        crop_size={"height": side, "width": side},
        # Overview and tiles are cut to the tower's size before these two steps.
        do_resize=False,
        do_center_crop=False,
        image_mean=[IMAGE_MEAN] * 3,
        image_std=[IMAGE_STD] * 3,
        image_grid_pinpoints=config.image_grid_pinpoints,
    )
    return LlavaNextProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        # The tower's dummy CLS; the "default" strategy drops it again.
        num_additional_image_tokens=1,
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )
