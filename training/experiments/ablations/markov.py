"""The ablations on mixtures of Markov chains, where the modes and the best losses are known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lora_mcl.adapters import AdapterStack
from lora_mcl.gate import CaptionGate
from lora_mcl.markov import MarkovMixture, ModelOptions, random_mixture
from lora_mcl.markov.chains import Sequences
from lora_mcl.markov.model import build_model
from lora_mcl.markov.readout import match, score, win_shares
from lora_mcl.markov.theory import true_matrices_nll
from lora_mcl.objectives import Anneal, ObjectiveOptions
from lora_mcl.trainer import Batch, MultipleChoiceLearner
from training.experiments.ablations.variants import (
    ALL,
    CLEAN,
    DROPOUT,
    SAME,
    SAMPLED,
    SHARES,
    SURPLUS,
    UNEQUAL,
    WINNER,
    Run,
    Variant,
)

MIXTURE: MarkovMixture = random_mixture(states=4, chains=3, seed=0)
MODEL = ModelOptions(initializer_range=0.04, rank=16, alpha=16.0)
STEPS, BATCH, LENGTH = 150, 32, 32
THREADS = 1  # more only wait for each other on tensors this small
LEARNING_RATE, GATE_LEARNING_RATE = 3e-3, 3e-2
TEST_SIZE, TEST_SEED = 2000, 100
CURVE_SIZE, CURVE_EVERY = 500, 10

RELAXED = ObjectiveOptions("relaxed", epsilon=0.1)
ANNEALED = ObjectiveOptions("annealed", temperature=Anneal(0.3, 0.01, 0.7))
GATE = ObjectiveOptions("caption-gate", temperature=Anneal(0.3, 0.05, 0.7))
VARIANTS: dict[str, Variant] = {
    "relaxed, all": Variant(SAME, RELAXED, step=ALL),
    "relaxed, sampled": Variant(SAME, RELAXED, step=SAMPLED),
    "relaxed, sampled, same seconds": Variant(
        SAME, RELAXED, step=SAMPLED, seconds_of=("relaxed, all", "relaxed, sampled")
    ),
    "relaxed, winner": Variant(SAME, RELAXED, step=WINNER),
    "annealed, all": Variant(SAME, ANNEALED, step=ALL),
    "annealed, sampled": Variant(SAME, ANNEALED, step=SAMPLED),
    "annealed, sampled, same seconds": Variant(
        SAME, ANNEALED, step=SAMPLED, seconds_of=("annealed, all", "annealed, sampled")
    ),
    "gate, all": Variant(SAME, GATE, step=ALL),
    "gate, sampled": Variant(SAME, GATE, step=SAMPLED),
    "gate, sampled, same seconds": Variant(SAME, GATE, step=SAMPLED, seconds_of=("gate, all", "gate, sampled")),
    "unequal, annealed": Variant(SHARES, ANNEALED, shares=UNEQUAL),
    "unequal, gate, uniform": Variant(SHARES, GATE, shares=UNEQUAL),
    "unequal, gate, estimated": Variant(SHARES, GATE, shares=UNEQUAL, balance="estimated"),
    "K = 5, relaxed": Variant(SURPLUS, RELAXED, 5),
    "K = 5, gate, uniform": Variant(SURPLUS, GATE, 5),
    "K = 5, gate, estimated": Variant(SURPLUS, GATE, 5, balance="estimated"),
    "dropout, noisy winner": Variant(DROPOUT, RELAXED, step=SAMPLED, dropout=0.1),
    "dropout, clean winner": Variant(DROPOUT, RELAXED, step=CLEAN, dropout=0.1),
}


def sample(count: int, shares: Sequence[float] | None, generator: torch.Generator) -> Sequences:
    """Sequences of the mixture, of each chain in the proportions ``shares``."""
    if shares is None:
        return MIXTURE.sample(count, LENGTH, generator)
    chains = torch.multinomial(torch.tensor(shares), count, replacement=True, generator=generator).sort().values
    parts = [
        MarkovMixture(MIXTURE.name, (matrix,)).sample(int((chains == z).sum()), LENGTH, generator).tokens
        for z, matrix in enumerate(MIXTURE.matrices)
        if (chains == z).any()
    ]
    order = torch.randperm(count, generator=generator)
    return Sequences(torch.cat(parts)[order], chains[order])


def build(variant: Variant, seed: int) -> MultipleChoiceLearner:
    """New hypotheses on the frozen random model; the gate counts transitions, as no token identifies a chain."""
    bare = build_model(MIXTURE.num_states, variant.hypotheses, MODEL, seed)
    specs = [replace(spec, dropout=variant.dropout) for spec in bare.specs]
    generator = torch.Generator().manual_seed(seed)
    stack = AdapterStack.attach(bare.detach(), specs, generator=generator)
    gate = None
    if variant.objective.needs_gate:
        gate = CaptionGate(
            MIXTURE.num_states, variant.hypotheses, order=2, balance=variant.balance, momentum=0.95, generator=generator
        )
    return MultipleChoiceLearner(stack.model, stack, variant.objective, gate, variant.step).train()


def train(name: str, variant: Variant, seed: int, steps: int) -> Run:
    """Train one variant and measure it; evaluation does not count as time."""
    learner = build(variant, seed)
    gate = [] if learner.gate is None else list(learner.gate.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": list(learner.stack.parameters()), "lr": LEARNING_RATE}, {"params": gate, "lr": GATE_LEARNING_RATE}],
        betas=(0.9, 0.95),
        weight_decay=1e-3,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    data = torch.Generator().manual_seed(seed)
    watched = MIXTURE.sample(CURVE_SIZE, LENGTH, torch.Generator().manual_seed(TEST_SEED + 1)).tokens
    torch.manual_seed(seed)
    seconds, curve = 0.0, []
    for step in range(steps):
        started = time.perf_counter()
        tokens = sample(BATCH, variant.shares, data).tokens
        optimizer.zero_grad()
        learner(Batch({"input_ids": tokens}, tokens), step, steps).loss.backward()
        optimizer.step()
        schedule.step()
        seconds += time.perf_counter() - started
        if (step + 1) % CURVE_EVERY == 0 or step + 1 == steps:
            loss = evaluated(learner, watched).amin(dim=0).mean()
            curve.append({"step": step + 1, "seconds": round(seconds, 2), "loss": round(float(loss), 4)})
    return {"seed": seed, "steps": steps, "seconds": round(seconds, 2), "test": measure(learner), "curve": curve}


def evaluated(learner: MultipleChoiceLearner, tokens: Tensor) -> Tensor:
    """NLL [K, B] without dropout."""
    learner.eval()
    try:
        return score(learner.stack, tokens).nll
    finally:
        learner.train()


def measure(learner: MultipleChoiceLearner) -> dict[str, Any]:
    """On fresh sequences, every chain equally often.

    ``loss``: mean NLL of the best hypothesis, nats per token; ``excess``: above that of the chains' own matrices;
    ``accuracy``: share of sequences won by a hypothesis of their chain; ``chains_covered`` of 3; ``used``: hypotheses
    that win at least 1 %; ``apart``: mean over hypotheses of the NLL above the best one's, 0 where all are alike.
    """
    tokens, chains = MIXTURE.sample(TEST_SIZE, LENGTH, torch.Generator().manual_seed(TEST_SEED))
    nll = evaluated(learner, tokens)
    wins = win_shares(nll, chains, MIXTURE.num_chains)
    matching = match(wins)
    loss = float(nll.amin(dim=0).mean())
    figures: dict[str, Any] = {
        "loss": round(loss, 4),
        "excess": round(loss - float(true_matrices_nll(MIXTURE, tokens).amin(dim=0).mean()), 4),
        "accuracy": round(matching.accuracy, 4),
        "chains_covered": len(set(matching.chain_of)),
        "used": int((wins.mean(dim=0) >= 0.01).sum()),
        "apart": round(float(nll.mean()) - loss, 4),
        "wins": [[round(value, 4) for value in row] for row in wins.tolist()],
    }
    if learner.gate is not None:
        figures["gate_target"] = [round(value, 4) for value in learner.gate.target().tolist()]
    return figures
