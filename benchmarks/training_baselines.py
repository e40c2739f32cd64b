"""Baselines of the training benchmark: two other ways to train K adapters, re-implemented in short.

``GroupedConvolutionLora`` is how the authors' code lays K adapters out (a batch repeated K times, the K copies of one
example side by side, and two convolutions of kernel 1 with K groups); ``SequentialLora`` is K plain adapters, of which
one is in use at a time. Both replace a Linear, like the adapters of ``lora_mcl``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GroupedConvolutionLora(nn.Module):
    """W x + scaling * B_k A_k x for rows k of a batch [B * K, T, in] that holds the K copies of an example together."""

    def __init__(self, base: nn.Linear, count: int, rank: int, scaling: float) -> None:
        super().__init__()
        self.base, self.count, self.scaling = base, count, scaling
        self.lora_A = nn.Conv1d(count * base.in_features, count * rank, 1, groups=count, bias=False)
        self.lora_B = nn.Conv1d(count * rank, count * base.out_features, 1, groups=count, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, width = x.shape
        grouped = x.view(rows // self.count, self.count, tokens, width).transpose(2, 3).flatten(1, 2)
        delta = self.lora_B(self.lora_A(grouped)).view(rows // self.count, self.count, -1, tokens)
        return self.base(x) + self.scaling * delta.transpose(2, 3).flatten(0, 1)


class SequentialLora(nn.Module):
    """W x + scaling * B_k A_k x with the same k for the whole batch: ``active``."""

    def __init__(self, base: nn.Linear, count: int, rank: int, scaling: float) -> None:
        super().__init__()
        self.base, self.scaling, self.active = base, scaling, 0
        bound = 1 / math.sqrt(base.in_features)
        self.lora_A = nn.ParameterList(
            torch.empty(rank, base.in_features).uniform_(-bound, bound) for _ in range(count)
        )
        self.lora_B = nn.ParameterList(torch.zeros(base.out_features, rank) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(x, self.lora_A[self.active])
        return self.base(x) + self.scaling * F.linear(low, self.lora_B[self.active])


def replace_linears(
    model: nn.Module,
    names: list[str],
    kind: type[GroupedConvolutionLora] | type[SequentialLora],
    *,
    count: int,
    rank: int,
    scaling: float,
) -> dict[str, GroupedConvolutionLora | SequentialLora]:
    """Freeze ``model`` and put a ``kind`` in place of each named Linear; returns them by name."""
    model.requires_grad_(False)
    layers = {name: kind(model.get_submodule(name), count, rank, scaling) for name in names}
    for name, layer in layers.items():
        model.set_submodule(name, layer)
    return layers
