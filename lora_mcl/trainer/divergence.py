"""A training that has diverged ends with an error, instead of with adapters that no program can load."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lora_mcl.errors import DivergenceError

ADVICE = "lower the learning rate or lengthen its warm-up"


def require_finite_loss(values: Tensor, step: int) -> None:
    """Check the loss of a step, or what it is computed from.

    Args:
        values: of any shape.
        step: number of the step, from 0.

    Raises:
        DivergenceError: one of them is not finite.
    """
    if values.isfinite().all():
        return
    if step == 0:
        raise DivergenceError(
            "the loss of the first step is not finite, before anything was learned: the weights of the base model or "
            "the features of its input are damaged, or too large for this data type"
        )
    raise DivergenceError(f"the loss of step {step + 1:,} is not finite, training has diverged: {ADVICE}")


@torch.no_grad()
def require_finite_weights(module: nn.Module) -> None:
    """Check the trainable weights of a module, as they are before they are saved.

    Raises:
        DivergenceError: one of them is not finite.
    """
    for name, weight in module.named_parameters():
        if weight.requires_grad and not weight.isfinite().all():
            raise DivergenceError(f"{name} has values that are not finite, training has diverged: {ADVICE}")
