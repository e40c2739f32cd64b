"""Compiled layers: the same losses, gradients and names of weights, for any lengths; and where they cannot be had."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lora_mcl.trainer.batch import PromptBatch, shared_prompt_nll
from training.embedded.common.compilation import VARIANTS, can_compile, compiled_layers

LAYERS = 2


def language_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, num_hidden_layers=LAYERS, **sizes))


def losses_and_gradients(model: LlamaForCausalLM) -> list[torch.Tensor]:
    """Of batches of several lengths, each prompt with two sets of captions."""
    found = []
    for prompt, caption in ((3, 4), (5, 2)):
        torch.manual_seed(prompt)
        prompts = PromptBatch(torch.randn(2, prompt, 16), torch.ones(2, prompt, dtype=torch.long))
        captions = [torch.randint(40, (2, length)) for length in (caption, caption + 1)]
        loss = torch.stack(shared_prompt_nll(model, prompts, captions)).mean()
        model.zero_grad()
        loss.backward()
        found += [loss.detach(), *(weight.grad.clone() for weight in model.parameters())]
    return found


def test_compiled_layers_have_the_same_losses_and_gradients():
    expected = losses_and_gradients(language_model())
    model = language_model()
    names, limit = list(model.state_dict()), torch._dynamo.config.recompile_limit
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with compiled_layers(model, backend="aot_eager"):
        found = losses_and_gradients(model)
        assert torch._dynamo.config.recompile_limit == VARIANTS * LAYERS
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["ok"] == frames["total"] == 3 * LAYERS  # for two forms of the cache, and again for any lengths
    assert list(model.state_dict()) == names and torch._dynamo.config.recompile_limit == limit


def test_they_can_be_had_where_a_first_function_compiles(monkeypatch):
    def no_compiler(function):
        def fail(*args):
            raise RuntimeError("No working C++ compiler found")

        return fail

    monkeypatch.setattr(torch, "compile", lambda function: function)
    assert can_compile()
    monkeypatch.setattr(torch, "compile", no_compiler)
    assert not can_compile()
