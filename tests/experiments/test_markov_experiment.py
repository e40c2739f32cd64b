"""``python -m training.experiments.markov`` at a tiny size: its files, its figures, resuming."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from lora_mcl.gate import CaptionGate
from lora_mcl.markov import TRANSITION1, LearningOptions, theory_of
from training.experiments.markov import __main__ as command
from training.experiments.markov import experiment, gate
from training.experiments.markov.setups import PAPER_SETUPS, RECIPES, random_setup

TINY = LearningOptions(
    steps=4, batch_size=4, length=12, evaluate_every=2, dense_steps=0, evaluation_size=20, watched=3, seed=7
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Result of the first set-up with two seeds, and the folder it is in."""
    out = tmp_path_factory.mktemp("markov")
    command.run_setup("transition1", PAPER_SETUPS["transition1"], "paper", TINY, 2, out, out / "runs", test_size=60)
    return json.loads((out / "result.json").read_text()), out


def test_the_file_holds_runs_theory_and_summary(outcome):
    result, _ = outcome
    assert result["setup"]["matrices"] == [[[0.8, 0.2], [0.9, 0.1]], [[0.2, 0.8], [0.25, 0.75]]]
    assert [(run["hypotheses"], run["seed"]) for run in result["runs"]] == [(1, 7), (1, 8), (2, 7), (2, 8)]
    for run in result["runs"]:
        assert [point["step"] for point in run["curve"]] == [0, 2, 4]
        k = run["hypotheses"]
        assert len(run["test"]["first_position"]) == len(run["test"]["later_positions"]) == len(run["test"]["nll"]) == k
        assert len(run["test"]["wins"]) == 2 and len(run["curve"][0]["winners"]) == 3
    assert result["recipe"]["model"]["initializer_range"] == 0.02
    assert result["recipe"]["learning"]["learning_rate"] == 1e-4
    assert result["theory"]["mixture_nll"] == pytest.approx(theory_of(TRANSITION1, 12).mixture_nll, abs=5e-5)
    assert result["theory"]["lower_bound"].keys() == {"1", "2"}
    assert len(result["watched"]["tokens"]) == len(result["watched"]["chains"]) == 3
    losses = [run["test"]["loss"] for run in result["runs"] if run["hypotheses"] == 2]
    assert result["summary"]["2"]["loss"]["mean"] == pytest.approx(sum(losses) / 2, abs=1e-4)
    assert result["summary"]["2"]["seeds"] == 2


def test_figures_are_drawn_and_the_same_each_time(outcome, tmp_path):
    result, out = outcome
    for name in ("losses.png", "matrices.png"):
        assert (out / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    command.draw(result, tmp_path)
    assert (tmp_path / "losses.png").read_bytes() == (out / "losses.png").read_bytes()


def test_finished_runs_are_not_run_again_unless_the_settings_change(outcome, tmp_path, monkeypatch):
    result, out = outcome
    started = []

    def refuse(*arguments):
        started.append(arguments)
        raise RuntimeError("trained again")

    monkeypatch.setattr(experiment, "MarkovLearner", refuse)
    command.run_setup(
        "transition1", PAPER_SETUPS["transition1"], "paper", TINY, 2, tmp_path, out / "runs", test_size=60
    )
    assert json.loads((tmp_path / "result.json").read_text()) == result and not started
    with pytest.raises(RuntimeError, match="trained again"):
        longer = replace(TINY, steps=6)
        command.run_setup("transition1", PAPER_SETUPS["transition1"], "paper", longer, 1, tmp_path, out / "runs")


def test_summary_by_hand():
    """Hypotheses in the order of their chains, the worst entry of the mean difference over seeds."""
    exact = [[[0.2, 0.8], [0.25, 0.75]], [[0.8, 0.2], [0.9, 0.1]]]
    off = [[[0.7, 0.3], [0.9, 0.1]], [[0.2, 0.8], [0.25, 0.75]]]

    def run(matrices, wins, loss):
        test = {"loss": loss, "loss_of_true_matrices": 0.5, "accuracy": 1.0, "wins": wins}
        test |= {"first_position": matrices, "later_positions": matrices, "every_chain_has_a_hypothesis": True}
        return {"hypotheses": 2, "test": test}

    runs = [run(exact, [[0, 1], [1, 0]], 0.5), run(off, [[1, 0], [0, 1]], 0.6)]
    figures = experiment.summary(TRANSITION1, theory_of(TRANSITION1, 12), runs)
    assert figures["loss"] == {"mean": 0.55, "std": 0.05}
    assert figures["first_position"]["error"] == pytest.approx(0.05)
    assert figures["first_position"]["mean"][0][0] == pytest.approx([0.75, 0.25])
    assert figures["every_chain_has_a_hypothesis"] == 2


def test_random_chains_with_more_hypotheses_than_chains(tmp_path):
    setup = random_setup(3, 2, 0)
    assert setup.hypotheses == (1, 2, 3, 4)
    command.run_setup("random-3x2", setup, setup.recipe, TINY, 1, tmp_path, tmp_path / "runs", test_size=60)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["summary"].keys() == {"1", "2", "3", "4"}
    assert not result["theory"]["exact"]
    bounds = result["theory"]["lower_bound"]
    assert bounds["1"] > bounds["2"] > bounds["4"]
    assert (tmp_path / "hypotheses.png").stat().st_size > 5000


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "MARKOV_DIR", tmp_path / "build")
    calls = []
    monkeypatch.setattr(command, "run_setup", lambda *arguments: calls.append(arguments))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["training.experiments.markov", *arguments])
        command.main()
        return calls[-1]

    name, setup, recipe, options, seeds, out, kept = call("--setup", "transition2", "--steps", "9")
    assert (name, setup, recipe, seeds) == ("transition2", PAPER_SETUPS["transition2"], "tuned", 3)
    assert options.steps == 9 and options.seed == 1235 and out == tmp_path / "build" / "transition2"
    assert kept == out / "runs"
    *_, out, kept = call("--setup", "transition1", "--recipe", "paper", "--out", str(tmp_path / "here"))
    assert out == tmp_path / "here" and kept == tmp_path / "build" / "transition1-paper" / "runs"
    name, setup, recipe, options, *_ = call("--setup", "random", "--states", "3", "--chains", "2")
    assert name == "random-3x2" and setup.mixture.num_states == 3 and recipe == "quick" and options.steps == 200
    with pytest.raises(SystemExit):
        call("--setup", "transition3")
    with pytest.raises(SystemExit):
        call("--setup", "transition1", "--seeds", "0")
    assert "--seeds must be at least 1" in capsys.readouterr().err


def test_the_recipes():
    assert RECIPES["paper"].learning_rate == LearningOptions.learning_rate == 1e-4
    assert RECIPES["tuned"].model.initializer_range == 2 * RECIPES["paper"].model.initializer_range
    assert PAPER_SETUPS["transition1"].objective.name == "wta"
    assert (PAPER_SETUPS["transition2"].objective.name, PAPER_SETUPS["transition2"].objective.epsilon) == (
        "relaxed",
        0.1,
    )


def test_gates_on_tokens_and_on_transitions_are_compared(tmp_path):
    options = replace(TINY, watched=0)
    same_tokens = gate.MIXTURES[-1]
    assert theory_of(same_tokens, 12).stationary == (pytest.approx((0.5, 0.5)),) * 2
    result = gate.compare([same_tokens], 2, tmp_path, options=options, test_size=60)
    gate.write(result, tmp_path / "gate.json")
    assert json.loads((tmp_path / "gate.json").read_text()) == json.loads(json.dumps(result))
    variants = result["results"]["same-tokens"]
    assert variants.keys() == gate.VARIANTS.keys()
    assert [len(variants[name].get("gate_accuracy", {}).get("runs", ())) for name in variants] == [0, 0, 2, 2]
    for figures in variants.values():
        assert figures["loss"]["mean"] == pytest.approx(sum(figures["loss"]["runs"]) / 2, abs=1e-4)


def test_a_gate_of_transitions_separates_what_tokens_do_not():
    """Both chains have every token equally often: fitted to the true chains, one gate knows and the other guesses."""
    mixture = gate.MIXTURES[-1]
    tokens, chains = mixture.sample(600, 32, torch.Generator().manual_seed(0))
    owners = torch.stack([chains == 0, chains == 1]).float()
    accuracy = []
    for order in (1, 2):
        own = CaptionGate(2, 2, order=order, generator=torch.Generator().manual_seed(0))
        optimizer = torch.optim.AdamW(own.parameters(), lr=3e-2)
        for _ in range(80):
            optimizer.zero_grad()
            own.loss(own(tokens), owners).backward()
            optimizer.step()
        accuracy.append((own(tokens).argmax(0) == chains).float().mean().item())
    assert accuracy[0] < 0.6 and accuracy[1] > 0.99
