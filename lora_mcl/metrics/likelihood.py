"""Likelihood of references under K hypotheses: of the best one, of all on average, and of their mixture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Likelihood:
    """Mean token NLL of N references under K hypotheses, in nats per token; a mean over references, not over tokens.

    Attributes:
        best: of each reference's best hypothesis, the paper's test loss ("oracle"); with K = 1 the ordinary loss.
        mean: over hypotheses.
        mixture: of the density 1/K sum_k p(x|c;k), with which one distribution competes with one: comparable with the
            NLL of a single adapter, which ``best`` is not.
        perplexity: exp of ``best``, taken after the mean.
    """

    best: float
    mean: float
    mixture: float
    perplexity: float

    def to_dict(self) -> dict[str, float]:
        return {"best": self.best, "mean": self.mean, "mixture": self.mixture, "perplexity": self.perplexity}


def likelihood(nll: Tensor, tokens: Tensor) -> Likelihood:
    """Best, mean and mixture NLL (paper section 4, test loss; best <= mixture <= best + log K / tokens).

    Args:
        nll: [K, ...] mean token NLL of every reference under every hypothesis, nats per token.
        tokens: [...] length of every reference in tokens, the end mark included.

    Raises:
        ValueError: the shapes differ, there is no reference, or one has no token.
    """
    if nll.shape[1:] != tokens.shape or not tokens.numel():
        raise ValueError(f"nll must be [K, ...] and tokens [...], not {list(nll.shape)} and {list(tokens.shape)}")
    if bool((tokens < 1).any()):
        raise ValueError("every reference must have at least one token")
    nll = nll.double().flatten(1)  # [K, N]
    lengths = tokens.double().flatten()  # [N]
    # log 1/K sum_k exp(-length * nll_k) of whole references, then per token as the others are.
    mixture = -(torch.logsumexp(-nll * lengths, dim=0) - math.log(len(nll))) / lengths
    best = float(nll.amin(dim=0).mean())
    return Likelihood(best, float(nll.mean()), float(mixture.mean()), math.exp(best))
