"""The last layer of a prefill: one position behind its attention, and the same logits and cache as with all."""

from contextlib import nullcontext

import pytest
import torch

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import prefill as module
from lora_mcl.decoding.prefill import Prefix, prefill
from lora_mcl.decoding.shared_layers import decoder_layers, decoder_of
from tests.support.tiny_decoders import DECODERS, prompt_of, random_stack, stack_on

# The others have layers of other kinds.
KNOWN = ("llama", "qwen2", "qwen2-sliding", "mistral", "llava-next", "qwen2-audio")
PREFIXES = [Prefix(0, 1), Prefix(1, BASE_ROW), Prefix(1, 0)]


def read(model, stack):
    prompt = prompt_of(model, 5, 9)
    return prefill(model, stack, prompt.inputs_embeds, prompt.attention_mask, PREFIXES)


@pytest.mark.parametrize("name", DECODERS)
def test_the_last_layer_computes_one_position_with_the_same_result(name, monkeypatch):
    model = DECODERS[name](3)
    stack = random_stack(model, (2, 3)) if name in KNOWN else stack_on(model, 0, 1)
    lengths = []
    last = decoder_layers(decoder_of(model))[-1]
    hook = last.mlp.register_forward_hook(lambda _, args, output: lengths.append(output.shape[1]))
    short = read(model, stack)
    hook.remove()
    assert lengths == [1 if name in KNOWN else 9]
    assert not last.mlp._forward_pre_hooks

    monkeypatch.setattr(module, "reading_last_position", lambda layers: nullcontext())
    whole = read(model, stack)
    torch.testing.assert_close(short.logits, whole.logits, rtol=1e-4, atol=1e-5)
    for one, other in zip(short.cache.layers, whole.cache.layers, strict=True):
        torch.testing.assert_close(one.keys, other.keys)
        torch.testing.assert_close(one.values, other.values)
