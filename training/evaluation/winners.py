"""Predicting which hypothesis wins: fitting and calibrating a score head, and how good predicted winners are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lora_mcl.score_head import ScoreHead

STEPS, LEARNING_RATE, WEIGHT_DECAY = 300, 1e-2, 1e-2
BINS = 10
# From a quarter to about 16, 1 among them.
_TEMPERATURES = torch.logspace(-0.6, 1.2, 181, dtype=torch.float64)
# Channels that vary less than this part of the most varying one are left out: they hold nothing but rounding.
_LEAST_SPREAD = 1e-5


@dataclass(frozen=True, eq=False)
class Winners:
    """Prompts of N captions, and the hypothesis that won each.

    Attributes:
        states: [N, D], of ``lora_mcl.score_head.prompt_states``; captions of one medium have the same.
        winner: [N], int64.
    """

    states: Tensor
    winner: Tensor

    def __post_init__(self) -> None:
        if self.states.ndim != 2 or self.winner.shape != self.states.shape[:1] or len(self.winner) < 2:
            raise ValueError(f"states {list(self.states.shape)} and winners {list(self.winner.shape)} do not fit")


def win_frequency(winner: Tensor, hypotheses: int) -> Tensor:
    """Each hypothesis' share of the wins [K], with one more win for each, so that none is impossible."""
    counts = torch.bincount(winner, minlength=hypotheses).double() + 1
    return counts / counts.sum()


def fit_score_head(fit: Winners, held_out: Winners, hypotheses: int) -> ScoreHead:
    """A linear head that predicts the winner from the state, calibrated.

    It starts as the frequency of the wins, learns by AdamW on standardised states, and is taken where its loss on
    ``held_out`` is least, which may be where it started. Its temperature (Guo et al. 2017) is fitted on these too.
    """
    states = fit.states.double()
    mean, spread = states.mean(dim=0), states.std(dim=0)
    scale = torch.where(spread > _LEAST_SPREAD * spread.max(), 1 / spread.clamp_min(1e-12), 0.0)  # [D]
    x, x_held_out = ((one.states.double() - mean) * scale for one in (fit, held_out))
    weight = torch.zeros(hypotheses, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = win_frequency(fit.winner, hypotheses).log().requires_grad_()
    optimizer = torch.optim.AdamW([weight, bias], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    least, best = float("inf"), (weight.detach().clone(), bias.detach().clone())
    for _ in range(STEPS + 1):
        with torch.no_grad():
            loss = float(cross_entropy(x_held_out @ weight.T + bias, held_out.winner))
        if loss < least:
            least, best = loss, (weight.detach().clone(), bias.detach().clone())
        optimizer.zero_grad()
        cross_entropy(x @ weight.T + bias, fit.winner).backward()
        optimizer.step()
    weight, bias = best
    temperature = _temperature(x_held_out @ weight.T + bias, held_out.winner)
    weight = weight * scale / temperature
    return ScoreHead(weight.float(), (bias / temperature - weight @ mean).float())


def _temperature(logits: Tensor, winner: Tensor) -> float:
    """What to divide logits [N, K] by so that the winners' log loss is least."""
    losses = torch.stack([cross_entropy(logits / temperature, winner) for temperature in _TEMPERATURES])
    return float(_TEMPERATURES[losses.argmin()])


def calibration(probability: Tensor, winner: Tensor, bins: int = BINS) -> dict[str, Any]:
    """Accuracy, log loss and calibration of predicted winners.

    Args:
        probability: [N, K], rows sum to 1.
        winner: [N].

    Returns:
        ``accuracy``; ``log_loss``, nats; ``ece``, the expected calibration error: over ``bins`` equal intervals of the
        predicted winner's probability, the mean of |accuracy - confidence|, weighted by the share of captions (Guo et
        al. 2017); ``reliability``: [confidence, accuracy, captions] of each interval that has any.
    """
    confidence, predicted = probability.max(dim=1)
    right = (predicted == winner).double()
    which = (confidence * bins).ceil().long().clamp(1, bins) - 1
    reliability = []
    for number in range(bins):
        inside = which == number
        if inside.any():
            reliability.append(
                [float(confidence[inside].double().mean()), float(right[inside].mean()), int(inside.sum())]
            )
    ece = sum(count * abs(accuracy - sure) for sure, accuracy, count in reliability) / len(winner)
    return {
        "accuracy": round(float(right.mean()), 4),
        "log_loss": round(float(winner_losses(probability, winner).mean()), 4),
        "ece": round(ece, 4),
        "reliability": [[round(sure, 4), round(accuracy, 4), count] for sure, accuracy, count in reliability],
    }


def winner_losses(probability: Tensor, winner: Tensor) -> Tensor:
    """-log of the winner's probability, in nats [N]; probability is [N, K]."""
    return -probability.double().gather(1, winner[:, None])[:, 0].clamp_min(1e-12).log()
