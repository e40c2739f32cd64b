"""Build the embedded audio model before it hears captions: pretrained tower, everything else at random.

The result is a folder that ``Qwen2AudioForConditionalGeneration`` and ``Qwen2AudioProcessor`` load: the first half of
Whisper tiny.en's encoder in the stock ``Qwen2AudioEncoder``, the stock projector, a small Qwen2, and
a tokenizer trained on the captions the model is going to learn.

    python -m training.embedded.audio.build_base
"""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoder,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from training.embedded.audio.annotation.timbre import CHARACTERS
from training.embedded.audio.batches import PROMPT
from training.embedded.audio.captions.grammar import MODES, load_grammar
from training.embedded.audio.features import UNTRAINED_DIR
from training.embedded.audio.material.assets import load_material
from training.embedded.audio.render.clips import draw
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.whisper import POSITIONS_PER_SECOND, log_mel_extractor, pretrained_encoder, standardise
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Told
from training.embedded.common.tokenizer import train_tokenizer

AUDIO, AUDIO_BOS, AUDIO_EOS = "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"
# A user turn is its text and, between two marks, its clips; an answer is a new line, the text, and the end token.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '\\n' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}{{ '<|audio_bos|><|AUDIO|><|audio_eos|>' }}{% else %}{{ part['text'] }}{% endif %}"
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
    vocab_size: int = 2048
    max_positions: int = 512


def build_base(
    out: Path,
    captions: Iterable[str],
    size: LanguageModelSize = LanguageModelSize(),
    *,
    encoder: Qwen2AudioEncoder | None = None,
    seed: int = 0,
) -> None:
    """Write the untrained model to ``out``: config, fp16 weights, processor, tokenizer, chat template.

    Args:
        out: the folder to write.
        captions: the corpus to train the tokenizer on; put the prompt in it too.
        size: the language model's size; ``vocab_size`` is an upper bound.
        encoder: the audio tower; by default the pretrained one, fetched if needed.
        seed: of the random projector and language model.
    """
    encoder = pretrained_encoder() if encoder is None else encoder
    tokenizer = train_tokenizer(
        captions,
        size.vocab_size,
        {"audio_token": AUDIO, "audio_bos_token": AUDIO_BOS, "audio_eos_token": AUDIO_EOS},
    )
    config = Qwen2AudioConfig(
        audio_config=encoder.config.to_dict(),
        text_config=Qwen2Config(
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
        ).to_dict(),
        audio_token_index=tokenizer.convert_tokens_to_ids(AUDIO),
    )
    torch.manual_seed(seed)
    model = Qwen2AudioForConditionalGeneration(config)
    model.model.audio_tower.load_state_dict(encoder.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_half(model, make_processor(tokenizer, encoder), out)


def save_half(model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor, out: Path) -> None:
    """Write a model and its processor to ``out`` with fp16 weights, leaving ``model`` as it is."""
    copy.deepcopy(model).half().save_pretrained(out)
    processor.save_pretrained(out)


def make_processor(tokenizer: PreTrainedTokenizerFast, encoder: Qwen2AudioEncoder) -> Qwen2AudioProcessor:
    """The processor that gives the encoder the clips it reads: as long as its positions last."""
    seconds = encoder.config.max_source_positions // POSITIONS_PER_SECOND
    return Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(
            feature_size=encoder.config.num_mel_bins,
            sampling_rate=RATE,
            chunk_length=seconds,
            return_attention_mask=True,
        ),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
        audio_token=AUDIO,
        audio_bos_token=AUDIO_BOS,
        audio_eos_token=AUDIO_EOS,
    )


def sample_captions(scenes: int, seed: int) -> Iterator[str]:
    """Yield the prompt and every annotator's caption of ``scenes`` scenes of any sounds."""
    rng, grammar, lexicon = random.Random(seed), load_grammar(), load_lexicon()
    for _ in range(scenes):
        scene = sample_scene(rng, lexicon, lexicon.events, lexicon.beds)
        events = tuple(
            replace(
                event,
                tempo=rng.choice(("slow", "fast")) if lexicon.sounds[event.sound].kind == "music" else None,
                told=rng.choice(get_args(Told)),
                character=rng.choice(CHARACTERS),
            )
            for event in scene.events
        )
        yield PROMPT
        yield from (grammar.caption(replace(scene, events=events), mode, rng) for mode in MODES)


def sample_log_mels(clips: int) -> list[Tensor]:
    """Log-mel pictures [M, F] of ``clips`` training clips."""
    material = load_material("train")
    waves = [draw("train", number, material)[1].wave for number in range(clips)]
    return list(log_mel_extractor()(waves, sampling_rate=RATE, return_tensors="pt")["input_features"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=UNTRAINED_DIR)
    parser.add_argument("--scenes", type=int, default=12_000, help="scenes whose captions train the tokenizer")
    parser.add_argument("--clips", type=int, default=100, help="clips that the tower's output is standardised on")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    encoder = pretrained_encoder()
    standardise(encoder, sample_log_mels(args.clips))
    build_base(args.out, sample_captions(args.scenes, args.seed), encoder=encoder, seed=args.seed)


if __name__ == "__main__":
    main()
