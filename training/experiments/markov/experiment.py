"""Runs of a set-up for several seeds and numbers of hypotheses, their measures, and the results file.

Each finished run is kept in a folder and read from there the next time, so that an experiment cut short goes on
where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lora_mcl.markov import LearningOptions, MarkovLearner, MarkovMixture, ModelOptions, theory_of, visible_nll
from lora_mcl.markov.learning import evaluation_sequences
from lora_mcl.markov.model import log_odds_limit
from lora_mcl.markov.readout import first_position_matrices, later_matrices, match, score, win_shares
from lora_mcl.markov.theory import Theory, true_matrices_nll, visible_predictor_nll
from training.experiments.statistics import mean_and_std

TEST_SIZE, TEST_SEED = 10_000, 100


def run(
    mixture: MarkovMixture,
    hypotheses: int,
    model: ModelOptions,
    options: LearningOptions,
    folder: Path,
    test_size: int = TEST_SIZE,
) -> dict[str, Any]:
    """Train and measure K hypotheses, or read what an earlier call with the same arguments left in ``folder``."""
    arguments = json.loads(json.dumps([asdict(mixture), hypotheses, asdict(model), asdict(options), test_size]))
    file = folder / f"{options.objective.name}-{hypotheses}-seed{options.seed}.json"
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["arguments"] == arguments:
            return kept["run"]
    started = time.perf_counter()
    learner = MarkovLearner(mixture, hypotheses, model, options)
    curve = [snapshot.to_dict() for snapshot in learner.run()]
    result = {
        "hypotheses": hypotheses,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "test": measure(learner, test_size),
        "curve": curve,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"arguments": arguments, "run": result}), encoding="utf-8")
    return result


def measure(learner: MarkovLearner, size: int = TEST_SIZE) -> dict[str, Any]:
    """Figures on ``size`` fresh sequences, ten times what the curves are measured on.

    ``loss``: mean of the best hypothesis' NLL; ``loss_of_true_matrices``: the same for the chains' own matrices on
    the same sequences; ``largest_odds``: what the frozen output layer allows between any two tokens;
    ``gate_accuracy``: how often the gate alone, which sees counts, names the chain.
    """
    mixture, length = learner.mixture, learner.options.length
    tokens, chains = mixture.sample(size, length, torch.Generator().manual_seed(TEST_SEED))
    scores = score(learner.stack, tokens)
    wins = win_shares(scores.nll, chains, mixture.num_chains)
    matching = match(wins)
    first = first_position_matrices(learner.stack, mixture.num_states)
    later = later_matrices(scores, tokens, learner.model_options.visible)
    result = {
        "loss": _rounded(scores.nll.min(0).values.mean()),
        "loss_of_true_matrices": _rounded(true_matrices_nll(mixture, tokens).min(0).values.mean()),
        "nll": _rounded(scores.nll.mean(1)),
        "nll_by_chain": [_rounded(scores.nll[:, chains == z].mean(1)) for z in range(mixture.num_chains)],
        "wins": _rounded(wins),
        "accuracy": round(matching.accuracy, 4),
        "chain_of": list(matching.chain_of),
        "every_chain_has_a_hypothesis": matching.covered,
        "first_position": _rounded(first),
        "later_positions": _rounded(later),
        "largest_odds": _rounded(log_odds_limit(learner.stack.model).max().exp()),
    }
    if learner.gate is not None:
        guesses = win_shares(-learner.gate.eval()(tokens), chains, mixture.num_chains)
        result["gate_accuracy"] = round(match(guesses).accuracy, 4)
    return result


def summary(mixture: MarkovMixture, known: Theory, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of one K, and how far the matrices are from the ideal.

    The ideal of K > 1 are the chains' matrices, each compared with the hypothesis that wins most of its sequences;
    of K = 1 their plain mean at the first position and their visit-weighted mean later. ``error`` is the absolute
    difference, averaged over seeds, of the worst entry.
    """
    tests = [run["test"] for run in runs]
    targets = mixture.tensor()
    hypotheses = runs[0]["hypotheses"]
    result: dict[str, Any] = {"seeds": len(runs)}
    result |= {
        name: mean_and_std(test[name] for test in tests) for name in ("loss", "loss_of_true_matrices", "accuracy")
    }
    for name, single in (("first_position", known.plain_average), ("later_positions", known.average_matrix)):
        ideal = torch.tensor([single], dtype=torch.float64) if hypotheses == 1 else targets
        recovered = torch.stack([_in_order_of_chains(test, name, hypotheses) for test in tests])
        result[name] = {
            "mean": _rounded(recovered.mean(0)),
            "error": round(float((recovered - ideal).abs().mean(0).max()), 4),
        }
    result["every_chain_has_a_hypothesis"] = sum(test["every_chain_has_a_hypothesis"] for test in tests)
    return result


def _in_order_of_chains(test: dict[str, Any], name: str, hypotheses: int) -> torch.Tensor:
    matrices = torch.tensor(test[name], dtype=torch.float64)
    if hypotheses == 1:
        return matrices
    return matrices[torch.tensor(test["wins"]).argmax(1)]


def reference(mixture: MarkovMixture, known: Theory, visible: int, hypotheses: Sequence[int]) -> dict[str, Any]:
    """The theory's part of the results file; losses in nats per token."""
    return {
        "stationary": _rounded(torch.tensor(known.stationary)),
        "entropy_rates": _rounded(torch.tensor(known.entropy_rates)),
        "mean_entropy_rate": round(known.mean_entropy_rate, 4),
        "average_matrix": _rounded(torch.tensor(known.average_matrix)),
        "plain_average": _rounded(torch.tensor(known.plain_average)),
        "chain_nll": round(known.chain_nll, 4),
        "mixture_nll": round(known.mixture_nll, 4),
        "lower_bound": {str(k): round(known.lower_bound(k), 4) for k in hypotheses},
        "wta_nll_of_true_matrices": round(known.wta_nll, 4),
        "winner_accuracy_of_true_matrices": round(known.winner_accuracy, 4),
        "visible": visible,
        "best_visible_nll": round(visible_nll(mixture, known.length, visible), 4),
        "exact": known.exact,
    }


def best_on(mixture: MarkovMixture, tokens: torch.Tensor, visible: int) -> dict[str, float]:
    """Losses of one model and of the true matrices on these sequences, a little off the expected ones."""
    return {
        "one_model": round(float(visible_predictor_nll(mixture, tokens, visible).mean()), 4),
        "true_matrices": round(float(true_matrices_nll(mixture, tokens).min(0).values.mean()), 4),
    }


def experiment(
    name: str,
    mixture: MarkovMixture,
    runs: Sequence[dict[str, Any]],
    model: ModelOptions,
    options: LearningOptions,
    recipe: str,
    test_size: int = TEST_SIZE,
) -> dict[str, Any]:
    """The results file's content, from finished runs of one set-up."""
    known = theory_of(mixture, options.length)
    watched = evaluation_sequences(mixture, options)
    test = mixture.sample(test_size, options.length, torch.Generator().manual_seed(TEST_SEED))
    numbers = sorted({run["hypotheses"] for run in runs})
    settings = {key: value for key, value in asdict(options).items() if key != "seed"}
    return {
        "setup": {"name": name, "matrices": mixture.matrices},
        "recipe": {"name": recipe, "model": asdict(model), "learning": settings},
        "watched": {
            "tokens": watched.tokens[: options.watched].tolist(),
            "chains": watched.chains[: options.watched].tolist(),
        },
        "theory": reference(mixture, known, model.visible, numbers)
        | {
            "on_evaluation_sequences": best_on(mixture, watched.tokens, model.visible),
            "on_test_sequences": best_on(mixture, test.tokens, model.visible),
        },
        "summary": {str(k): summary(mixture, known, [run for run in runs if run["hypotheses"] == k]) for k in numbers},
        "runs": list(runs),
    }


def write(result: dict[str, Any], file: Path) -> None:
    """As JSON to be read and compared by line: one for each part, each K, each run's measures, each snapshot."""
    parts = [f" {json.dumps(key)}: {json.dumps(result[key])}" for key in ("setup", "recipe", "theory", "watched")]
    summaries = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(value)}" for k, value in result["summary"].items())
    runs = []
    for run_ in result["runs"]:
        curve = ",\n   ".join(json.dumps(point, separators=(",", ":")) for point in run_["curve"])
        measures = json.dumps({key: value for key, value in run_.items() if key != "curve"})
        runs.append(f'  {measures[:-1]}, "curve": [\n   {curve}]}}')
    parts += [f' "summary": {{\n  {summaries}}}', ' "runs": [\n' + ",\n".join(runs) + "]"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _rounded(tensor: torch.Tensor) -> Any:
    # Rounded as Python numbers: float32 cannot hold four decimals exactly.
    return _round(tensor.tolist())


def _round(value: Any) -> Any:
    return [_round(item) for item in value] if isinstance(value, list) else round(value, 4)
