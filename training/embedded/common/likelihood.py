"""The NLL of every test caption under every adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.trainer.batch import PromptBatch, shared_prompt_nll

BATCH = 20


@torch.inference_mode()
def likelihoods(
    model: PreTrainedModel,
    stack: AdapterStack,
    modes: Sequence[str],
    count: int,
    batch_of: Callable[[range, str], dict[str, Any]],
    encode: Callable[[PreTrainedModel, dict[str, Any]], PromptBatch],
) -> Tensor:
    """Mean token NLL [A, M, N]: A adapters of the stack, M modes, N media.

    Args:
        batch_of: collates the media of some numbers, the same for every mode, with their reference captions by a
            mode's annotator.
        encode: turns such a batch into prompts.
    """
    nll = torch.empty(len(stack), len(modes), count)
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        batches = [batch_of(numbers, mode) for mode in modes]
        captions = [batch["captions"].repeat(len(stack), 1) for batch in batches]
        with stack.rows(hypothesis_rows(len(stack), len(numbers))):
            flat = shared_prompt_nll(model, encode(model, batches[0]).repeat(len(stack)), captions)
        nll[:, :, start : start + len(numbers)] = torch.stack(flat).view(len(modes), len(stack), -1).transpose(0, 1)
    return nll
