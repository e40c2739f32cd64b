"""Tiny seeded decoders of several kinds, and helpers to decode with them, for the decoding tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.decoding import Candidate, ColumnRequest, Engine, LogitsOptions
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS
from tests.support.fixtures.make_diverse_beam import PAD_TOKEN_ID, VOCAB_SIZE, fill_weights, tiny_llama

TEXT = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


def tiny_qwen2(seed: int, sliding: bool = True) -> PreTrainedModel:
    """One layer of full attention, one that sees 6 positions: less than the prompt and its answer."""
    config = Qwen2Config(**TEXT, use_sliding_window=sliding, sliding_window=6, max_window_layers=1)
    return fill_weights(Qwen2ForCausalLM(config), seed)


def tiny_gpt2(seed: int) -> PreTrainedModel:
    """Learned absolute positions, tied embeddings."""
    config = GPT2Config(
        vocab_size=VOCAB_SIZE,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = fill_weights(GPT2LMHeadModel(config), seed)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(0.4)
    return model


def tiny_llava_next(seed: int) -> PreTrainedModel:
    """The embedded model's class; prompts come as embeddings, so its vision tower does not matter."""
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=LlamaConfig(**TEXT),
        image_token_index=VOCAB_SIZE - 1,
        image_grid_pinpoints=[[8, 8]],
    )
    return fill_weights(LlavaNextForConditionalGeneration(config), seed)


def tiny_qwen2_audio(seed: int) -> PreTrainedModel:
    """A model whose forward computes the logits of every position."""
    audio = Qwen2AudioEncoderConfig(
        num_mel_bins=8,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        d_model=16,
        max_source_positions=10,
    )
    config = Qwen2AudioConfig(audio_config=audio, text_config=Qwen2Config(**TEXT), audio_token_index=VOCAB_SIZE - 1)
    return fill_weights(Qwen2AudioForConditionalGeneration(config), seed)


def tiny_mistral(seed: int) -> PreTrainedModel:
    """Every layer sees 6 positions."""
    config = MistralConfig(**TEXT, sliding_window=6, head_dim=8)
    return fill_weights(MistralForCausalLM(config), seed)


def tiny_gemma3(seed: int) -> PreTrainedModel:
    """Windows and full attention by turns, one key head for all, normalised queries and keys."""
    config = Gemma3TextConfig(
        **{**TEXT, "num_key_value_heads": 1},
        head_dim=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"],
    )
    model = fill_weights(Gemma3ForCausalLM(config), seed)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(0.4)
    return model


DECODERS = {
    "llama": tiny_llama,
    "qwen2": lambda seed: tiny_qwen2(seed, sliding=False),
    "qwen2-sliding": tiny_qwen2,
    "mistral": tiny_mistral,
    "gemma3": tiny_gemma3,
    "gpt2": tiny_gpt2,
    "llava-next": tiny_llava_next,
    "qwen2-audio": tiny_qwen2_audio,
}

# The others have layers that see a window only: their rows copy their prompts.
SHARING = ("llama", "qwen2", "gpt2", "llava-next", "qwen2-audio")


@dataclass(frozen=True)
class EmbeddedPrompt:
    """Left-padded prompts as embeddings: [B, T, D] and their mask [B, T]."""

    inputs_embeds: Tensor
    attention_mask: Tensor


def prompt_of(model: PreTrainedModel, *lengths: int, seed: int = 0) -> EmbeddedPrompt:
    """Random prompts of these lengths, left-padded to the longest (with noise: padding must not be read)."""
    total = max(lengths)
    random = np.random.RandomState(seed)
    token_ids = torch.from_numpy(random.randint(1, VOCAB_SIZE, size=(len(lengths), total)))
    mask = torch.tensor([[0] * (total - length) + [1] * length for length in lengths])
    return EmbeddedPrompt(model.get_input_embeddings()(token_ids).detach(), mask)


def row_of(prompt: EmbeddedPrompt, row: int) -> EmbeddedPrompt:
    """One of the prompts, without its padding."""
    keep = prompt.attention_mask[row].bool()
    return EmbeddedPrompt(prompt.inputs_embeds[row : row + 1, keep], prompt.attention_mask[row : row + 1, keep])


def random_stack(model: PreTrainedModel, ranks: tuple[int, ...], seed: int = 0, **fields: Any) -> AdapterStack:
    """Adapters of these ranks with random weights, strong enough to change the model's captions.

    ``fields`` of AdapterSpec select where, by default on all linear layers of the language model.
    """
    generator = torch.Generator().manual_seed(seed)
    specs = [AdapterSpec(f"adapter-{i}", rank, alpha=2.0 * rank, **fields) for i, rank in enumerate(ranks)]
    stack = AdapterStack.attach(model, specs, generator=generator)
    with torch.no_grad():
        for name in stack.names:
            for _, b in stack.tensors(name).values():
                b.copy_(0.3 * torch.randn(b.shape, generator=generator))
    return stack


def stack_on(model: torch.nn.Module, *layers: int):
    """Three adapters on these layers."""
    suffixes = ("c_attn", "c_fc") if isinstance(model, GPT2LMHeadModel) else ("q_proj", "v_proj", "down_proj")
    exclude = r".*(vision_tower|audio_tower).*"
    return random_stack(model, (2, 4, 3), target_modules=suffixes, exclude_modules=exclude, layers_to_transform=layers)


@dataclass(frozen=True)
class Decoded:
    """The final candidates of every column, and how many steps the decode took."""

    columns: dict[str, tuple[Candidate, ...]]
    steps: int


def decode(
    engine: Engine,
    prompt: EmbeddedPrompt,
    requests: list[ColumnRequest],
    max_new_tokens: int,
    logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS,
) -> Decoded:
    """Run a decode to its end."""
    columns: dict[str, tuple[Candidate, ...]] = {}
    events = list(engine.decode(prompt, requests, max_new_tokens=max_new_tokens, logits_options=logits_options))
    for event in events:
        columns.update(event.columns)
    assert events[-1].done and not events[-1].stopped
    assert events[-1].finished == {request.id for request in requests}
    return Decoded(columns, len(events))


def engine_of(model: PreTrainedModel, stack: AdapterStack | None = None, eos: tuple[int, ...] = (3,)) -> Engine:
    """An engine with the test vocabulary's padding token."""
    return Engine(model, stack, eos, PAD_TOKEN_ID)


def assert_same(ours: tuple[Candidate, ...], theirs: tuple[Candidate, ...], tolerance: float = 1e-4) -> None:
    """Same sequences in the same order, scores and log-probabilities within ``tolerance`` nats."""
    assert [c.tokens for c in ours] == [c.tokens for c in theirs]
    assert [c.finished for c in ours] == [c.finished for c in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert abs(a.score - b.score) < tolerance
        assert abs(a.log_prob - b.log_prob) < tolerance
