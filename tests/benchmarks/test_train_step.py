"""The benchmark's baselines compute what ours do, and its table has every way."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import train_step
from benchmarks.train_step import Workload, summary
from benchmarks.training_baselines import GroupedConvolutionLora, SequentialLora, replace_linears
from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner

TINY = Workload(layers=1, hidden=32, heads=2, vocab=50, tokens=12, caption=4, batch=2, rank=2)
K = 3


def ours():
    torch.manual_seed(0)
    model = TINY.model()
    stack = AdapterStack.attach(model, [AdapterSpec(f"h{k}", 2, 4.0) for k in range(K)])
    with torch.no_grad():
        for layer in stack.layers.values():
            layer.lora_B.normal_(0, 0.5)
    return stack


def test_the_baselines_are_the_same_step():
    stack, examples = ours(), TINY.examples()
    expected = MultipleChoiceLearner(stack.model, stack, ObjectiveOptions("wta"))(examples, 0, 1).loss
    expected.backward()
    names = list(stack.layers)
    conv, sequential = TINY.model(), TINY.model()
    grouped = replace_linears(conv, names, GroupedConvolutionLora, count=K, rank=2, scaling=2.0)
    single = replace_linears(sequential, names, SequentialLora, count=K, rank=2, scaling=2.0)
    with torch.no_grad():
        for name, layer in stack.layers.items():
            grouped[name].lora_A.weight.copy_(layer.lora_A.flatten(0, 1)[..., None])
            grouped[name].lora_B.weight.copy_(layer.lora_B.flatten(0, 1)[..., None])
            for k in range(K):
                single[name].lora_A[k].copy_(layer.lora_A[k])
                single[name].lora_B[k].copy_(layer.lora_B[k])
    losses = {
        "grouped": train_step.grouped_loss(conv, grouped, examples, K),
        "sequential": train_step.sequential_loss(sequential, single, examples, K),
        "every logit": train_step.every_logit_loss(stack, examples, K),
    }
    for loss in losses.values():
        torch.testing.assert_close(loss, expected)
    losses["grouped"].backward()
    losses["sequential"].backward()
    for name, layer in stack.layers.items():
        torch.testing.assert_close(grouped[name].lora_B.weight.grad[..., 0], layer.lora_B.grad.flatten(0, 1))
        for k in range(K):
            a = single[name].lora_A[k].grad
            own = torch.zeros_like(layer.lora_A.grad[k]) if a is None else a
            torch.testing.assert_close(own, layer.lora_A.grad[k])


def test_a_ratio_is_taken_within_each_round():
    assert summary([1.0, 2.0, 4.0], [2.0, 6.0, 8.0]) == {
        "ms": 2.0,
        "ms_least_most": [1.0, 4.0],
        "times_faster": 2.0,
        "times_faster_least_most": [2.0, 3.0],
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak from Linux")
def test_memory_of_a_step_is_its_own():
    shape = Workload(layers=1, hidden=32, heads=2, vocab=4000, tokens=64, caption=8, batch=8, rank=2)
    logits = 4 * 8 * 64 * 4000 * 4 / 2**20  # K rows of each example, float32
    whole, sampled = (
        train_step.memory_in_subprocess(way, shape, 4, threads=1) for way in ("all, every logit", "sampled")
    )
    assert 2 * logits < whole["step_mib"] < whole["peak_mib"]
    assert 0 < sampled["step_mib"] < 0.5 * whole["step_mib"]


def test_the_table_has_every_way(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_step, "memory_in_subprocess", lambda *case: {"step_mib": 2.0, "peak_mib": 300.0})
    options = [f"--{name}={getattr(TINY, name)}" for name in ("layers", "hidden", "heads", "vocab", "tokens")]
    options += ["--caption=4", "--batch=2", "--rank=2", "--hypotheses", "1", "2", "--rounds=1", "--threads=1"]
    train_step.main([*options, "--out", str(tmp_path / "result.json")])
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["hypotheses"]) == {"1", "2"}
    for row in result["hypotheses"].values():
        assert tuple(row) == train_step.WAYS
        assert row[train_step.REFERENCE]["times_faster"] == 1.0
        assert all(case["memory_share"] == 1.0 for case in row.values())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * len(train_step.WAYS)
