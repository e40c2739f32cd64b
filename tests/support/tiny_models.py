"""Tiny models of the classes that carry adapters, with random weights."""

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
)

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def llama():
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def llava_next():
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    config = LlavaNextConfig(
        text_config=LlamaConfig(**SIZES),
        vision_config=vision,
        image_grid_pinpoints=[[8, 8]],
        image_token_index=39,
    )
    return LlavaNextForConditionalGeneration(config)


def qwen2_audio():
    audio = Qwen2AudioEncoderConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        num_mel_bins=8,
        max_source_positions=10,
    )
    config = Qwen2AudioConfig(
        audio_config=audio.to_dict(), text_config=Qwen2Config(**SIZES).to_dict(), audio_token_index=39
    )
    return Qwen2AudioForConditionalGeneration(config)


MODELS = {"llama": llama, "llava-next": llava_next, "qwen2-audio": qwen2_audio}
