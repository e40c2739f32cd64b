"""A tiny Qwen2-Audio base with random weights, laid out like the published ones but for its sizes: 1 s clips."""

from pathlib import Path

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from tests.support.byte_tokenizer import byte_tokenizer

SAMPLING_RATE = 16_000
SECONDS = 1
MEL_BINS = 16
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
TEXTS = ["A dog barks twice while it rains.", "Un chien aboie deux fois.", "Describe the sound.", "Audio 1: user"]
# That of Qwen2-Audio-7B-Instruct on the Hub.
PUBLISHED_CHAT_TEMPLATE = (
    "{% set audio_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if 'audio' in content or 'audio_url' in content or message['type'] == 'audio' %}"
    "{% set audio_count.value = audio_count.value + 1 %}"
    "Audio {{ audio_count.value }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_audio_processor() -> Qwen2AudioProcessor:
    """Its chat template is transformers' default one, that of Qwen2-Audio-7B-Instruct."""
    return Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=byte_tokenizer(TEXTS, SPECIAL_TOKENS),
            pad_token="<|endoftext|>",
            eos_token="<|endoftext|>",
        ),
    )


def tiny_audio_model(vocab_size: int, hidden_size: int = 32) -> Qwen2AudioForConditionalGeneration:
    """Two encoder layers, two Qwen2 layers; a caption ends by one of two tokens."""
    torch.manual_seed(0)
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            num_mel_bins=MEL_BINS,
            d_model=32,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=48,
            max_source_positions=50 * SECONDS,
            initializer_range=0.2,
        ),
        text_config=Qwen2Config(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            intermediate_size=2 * hidden_size,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.2,
        ),
        audio_token_index=SPECIAL_TOKENS.index("<|AUDIO|>"),
    )
    model = Qwen2AudioForConditionalGeneration(config).eval()
    model.generation_config = GenerationConfig(eos_token_id=[0, 2], pad_token_id=0)
    return model


def save_tiny_audio_base(folder: Path, hidden_size: int = 32) -> None:
    """Write model and processor to ``folder``."""
    processor = tiny_audio_processor()
    tiny_audio_model(len(processor.tokenizer), hidden_size).save_pretrained(folder)
    processor.save_pretrained(folder)


def tone(hertz: float, seconds: float, sampling_rate: int = SAMPLING_RATE, amplitude: float = 0.5) -> np.ndarray:
    """A sine [N], float32."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def chirp(seconds: float, sampling_rate: int = SAMPLING_RATE) -> np.ndarray:
    """A rising tone with a little noise [N], float32: no two moments are alike."""
    noise = np.random.default_rng(0).normal(0, 0.01, round(seconds * sampling_rate))
    time = np.arange(len(noise)) / sampling_rate
    return (0.5 * np.sin(2 * np.pi * (200 + 2000 * time) * time) + noise).astype(np.float32)


def strongest(samples: np.ndarray, rate: int = 16_000) -> float:
    """The strongest frequency of samples [N], in Hz."""
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)
