"""A small classifier: how well frozen features separate classes at best."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def fit(
    inputs: Tensor, labels: Tensor, *, classes: int | None = None, steps: int = 900, batch: int = 256, seed: int = 0
) -> nn.Module:
    """A classifier with one hidden layer on standardised inputs [N, D], labels [N].

    Args:
        classes: how many there are; by default up to the highest label.
    """
    torch.manual_seed(seed)
    normal = nn.BatchNorm1d(inputs.shape[1], affine=False)
    layers = (nn.Dropout(0.3), nn.Linear(inputs.shape[1], 512), nn.GELU(), nn.Dropout(0.3))
    model = nn.Sequential(normal, *layers, nn.Linear(512, classes or int(labels.max()) + 1))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (batch,))
        loss = F.cross_entropy(model(inputs[chosen]), labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of the inputs [N, D] that are classified as their labels [N]."""
    return round(float((model(inputs).argmax(1) == labels).float().mean()), 4)
