"""Multiple choice learning on mixtures of Markov chains, where the true modes are known."""

from lora_mcl.markov.chains import TRANSITION1, TRANSITION2, MarkovMixture, Sequences, binary_mixture, random_mixture
from lora_mcl.markov.learning import LearningOptions, MarkovLearner, Snapshot, learn
from lora_mcl.markov.model import ModelOptions
from lora_mcl.markov.theory import Theory, theory_of, visible_nll

__all__ = [
    "TRANSITION1",
    "TRANSITION2",
    "LearningOptions",
    "MarkovLearner",
    "MarkovMixture",
    "ModelOptions",
    "Sequences",
    "Snapshot",
    "Theory",
    "binary_mixture",
    "learn",
    "random_mixture",
    "theory_of",
    "visible_nll",
]
