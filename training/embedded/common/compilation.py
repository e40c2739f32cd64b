"""Compiled layers of the language model: fewer passes over memory in a training step, where ``torch.compile`` works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from lora_mcl.decoding.shared_layers import decoder_layers, decoder_of

VARIANTS = 16
"""How often a layer may be compiled: for each form of its cache (empty, with a prompt, with other strides)."""


def can_compile(device: str | torch.device = "cpu") -> bool:
    """Whether ``torch.compile`` works on this machine: it asks for a C++ compiler, on a GPU for Triton."""
    try:
        torch.compile(lambda x: x.exp() + 1)(torch.ones(8, device=device))
    except RuntimeError:  # of which torch's compilation errors are kinds
        return False
    return True


@contextmanager
def compiled_layers(model: PreTrainedModel, backend: str = "inductor") -> Iterator[None]:
    """Inside the block, the language model's layers are compiled, for inputs of any length, when they first run.

    The names of their weights stay as they are.

    Args:
        backend: of ``torch.compile``.
    """
    layers = decoder_layers(decoder_of(model)) or ()
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)
    # All layers are one function to the compiler, which is compiled anew for each of them.
    with torch._dynamo.config.patch(recompile_limit=VARIANTS * max(1, len(layers))):
        yield
