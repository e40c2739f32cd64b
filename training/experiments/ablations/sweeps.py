"""Numbers of hypotheses, epsilons and temperatures on mixtures of three Markov chains: what collapses, and when."""

from __future__ import annotations

from lora_mcl.objectives import Anneal, ObjectiveOptions
from training.experiments.ablations.markov import BATCH, LEARNING_RATE, RELAXED, STEPS, THREADS, train
from training.experiments.ablations.variants import ALL, Variant

__all__ = ["BATCH", "LEARNING_RATE", "STEPS", "THREADS", "VARIANTS", "train"]

NUMBER, EPSILON, TEMPERATURE = (
    "number of hypotheses, relaxed, epsilon 0.1",
    "epsilon of the relaxed assignment, K = 3",
    "constant temperature of the annealed assignment, K = 3",
)
NUMBERS = (1, 2, 3, 4, 5, 6)
# At 2/3 three hypotheses learn equally much from each example.
EPSILONS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.66)
# Nats per token; the chains' own matrices are a few tenths apart.
TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

VARIANTS: dict[str, Variant] = {
    **{f"K = {k}": Variant(NUMBER, RELAXED, k, step=ALL) for k in NUMBERS},
    **{
        f"epsilon {epsilon:g}": Variant(EPSILON, ObjectiveOptions("relaxed", epsilon=epsilon), step=ALL)
        for epsilon in EPSILONS
    },
    **{
        f"temperature {value:g}": Variant(
            TEMPERATURE, ObjectiveOptions("annealed", temperature=Anneal(value, value)), step=ALL
        )
        for value in TEMPERATURES
    },
}
