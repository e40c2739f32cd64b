"""Build the embedded image model before any training: pretrained tower, everything else at random.

The result is a folder that ``LlavaNextForConditionalGeneration`` and ``LlavaNextProcessor`` load: the
EfficientNet-Lite0 tower with its ImageNet weights, a two-layer projector, a small Llama, and a tokenizer
trained on the captions the model is going to learn.

    python -m training.embedded.image.build_base
"""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)

from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from training.embedded.common.tokenizer import train_tokenizer
from training.embedded.image.batches import PROMPT
from training.embedded.image.captions.grammar import MODES, load_grammar
from training.embedded.image.features import UNTRAINED_DIR
from training.embedded.image.tower import pretrained_tower
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.sampler import sample_scene

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


@dataclass(frozen=True)
class LanguageModelSize:
    """Size of the language model; the defaults give about 4 M parameters."""

    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    intermediate_size: int = 688
    vocab_size: int = 3072
    max_positions: int = 512


def build_base(
    out: Path,
    captions: Iterable[str],
    size: LanguageModelSize = LanguageModelSize(),
    *,
    tower: EfficientNetTower | None = None,
    seed: int = 0,
) -> None:
    """Write the untrained model to ``out``: config, fp16 weights, processor, tokenizer, chat template.

    Args:
        out: the folder to write.
        captions: the corpus to train the tokenizer on; put the prompt in it too.
        size: the language model's size; ``vocab_size`` is an upper bound.
        tower: the vision tower; by default the pretrained one, fetched if needed.
        seed: of the random projector and language model.
    """
    tower = pretrained_tower(EfficientNetTowerConfig(mean_cell=True)) if tower is None else tower
    tokenizer = train_tokenizer(captions, size.vocab_size, {"image_token": IMAGE})
    config = LlavaNextConfig(
        vision_config=tower.config,
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.hidden_size,
            intermediate_size=size.intermediate_size,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.kv_heads,
            max_position_embeddings=size.max_positions,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_grid_pinpoints=[[tower.config.image_size, tower.config.image_size]],
        image_seq_length=(tower.config.image_size // tower.config.patch_size) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlavaNextForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_half(model, make_processor(tokenizer, config), out)


def save_half(model: LlavaNextForConditionalGeneration, processor: LlavaNextProcessor, out: Path) -> None:
    """Write a model and its processor to ``out`` with fp16 weights, leaving ``model`` as it is."""
    copy.deepcopy(model).half().save_pretrained(out)
    processor.save_pretrained(out)


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


def sample_captions(scenes: int, seed: int) -> Iterator[str]:
    """Yield the prompt and every annotator's caption of ``scenes`` scenes of any concepts and places."""
    rng, grammar = random.Random(seed), load_grammar()
    concepts, places = list(load_lexicon()), list(load_places())
    for _ in range(scenes):
        scene = sample_scene(rng, concepts, places)
        yield PROMPT
        yield from (grammar.caption(scene, mode, rng) for mode in MODES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=UNTRAINED_DIR)
    parser.add_argument("--scenes", type=int, default=20_000, help="scenes whose captions train the tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    build_base(args.out, sample_captions(args.scenes, args.seed), seed=args.seed)


if __name__ == "__main__":
    main()
