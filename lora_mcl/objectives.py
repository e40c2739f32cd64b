"""Assignment weights of multiple choice learning: how much each hypothesis learns from each example.

Every rule maps the token-mean losses nll [K, B] (K hypotheses, B examples, nats per token) to detached
weights q [K, B] >= 0 whose columns sum to 1; the adapters then minimise `weighted_loss`. This is the E step
of (conditional) EM, the gradient step on the weighted loss its M step. All rules are finite for any losses
and any K >= 1; a loss that is NaN counts as the worst one.

    wta           1 for the winner (Guzman-Rivera et al. 2012; LoRA-MCL, arXiv 2507.10419)
    relaxed       1 - epsilon for the winner, epsilon / (K - 1) for each other (Rupprecht et al. 2017)
    annealed      softmax(-nll / T), T -> 0 (Perera et al. 2024)
    caption-gate  softmax(-nll / T + beta log g), g a gate that sees only the caption (`lora_mcl.gate`)

The temperature T of the last two is on one of two scales. On the "token" scale nll is a token mean, as in the paper's
code: long and short captions are assigned equally softly. On the "sequence" scale it is the caption's whole NLL,
as in the paper's formula q_k = p(x|c;k)^(1/T) / sum_j p(x|c;j)^(1/T): the longer a caption, the harder its assignment.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from lora_mcl.errors import OptionsError

ObjectiveName = Literal["wta", "relaxed", "annealed", "caption-gate"]
TemperatureScale = Literal["token", "sequence"]
_LOG_GATE_FLOOR = -1e4  # log g below this is as good as 0, and stays finite for any reasonable beta


def _comparable(nll: Tensor) -> Tensor:
    """Detached, in at least float32, NaN as the worst loss, and bounded so that differences are finite."""
    nll = nll.detach()
    if nll.dtype != torch.float64:
        nll = nll.float()
    bound = torch.finfo(nll.dtype).max / 4
    return nll.nan_to_num(nan=bound).clamp(-bound, bound)


def winner_takes_all(nll: Tensor) -> Tensor:
    """1 for the hypothesis of lowest loss, 0 for the others. On ties the first index wins.

    Args:
        nll: [K, B].
    """
    nll = _comparable(nll)
    return torch.zeros_like(nll).scatter_(0, nll.argmin(dim=0, keepdim=True), 1.0)


def relaxed(nll: Tensor, epsilon: float) -> Tensor:
    """1 - epsilon for the winner, epsilon shared equally by the others; K = 1 gives 1.

    The weighted loss is (1 - e - e/(K-1)) min_k nll_k + e/(K-1) sum_k nll_k, as in the LoRA-MCL paper.

    Args:
        nll: [K, B].
        epsilon: in [0, 1).

    Raises:
        OptionsError: `epsilon` is out of range.
    """
    _check_epsilon(epsilon)
    winner = winner_takes_all(nll)
    if len(nll) == 1:
        return winner
    return winner * (1 - epsilon) + (1 - winner) * (epsilon / (len(nll) - 1))


def annealed(nll: Tensor, temperature: float, tokens: Tensor | None = None) -> Tensor:
    """softmax over hypotheses of -nll / temperature; temperature 0 is the limit (ties share equally).

    Args:
        nll: [K, B].
        temperature: nats per token, or nats if `tokens` is given; >= 0.
        tokens: [B] caption lengths: puts the temperature on the sequence scale, softmax(-tokens nll / temperature).

    Raises:
        OptionsError: `temperature` is negative or not finite.
    """
    return _scores(nll, temperature, tokens).softmax(dim=0)


def caption_gate(
    nll: Tensor, log_gate: Tensor, temperature: float, beta: float, tokens: Tensor | None = None
) -> Tensor:
    """q_k proportional to exp(-(nll_k - mean_j nll_j) / temperature) * g_k ** beta.

    The mean cancels in the normalisation. beta = 0 is `annealed`; temperature 0 leaves the gate to decide
    ties only. The gate does not see the image or sound, so hypotheses cannot swap roles from one example to the next.

    Args:
        nll: [K, B].
        log_gate: [K, B], log g(k | caption).
        temperature: nats per token, or nats if `tokens` is given; >= 0.
        beta: >= 0.
        tokens: [B] caption lengths, as for `annealed`.

    Raises:
        OptionsError: `temperature` or `beta` is negative or not finite.
    """
    _check_beta(beta)
    scores = _scores(nll, temperature, tokens)
    return (scores + beta * log_gate.detach().to(scores.dtype).clamp_min(_LOG_GATE_FLOOR)).softmax(dim=0)


def _scores(nll: Tensor, temperature: float, tokens: Tensor | None) -> Tensor:
    """-(nll - min) / temperature [K, B]: at most 0, and 0 for the winner, so a softmax never overflows."""
    if not (math.isfinite(temperature) and temperature >= 0):
        raise OptionsError(f"temperature must be a finite number >= 0; got {temperature}")
    nll = _comparable(nll)
    gap = nll - nll.amin(dim=0, keepdim=True)
    if tokens is not None:
        gap = (gap * tokens.to(gap.dtype)).clamp_max(torch.finfo(gap.dtype).max)
    if temperature < torch.finfo(nll.dtype).tiny:  # the quotient below would be 0 / 0
        return torch.zeros_like(gap).masked_fill(gap > 0, -torch.inf)
    return -gap / temperature


def weighted_loss(nll: Tensor, q: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over examples of sum_k q_k nll_k: the loss to call backward() on.

    Args:
        nll: [K, B], with gradient.
        q: [K, B], from one of the rules.
        valid: [B] bool; examples without target tokens are left out of the mean. All count by default.

    A weight of 0 leaves a loss out even if it is not finite, and so does `valid`.
    """
    weighted = torch.where(q > 0, q * nll, 0)  # [K, B]; 0 * NaN would be NaN
    if valid is None:
        return weighted.sum(dim=0).mean()
    return torch.where(valid, weighted, 0).sum() / valid.sum().clamp_min(1)


def winner_counts(q: Tensor, valid: Tensor | None = None) -> Tensor:
    """Number of examples that each hypothesis wins [K]: those where its weight is the largest, first on ties.

    Args:
        q: [K, B].
        valid: [B] bool, the examples to count; all by default.
    """
    winners = q.argmax(dim=0)
    counted = torch.ones_like(winners) if valid is None else valid.to(winners.dtype)
    return winners.new_zeros(len(q)).scatter_add_(0, winners, counted)


def assignment_entropy(q: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean entropy of the assignment in nats: 0 if every example has one owner, log K if all share all.

    Args:
        q: [K, B].
        valid: [B] bool, the examples to average over; all by default.
    """
    entropy = -torch.xlogy(q, q).sum(dim=0)
    return entropy.mean() if valid is None else (entropy * valid).sum() / valid.sum().clamp_min(1)


@dataclass(frozen=True)
class Anneal:
    """A temperature that goes from `start` at the first step to `end` after `fraction` of the steps, then
    stays; or by a `ratio` per step.

    Attributes:
        start, end: exact at both ends; positive for the exponential shape, >= 0 otherwise.
        fraction: in [0, 1]; 0 means `end` throughout.
        ratio: in (0, 1); instead of `fraction` and `shape`: the temperature is start * ratio ** step, but not below
            `end`, for any number of steps. The paper's runs: start 1, ratio 0.999, end 1e-6 (as good as 0).
        shape: "exponential" (constant ratio per step), "linear" or "cosine" (slow at both ends).

    Raises:
        OptionsError: a field is out of range.
    """

    start: float
    end: float = 1e-6
    fraction: float = 1.0
    shape: Literal["exponential", "linear", "cosine"] = "exponential"
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.shape not in ("exponential", "linear", "cosine"):
            raise OptionsError(f"shape must be exponential, linear or cosine; got {self.shape!r}")
        for name, value in (("start", self.start), ("end", self.end)):
            if not (math.isfinite(value) and value >= 0):
                raise OptionsError(f"{name} must be a finite number >= 0; got {value}")
            if self.shape == "exponential" and value == 0:
                raise OptionsError(f"{name} must be positive for an exponential schedule")
        if not 0 <= self.fraction <= 1:
            raise OptionsError(f"fraction must be in [0, 1]; got {self.fraction}")
        if self.ratio is not None:
            if not 0 < self.ratio < 1:
                raise OptionsError(f"ratio must be in (0, 1); got {self.ratio}")
            if self.fraction != 1 or self.shape != "exponential":
                raise OptionsError("ratio is per step: fraction and shape do not go with it")
            if not self.end < self.start:
                raise OptionsError(f"with a ratio, end must be below start; got {self.end} and {self.start}")

    def at(self, step: float, total: float) -> float:
        """Value at `step` of `total` (steps count from 0: the last one is total - 1; one step alone gives
        `end`).
        """
        if self.ratio is not None:
            return max(self.start * self.ratio ** max(step, 0), self.end)
        length = self.fraction * (total - 1)
        if step >= length:
            return self.end
        progress = max(step, 0) / length
        if self.shape == "exponential":
            return self.start * (self.end / self.start) ** progress
        if self.shape == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class ObjectiveOptions:
    """Which rule assigns examples to hypotheses, and its parameters.

    Attributes:
        name: "wta", "relaxed", "annealed" or "caption-gate".
        epsilon: of "relaxed", in [0, 1).
        temperature: of "annealed" and "caption-gate", nats per token, or nats on the sequence scale.
        beta: weight of the gate in "caption-gate", >= 0.
        temperature_scale: "token" or "sequence", see above.

    Raises:
        OptionsError: a field is out of range.
    """

    name: ObjectiveName = "caption-gate"
    epsilon: float = 0.1
    temperature: Anneal = Anneal(0.3, 0.05, 0.7)
    beta: float = 1.0
    temperature_scale: TemperatureScale = "token"

    def __post_init__(self) -> None:
        if self.temperature_scale not in get_args(TemperatureScale):
            raise OptionsError(f"temperature_scale must be token or sequence; got {self.temperature_scale!r}")
        if self.name not in get_args(ObjectiveName):
            raise OptionsError(f"objective must be one of {', '.join(get_args(ObjectiveName))}; got {self.name!r}")
        _check_epsilon(self.epsilon)
        _check_beta(self.beta)

    @property
    def needs_gate(self) -> bool:
        """Whether `weights` wants `log_gate`."""
        return self.name == "caption-gate"

    def weights(
        self,
        nll: Tensor,
        step: float,
        total: float,
        log_gate: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """q [K, B] from nll [K, B] at this step of the training.

        Args:
            log_gate: [K, B], for "caption-gate".
            tokens: [B] caption lengths, for the sequence scale.

        Raises:
            OptionsError: one of these is needed and missing.
        """
        if self.name == "wta":
            return winner_takes_all(nll)
        if self.name == "relaxed":
            return relaxed(nll, self.epsilon)
        temperature = self.temperature.at(step, total)
        if self.temperature_scale == "token":
            tokens = None
        elif tokens is None:
            raise OptionsError("the sequence temperature scale needs tokens, the length of each caption")
        if self.name == "annealed":
            return annealed(nll, temperature, tokens)
        if log_gate is None:
            raise OptionsError("the caption-gate objective needs log_gate, the output of a CaptionGate")
        return caption_gate(nll, log_gate, temperature, self.beta, tokens)


def _check_epsilon(epsilon: float) -> None:
    if not 0 <= epsilon < 1:
        raise OptionsError(f"epsilon must be in [0, 1); got {epsilon}")


def _check_beta(beta: float) -> None:
    if not (math.isfinite(beta) and beta >= 0):
        raise OptionsError(f"beta must be a finite number >= 0; got {beta}")
