"""Multiple choice learning on mixtures of Markov chains, where the true modes are known.

Names are imported on first use: recorded snapshots are read without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "chains": ["TRANSITION1", "TRANSITION2", "MarkovMixture", "Sequences", "binary_mixture", "random_mixture"],
        "learning": ["LearningOptions", "MarkovLearner", "learn"],
        "model": ["ModelOptions"],
        "snapshot": ["Snapshot"],
        "theory": ["Theory", "theory_of", "visible_nll"],
    },
)
