"""The ablations: variants, budgets of seconds, finished runs, summaries, and one short run on Markov chains."""

import json

import pytest
import torch

from lora_mcl.markov.theory import true_matrices_nll
from lora_mcl.objectives import ObjectiveOptions
from training.experiments.ablations import image, markov, sweeps
from training.experiments.ablations.figures import draw
from training.experiments.ablations.variants import (
    SAMPLED,
    Variant,
    report,
    run_variants,
    summary,
    table,
    write,
)

WTA = ObjectiveOptions("wta")
VARIANTS = {
    "whole": Variant("speed", WTA),
    "cheap": Variant("speed", WTA, step=SAMPLED),
    "cheap, same seconds": Variant("speed", WTA, step=SAMPLED, seconds_of=("whole", "cheap")),
}


def fake_train(calls):
    def train(name, variant, seed, steps):
        calls.append((name, seed, steps))
        seconds = steps * (0.5 if variant.step == SAMPLED else 1.0)
        loss = 1.0 + seed
        curve = [{"step": steps, "seconds": seconds, "loss": loss}]
        return {"seed": seed, "steps": steps, "seconds": seconds, "test": {"loss": loss, "wins": [1]}, "curve": curve}

    return train


def test_variants_by_seconds_take_as_long_as_the_whole_step_and_finished_runs_are_kept(tmp_path):
    calls = []
    runs = run_variants(VARIANTS, range(2), 10, tmp_path, fake_train(calls))
    expected = [("whole", 10), ("cheap", 10), ("cheap, same seconds", 20)]
    assert calls == [(name, seed, steps) for seed in range(2) for name, steps in expected]
    assert [run["seconds"] for run in runs["cheap, same seconds"]] == [10.0, 10.0]
    again = []
    assert run_variants(VARIANTS, range(2), 10, tmp_path, fake_train(again)) == runs and again == []
    run_variants(VARIANTS, range(2), 11, tmp_path, fake_train(again))  # other arguments: run again
    assert len(again) == 6


def test_results_by_hand(tmp_path):
    runs = run_variants(VARIANTS, range(2), 10, tmp_path / "kept", fake_train([]))
    assert summary(runs["whole"]) == {
        "seconds": {"mean": 10.0, "std": 0.0},
        "steps": {"mean": 10.0, "std": 0.0},
        "loss": {"mean": 1.5, "std": 0.5},
    }
    result = report(VARIANTS, runs, {"steps": 10, "batch_size": 4})
    write(result, tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    text = table(result, ["loss", "steps"])
    assert "-- speed" in text and "1.5 ± 0.5" in text and "20 ± 0" in text
    draw(result, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("experiment", [markov, image, sweeps])
def test_every_variant_can_be_run(experiment):
    """Variants that go by seconds name earlier variants, and shares are a distribution over the modes."""
    earlier = []
    for name, variant in experiment.VARIANTS.items():
        assert set(variant.seconds_of or ()) <= set(earlier)
        assert variant.shares is None or sum(variant.shares) == pytest.approx(1)
        earlier.append(name)
    assert len({markov.VARIANTS[name].question for name in markov.VARIANTS}) == 4


def test_chains_come_as_often_as_asked():
    tokens, chains = markov.sample(4000, (0.6, 0.3, 0.1), torch.Generator().manual_seed(0))
    shares = torch.bincount(chains) / 4000
    assert (shares - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 0.03
    assert tokens.shape == (4000, markov.LENGTH)
    winners = true_matrices_nll(markov.MIXTURE, tokens).argmin(0)
    assert (winners == chains).float().mean() > 0.9  # each sequence is written by the chain it is said to be of


def test_a_short_run_on_markov_chains(monkeypatch):
    monkeypatch.setattr(markov, "TEST_SIZE", 60)
    monkeypatch.setattr(markov, "BATCH", 8)
    monkeypatch.setattr(markov, "CURVE_EVERY", 2)
    variant = Variant("any", markov.GATE, 2, step=SAMPLED, dropout=0.1, balance="estimated", shares=(0.6, 0.3, 0.1))
    one, two = (markov.train("any", variant, 1, 3) for _ in range(2))
    assert [point["step"] for point in one["curve"]] == [2, 3]
    assert one["test"] == two["test"]
    assert 0 < one["test"]["excess"] < one["test"]["loss"]
    assert sum(one["test"]["gate_target"]) == pytest.approx(1, abs=1e-3)


def test_image_figures_by_hand():
    # Two hypotheses, two modes, four pictures: hypothesis 0 wins 3 of 4 of mode 0 and 1 of 4 of mode 1.
    first = torch.tensor([[1.0, 1, 1, 3], [3, 3, 3, 1]])
    figures = image.figures(torch.stack([first, torch.full((2, 4), 2.0)]))
    assert figures["stability"] == 0.75 and figures["distinct"] == 1 and figures["used"] == 2
    assert figures["main_nll"] == pytest.approx((1.5 + 2.0) / 2)
