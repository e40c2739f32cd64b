"""Stability: how often one hypothesis wins all captions of a mode, over media; the labels were not used in training.

Shapes: ``nll`` is [K, M, N]: K hypotheses, M modes, one caption of each mode for each of N media.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stability:
    """How captions of each mode are distributed over hypotheses.

    Attributes:
        main: for each mode, the hypothesis that wins most of its captions.
        share: for each mode, the share of its captions won by that hypothesis.
        win_share: [M][K] share of each mode's captions won by each hypothesis.
        distinct: whether the modes have different main hypotheses.
        entropy: mean over modes of the entropy of ``win_share``, in nats; 0 is perfectly stable.
    """

    main: tuple[int, ...]
    share: tuple[float, ...]
    win_share: tuple[tuple[float, ...], ...]
    distinct: bool
    entropy: float


def stability(nll: Tensor) -> Stability:
    """Winners per mode; a tie goes to the first hypothesis."""
    hypotheses, modes, _media = nll.shape
    winners = nll.argmin(0)
    shares = torch.stack([(winners == k).float().mean(1) for k in range(hypotheses)], dim=1)
    main = shares.argmax(1)
    entropies = [-sum(p * log(p) for p in row if p > 0) for row in shares.tolist()]
    return Stability(
        main=tuple(main.tolist()),
        share=tuple(round(value, 4) for value in shares.max(1).values.tolist()),
        win_share=tuple(tuple(round(value, 4) for value in row) for row in shares.tolist()),
        distinct=len(set(main.tolist())) == modes,
        entropy=sum(entropies) / modes,
    )


def mode_matrix(nll: Tensor) -> list[list[float]]:
    """K x M mean NLL, nats per token."""
    return [[round(value, 4) for value in row] for row in nll.mean(2).tolist()]


def oracle_nll(nll: Tensor) -> float:
    """Mean over all captions of the least NLL over hypotheses (the paper's test loss)."""
    return float(nll.min(0).values.mean())
