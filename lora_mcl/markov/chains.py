"""Mixtures of Markov chains: data whose hidden modes are known, to check what hypotheses learn.

A sequence is written by one of Z chains over S states, drawn uniformly and unobserved. The first token is
uniform, as in the LoRA-MCL paper's experiment (arXiv 2507.10419).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lora_mcl.errors import OptionsError

_ROW_SUM_TOLERANCE = 1e-6


class Sequences(NamedTuple):
    """`tokens` [B, T], and `chains` [B], which chain wrote each: for measuring only, never for training."""

    tokens: Tensor
    chains: Tensor


@dataclass(frozen=True)
class MarkovMixture:
    """Z transition matrices over the same S states, equally likely.

    Attributes:
        name: of the set-up.
        matrices: [Z][S][S]; matrices[z][i][j] is the chance in chain z that j follows i.

    Raises:
        OptionsError: no chain, fewer than two states, matrices of other shapes, or a row that is no distribution.
    """

    name: str
    matrices: tuple[tuple[tuple[float, ...], ...], ...]

    def __post_init__(self) -> None:
        if not self.matrices or len(self.matrices[0]) < 2:
            raise OptionsError(f"{self.name}: a mixture needs at least one chain and two states")
        states = len(self.matrices[0])
        for z, matrix in enumerate(self.matrices):
            if len(matrix) != states or any(len(row) != states for row in matrix):
                raise OptionsError(f"{self.name}: matrix {z} must be {states} x {states}, like the first")
            for i, row in enumerate(matrix):
                sums_to_one = abs(sum(row) - 1) <= _ROW_SUM_TOLERANCE
                if not sums_to_one or not all(math.isfinite(p) and p >= 0 for p in row):
                    raise OptionsError(f"{self.name}: row {i} of matrix {z} is no distribution: {list(row)}")

    @property
    def num_chains(self) -> int:
        """Z."""
        return len(self.matrices)

    @property
    def num_states(self) -> int:
        """S, the size of the vocabulary."""
        return len(self.matrices[0])

    def tensor(self) -> Tensor:
        """The matrices [Z, S, S] in float64."""
        return torch.tensor(self.matrices, dtype=torch.float64)

    def sample(self, count: int, length: int, generator: torch.Generator) -> Sequences:
        """Draw `count` sequences of `length` tokens: chain uniform, first token uniform.

        Raises:
            OptionsError: `count` or `length` is not positive.
        """
        if count < 1 or length < 1:
            raise OptionsError(f"count and length must be positive; got {count} and {length}")
        chains = torch.randint(self.num_chains, (count,), generator=generator)
        tokens = torch.empty(count, length, dtype=torch.long)
        tokens[:, 0] = torch.randint(self.num_states, (count,), generator=generator)
        draws = torch.rand(length - 1, count, 1, generator=generator, dtype=torch.float64)
        # The last bound is left out: rounding of the sum must not let a draw pass it.
        bounds = self.tensor().cumsum(-1)[..., :-1]  # [Z, S, S - 1]
        for t in range(1, length):
            tokens[:, t] = (draws[t - 1] >= bounds[chains, tokens[:, t - 1]]).sum(-1)
        return Sequences(tokens, chains)


def binary_mixture(name: str, *chains: tuple[float, float]) -> MarkovMixture:
    """Chains over two states, each given as (p, q): [[1 - p, p], [q, 1 - q]]."""
    # Rounded: 1 - 0.9 is no 0.1 in binary.
    return MarkovMixture(name, tuple(((round(1 - p, 12), p), (q, round(1 - q, 12))) for p, q in chains))


TRANSITION1 = binary_mixture("transition1", (0.2, 0.9), (0.8, 0.25))
TRANSITION2 = binary_mixture("transition2", (0.7, 0.8), (0.8, 0.25))
"""The two set-ups of the LoRA-MCL paper."""


def random_mixture(states: int, chains: int, seed: int, concentration: float = 1.0) -> MarkovMixture:
    """Chains whose rows are drawn from a symmetric Dirichlet distribution.

    Args:
        states, chains: S and Z.
        seed: of the draw.
        concentration: below 1 rows favour few successors, above 1 they are nearly uniform.

    Raises:
        OptionsError: an argument is out of range.
    """
    if states < 2 or chains < 1:
        raise OptionsError(f"states must be at least 2 and chains at least 1; got {states} and {chains}")
    if not (math.isfinite(concentration) and concentration > 0):
        raise OptionsError(f"concentration must be a positive number; got {concentration}")
    rows = np.random.default_rng(seed).dirichlet([concentration] * states, size=(chains, states))
    # Rounded, so that a results file shows the very matrices; what rounding took goes to the likeliest state.
    rounded = rows.round(3)
    likeliest = rounded.argmax(-1, keepdims=True)
    rest = 1 - rounded.sum(-1, keepdims=True)
    np.put_along_axis(rounded, likeliest, (np.take_along_axis(rounded, likeliest, -1) + rest).round(3), -1)
    return MarkovMixture(f"random-{states}x{chains}", tuple(tuple(map(tuple, matrix)) for matrix in rounded.tolist()))


def transition_counts(tokens: Tensor, num_states: int) -> Tensor:
    """Counts of transitions from each state to each: [B, T] -> [B, S, S], float64."""
    steps = tokens[:, :-1] * num_states + tokens[:, 1:]
    counts = torch.zeros(len(tokens), num_states * num_states, dtype=torch.float64)
    counts.scatter_add_(1, steps, torch.ones_like(steps, dtype=torch.float64))
    return counts.view(-1, num_states, num_states)
