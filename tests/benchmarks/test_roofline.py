"""The estimate of a 7B step: its counts against published sizes and the operations of a real forward pass."""

import json
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.roofline import (
    RESULTS,
    SHAPES,
    Gpu,
    Workload,
    estimate,
    step,
)
from lora_mcl.adapters import AdapterSpec, AdapterStack


def test_sizes_are_those_of_the_published_models():
    llava, audiocaps, _ = SHAPES
    assert llava.adapter_weights == 19_988_480  # 19.99M per hypothesis, all linear layers at rank 8
    assert replace(audiocaps, rank=1).adapter_weights == 1_998_848 - 32 * 3 * 2 * 1280  # the rest is on the tower
    assert replace(llava, tower_weights=0, vocab=32_000).weights == pytest.approx(6.74e9, rel=1e-3)  # Llama 7B


def test_operations_are_those_of_a_forward_pass():
    shape = Workload("tiny", 2, 64, 128, 64, 100, prompt=20, caption=4, rank=4, modules=7)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=100, **sizes, attn_implementation="eager"))
    stack = AdapterStack.attach(model, [AdapterSpec("one", 4, 8.0)])
    with stack.rows([0]), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.ones(1, shape.tokens, dtype=torch.long), logits_to_keep=shape.caption + 1)
    masked = 2 * shape.layers * shape.tokens**2 * shape.hidden  # the upper half, which plain attention computes too
    assert counter.get_total_flops() == pytest.approx(shape.forward() + masked, rel=5e-3)


def test_costs_relative_to_one_adapter():
    def seconds(hypotheses, way, checkpointing):
        return step(SHAPES[0], Gpu(), hypotheses, way, 2, checkpointing)["tera_operations"]

    for checkpointing, per_row in ((True, 3), (False, 2)):
        one = seconds(1, "all", checkpointing)
        assert seconds(5, "all", checkpointing) == pytest.approx(5 * one, rel=1e-2)
        assert seconds(5, "sampled", checkpointing) == pytest.approx((5 + per_row) / per_row * one, rel=1e-2)


def test_the_committed_file_is_marked_and_up_to_date():
    committed = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert committed["estimate"] is True and committed["measured"] is False
    assert committed == json.loads(json.dumps(estimate(Gpu(), batch=2)))
