"""The paper's two set-ups and random mixtures, with a tuned recipe or the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from lora_mcl.markov import TRANSITION1, TRANSITION2, LearningOptions, MarkovMixture, ModelOptions, random_mixture
from lora_mcl.objectives import ObjectiveOptions

SEED = 1235


@dataclass(frozen=True)
class Setup:
    """One mixture and how its K hypotheses are trained.

    Attributes:
        objective: for K > 1.
        hypotheses: the numbers K to run.
        recipe: a name in ``RECIPES``, the default for this set-up.
    """

    mixture: MarkovMixture
    objective: ObjectiveOptions
    hypotheses: tuple[int, ...]
    recipe: str


@dataclass(frozen=True)
class Recipe:
    """The frozen model, the learning rate and how many steps it falls over."""

    model: ModelOptions
    learning_rate: float
    steps: int


WIDE = ModelOptions(initializer_range=0.04)
RECIPES = {
    "paper": Recipe(ModelOptions(), LearningOptions.learning_rate, LearningOptions.steps),
    # Frozen weights drawn twice as wide, so that the frozen output layer can reach the chains' probabilities, and a
    # higher learning rate, but no higher: in transition2 it costs winners that speak for their chain.
    "tuned": Recipe(WIDE, 3e-4, LearningOptions.steps),
    # The high learning rate that fewer steps need.
    "quick": Recipe(WIDE, 3e-3, 200),
}

RELAXED = ObjectiveOptions("relaxed", epsilon=0.1)
PAPER_SETUPS = {
    "transition1": Setup(TRANSITION1, ObjectiveOptions("wta"), (1, 2), "tuned"),
    "transition2": Setup(TRANSITION2, RELAXED, (1, 2), "tuned"),
}


def random_setup(states: int, chains: int, seed: int) -> Setup:
    """A random mixture, with K from 1 to two more than there are chains.

    Raises:
        OptionsError: ``states`` or ``chains`` is too small.
    """
    return Setup(random_mixture(states, chains, seed), RELAXED, tuple(range(1, chains + 3)), "quick")
