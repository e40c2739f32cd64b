"""The NLL of every test caption under every adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from training.captions import PromptBatch, caption_nll

BATCH = 20


@torch.inference_mode()
def likelihoods(
    model: nn.Module,
    stack: AdapterStack,
    modes: Sequence[str],
    count: int,
    batch_of: Callable[[range, str], dict[str, Any]],
    encode: Callable[[nn.Module, dict[str, Any]], PromptBatch],
) -> Tensor:
    """Mean token NLL [A, M, N]: A adapters of the stack, M modes, N media.

    Args:
        batch_of: collates the media of some numbers, with their reference captions by a mode's annotator.
        encode: turns such a batch into prompts.
    """
    nll = torch.empty(len(stack), len(modes), count)
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        for m, mode in enumerate(modes):
            batch = batch_of(numbers, mode)
            prompts = encode(model, batch)
            with stack.rows(hypothesis_rows(len(stack), len(numbers))):
                flat = caption_nll(model, prompts.repeat(len(stack)), batch["captions"].repeat(len(stack), 1))
            nll[:, m, start : start + len(numbers)] = flat.view(len(stack), len(numbers)).cpu()
    return nll
