"""A small MLP with a stack of adapters, and the sums it should give."""

import torch
from torch import nn

from lora_mcl.adapters import (
    AdapterSpec,
    AdapterStack,
)

TARGETS = ("first", "second")


class Mlp(nn.Module):
    """Two targeted Linears and one that no adapter targets."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.other = nn.Linear(6, 10), nn.Linear(10, 4, bias=False), nn.Linear(4, 4)

    def forward(self, x):
        return self.other(self.second(torch.tanh(self.first(x))))


def spec(name="a", rank=2, alpha=4.0, **kwargs):
    return AdapterSpec(name, rank, alpha, **{"target_modules": TARGETS, **kwargs})


def stack_of(*specs, seed=0, randomize=True, model=None):
    """A stack on a seeded Mlp whose B are not zero, so that every adapter does something."""
    torch.manual_seed(seed)
    stack = AdapterStack.attach(Mlp() if model is None else model, specs)
    if randomize:
        with torch.no_grad():
            for name in stack.names:
                for _, b in stack.tensors(name).values():
                    b.normal_()
    return stack


def fill(stack, name):
    """Weights that depend on the adapter's name and the layer only, not on the rest of the stack."""
    with torch.no_grad():
        for module_name, pair in stack.tensors(name).items():
            generator = torch.Generator().manual_seed(sum(map(ord, name + module_name)))
            for part in pair:
                part.copy_(0.5 * torch.randn(part.shape, generator=generator))


def by_hand(stack, name, x):
    """The Mlp with the adapter called `name` (None: with none), by W + scaling B A."""
    tensors = {} if name is None else stack.tensors(name)

    def linear(module_name, x):
        base = stack.layers[module_name].base
        weight = base.weight
        if module_name in tensors:
            a, b = tensors[module_name]
            own = stack.specs[stack.index(name)]
            weight = weight + own.alpha / own.rank * b @ a
        return nn.functional.linear(x, weight, base.bias)

    return stack.model.other(linear("second", torch.tanh(linear("first", x))))
