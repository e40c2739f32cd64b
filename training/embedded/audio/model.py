"""The audio model before any training: half of Whisper's encoder, Qwen2-Audio's projector, a small Qwen2."""

from __future__ import annotations

from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoder,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.whisper import POSITIONS_PER_SECOND
from training.embedded.common.domain import LanguageModelSize

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


def build_model(
    tokenizer: PreTrainedTokenizerFast, size: LanguageModelSize, encoder: Qwen2AudioEncoder
) -> tuple[Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor]:
    """The model with random weights, and its processor, for a tower of that shape."""
    config = Qwen2AudioConfig(
        audio_config=encoder.config.to_dict(),
        text_config=Qwen2Config(**size.config(tokenizer)).to_dict(),
        audio_token_index=tokenizer.convert_tokens_to_ids(AUDIO),
    )
    return Qwen2AudioForConditionalGeneration(config), make_processor(tokenizer, encoder)


def make_processor(tokenizer: PreTrainedTokenizerFast, encoder: Qwen2AudioEncoder) -> Qwen2AudioProcessor:
    """The processor that cuts clips to the length that the encoder has positions for."""
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
