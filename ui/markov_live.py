"""Live training for the "How it works" tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lora_mcl.markov import LearningOptions, MarkovMixture, ModelOptions, learn
from lora_mcl.markov.learning import evaluation_sequences
from lora_mcl.markov.snapshot import to_tuples
from lora_mcl.markov.theory import true_matrices_nll, visible_predictor_nll
from lora_mcl.objectives import ObjectiveOptions
from ui.markov_runs import Frame, MarkovDemo, Run

# A run that a visitor waits for: a smaller rank, smaller batches and fewer steps than the recorded one.
LIVE_MODEL = ModelOptions(rank=16, alpha=16.0, initializer_range=0.04)
LIVE = LearningOptions(
    steps=120,
    batch_size=32,
    learning_rate=1e-3,
    evaluate_every=10,
    dense_steps=40,
    dense_every=2,
    evaluation_size=200,
)


def live_runs(demo: MarkovDemo, seed: int) -> Iterator[Run]:
    """Yield the run so far, at each snapshot of a new training."""
    mixture, model = MarkovMixture(demo.name, demo.matrices), demo.live_model or LIVE_MODEL
    objective = ObjectiveOptions(demo.objective, epsilon=demo.epsilon)
    options = replace(demo.live_options or LIVE, objective=objective, seed=seed)
    tokens, chains = evaluation_sequences(mixture, options)
    run = Run(
        (),
        options.steps,
        to_tuples(tokens[: options.watched].tolist()),
        tuple(chains[: options.watched].tolist()),
        float(visible_predictor_nll(mixture, tokens, model.visible).mean()),
        float(true_matrices_nll(mixture, tokens).min(0).values.mean()),
    )
    one, two = (learn(mixture, hypotheses, model, options) for hypotheses in (1, 2))
    for snapshots in zip(one, two, strict=True):
        run = replace(run, frames=(*run.frames, Frame(*snapshots)))
        yield run
