"""Logits at the last positions only: the same numbers as the whole forward, without computing the rest."""

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
)

from lora_mcl.loss import last_logits

SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}


def qwen2_audio():
    audio = Qwen2AudioEncoderConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=24, num_mel_bins=8
    )
    text = Qwen2Config(**SIZES, num_key_value_heads=2)
    config = Qwen2AudioConfig(audio_config=audio.to_dict(), text_config=text.to_dict(), audio_token_index=39)
    return Qwen2AudioForConditionalGeneration(config)


MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2)),
    "qwen2-audio": qwen2_audio,
}


@pytest.mark.parametrize("kind", MODELS)
def test_last_logits_are_those_of_the_whole_forward_and_only_they_are_computed(kind):
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    tokens = torch.tensor([[1, 5, 9, 3, 7, 2], [1, 8, 8, 30, 2, 11]])
    scored = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: scored.append(output.shape[1]))
    with torch.no_grad():
        last = last_logits(model, 3, input_ids=tokens)
        whole = model(input_ids=tokens).logits
    torch.testing.assert_close(last, whole[:, -3:])
    assert scored == [3, 6]


def test_a_model_that_cannot_score_less_is_cut_afterwards():
    class Minimal(nn.Module):
        def forward(self, input_ids):
            return type("Output", (), {"logits": input_ids[..., None].float()})

    assert last_logits(Minimal(), 2, input_ids=torch.tensor([[1, 2, 3]])).tolist() == [[[2.0], [3.0]]]
