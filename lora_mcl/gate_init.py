"""Initialisation of a caption gate: a mixture of bags of words, fitted to captions alone.

From random weights the gate and the adapters settle on whichever split of the captions the first steps favour, and may
cut one annotator in two at a turn of phrase. EM on a mixture of K unigram models (Nigam et al. 2000) sees the same
thing as the gate, words and no label, but all captions at once; annealed from a flat posterior (Ueda & Nakano 1998) and
tried from several starts, of which the likeliest is kept, it hardly depends on where it began.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_mcl.errors import OptionsError
from lora_mcl.gate import CaptionGate

ITERATIONS = 40
HEATED = 20
"""Over the first so many iterations the posterior's exponent grows from 0.1 to 1."""
RESTARTS = 8
SMOOTHING = 0.05
"""Pseudo-count of a feature that a component has not seen."""
CONFIDENCE = 4.0
"""Mean lead of the gate's best hypothesis over its second at the start, in nats: sure, yet open to the likelihood."""


@dataclass(frozen=True)
class Mixture:
    """K components over the F features that occur, and one probability for each of the others.

    Attributes:
        log_features: [K, F], log-probability of each feature that occurs in the captions.
        log_shares: [K], normalised.
        log_unseen: [K], log-probability of each feature that does not occur.
    """

    log_features: Tensor
    log_shares: Tensor
    log_unseen: Tensor

    def log_joint(self, bags: Tensor) -> Tensor:
        """log p(k, caption) of captions given as counts [N, F], [N, K], up to the multinomial coefficient."""
        return bags @ self.log_features.T + self.log_shares


def fit_mixture(
    bags: Tensor,
    components: int,
    generator: torch.Generator | None = None,
    restarts: int = RESTARTS,
    *,
    unseen: int = 0,
) -> Mixture:
    """Fit a mixture of unigram models to counts [N, F]: the likeliest of some runs of annealed EM.

    Args:
        unseen: features of the vocabulary that no caption has, and ``bags`` leaves out. They only take part in the
            smoothing, so leaving them out saves most of a large vocabulary's time and memory.

    Raises:
        OptionsError: there are fewer captions than components.
    """
    if len(bags) < components:
        raise OptionsError(f"{components} hypotheses cannot start from {len(bags)} captions: give more captions.")
    best, best_likelihood = None, -float("inf")
    for _ in range(restarts):
        mixture = _annealed_em(bags, components, generator, unseen)
        likelihood = float(mixture.log_joint(bags).logsumexp(1).mean())
        # Runs that end in the same place differ by rounding only: then the first is kept.
        if best is None or likelihood > best_likelihood + 1e-4:
            best, best_likelihood = mixture, likelihood
    assert best is not None
    return best


def _annealed_em(bags: Tensor, components: int, generator: torch.Generator | None, unseen: int) -> Mixture:
    posterior = (1 + 0.2 * torch.rand(len(bags), components, generator=generator)).to(bags.device)
    posterior = posterior / posterior.sum(1, keepdim=True)  # [N, K]
    for iteration in range(ITERATIONS):
        features = posterior.T @ bags + SMOOTHING  # [K, F]
        log_total = (features.sum(1, keepdim=True) + unseen * SMOOTHING).log()  # [K, 1]
        mixture = Mixture(
            log_features=features.log() - log_total,
            log_shares=posterior.mean(0).clamp_min(1e-9).log(),
            log_unseen=math.log(SMOOTHING) - log_total[:, 0],
        )
        exponent = min(1.0, 0.1 + 0.9 * iteration / HEATED)
        posterior = (exponent * mixture.log_joint(bags)).softmax(1)
    return mixture


@torch.no_grad()
def start_gate(gate: CaptionGate, captions: Tensor, generator: torch.Generator | None = None) -> None:
    """Set the gate's weights to those of a mixture fitted to captions [N, T] (-100 padded).

    The gate reads counts divided by their norm, so its weights are the mixture's times the mean norm, scaled down to
    a mean lead of ``CONFIDENCE``. One hypothesis has nothing to choose from and keeps its weights.

    Raises:
        OptionsError: there are fewer captions than hypotheses.
    """
    hypotheses = len(gate.bias)
    if hypotheses == 1:
        return
    features, kept = gate.features(captions)
    occurring, columns = features[kept].unique(return_inverse=True)  # [F'], [positions]
    rows = kept.nonzero()[:, 0]
    bags = torch.zeros(len(captions), len(occurring), device=captions.device)
    bags.index_put_((rows, columns), torch.ones_like(rows, dtype=bags.dtype), accumulate=True)  # [N, F']
    mixture = fit_mixture(bags, hypotheses, generator, unseen=gate.weight.shape[1] - len(occurring))
    norms = bags.norm(dim=1, keepdim=True).clamp_min(1.0)
    weight = norms.mean() * (mixture.log_features - mixture.log_features.mean(0))  # [K, F']
    unseen = norms.mean() * (mixture.log_unseen - mixture.log_unseen.mean())  # [K]
    scores = (bags / norms) @ weight.T + mixture.log_shares
    first, second = scores.topk(2, dim=1).values.T
    scale = min(1.0, CONFIDENCE / float((first - second).mean().clamp_min(1e-6)))
    gate.weight.copy_((scale * unseen)[:, None].expand_as(gate.weight))
    gate.weight[:, occurring] = scale * weight
    gate.bias.copy_(scale * mixture.log_shares)
