"""Teacher-forced captions: the negative log-likelihood of captions given encoded prompts, and padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.examples import IGNORE, PromptBatch

__all__ = ["IGNORE", "PromptBatch", "caption_nll", "left_padded", "right_padded"]


def caption_nll(model: nn.Module, prompts: PromptBatch, captions: Tensor) -> Tensor:
    """Mean token NLL of each caption, in nats, [B].

    Only the caption's positions go through the output layer.

    Args:
        model: any causal LM of transformers that takes ``inputs_embeds``.
        prompts: B encoded prompts.
        captions: [B, T] token ids, EOS included, padded on the right with -100.
    """
    return prompts.with_captions(model, captions).nll(model).mean


def left_padded(sequences: list[Tensor], value: float = 0) -> tuple[Tensor, Tensor]:
    """Stack sequences [t_i, ...] into [B, P, ...], padded on the left, and return the mask [B, P] too."""
    longest = max(len(sequence) for sequence in sequences)
    batch = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)
    mask = torch.zeros(len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        batch[row, longest - len(sequence) :] = sequence
        mask[row, longest - len(sequence) :] = 1
    return batch, mask


def right_padded(sequences: list[list[int]]) -> Tensor:
    """Stack token lists into [B, T], padded on the right with -100."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([sequence + [IGNORE] * (longest - len(sequence)) for sequence in sequences])
