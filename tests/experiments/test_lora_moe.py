"""LoRA-MoE: K experts mixed for each token by a router, by hand."""

import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM

from lora_mcl.adapters import AdapterStack
from training.experiments.lora_moe import ExpertLinear, route_tokens


@pytest.fixture
def stack():
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    ).eval()
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])
    return AdapterStack.from_lora_config(model, config, 1)


def test_each_token_mixes_the_experts_by_its_router(stack):
    (name,) = stack.layers
    route_tokens(stack, 2)
    layer = stack.layers[name]
    assert isinstance(layer, ExpertLinear) and stack.model.get_submodule(name) is layer
    torch.nn.init.normal_(layer.lora_B)
    x = torch.randn(3, 5, 8)
    found = layer(x)
    for row in range(3):
        for token in range(5):
            value = x[row, token]
            share = (layer.router.weight @ value).softmax(0)
            a, b = layer.lora_A[0], layer.lora_B[0]
            experts = [b[:, :2] @ (a[:2] @ value), b[:, 2:] @ (a[2:] @ value)]
            expected = layer.base.weight @ value + 2 * (share[0] * experts[0] + share[1] * experts[1])
            torch.testing.assert_close(found[row, token], expected, atol=1e-5, rtol=1e-4)


def test_at_first_the_model_is_unchanged_and_the_router_trains(stack):
    ids = torch.arange(6)[None]
    with stack.rows([0]):
        before = stack.model(ids).logits
        route_tokens(stack, 4)
        torch.testing.assert_close(stack.model(ids).logits, before)
    assert {name.rsplit(".", 2)[-2] for name, one in stack.model.named_parameters() if one.requires_grad} == {
        "q_proj",
        "router",
    }


def test_experts_that_do_not_divide_the_rank(stack):
    with pytest.raises(ValueError, match="3 experts need one adapter whose rank they divide"):
        route_tokens(stack, 3)
