"""Teacher-forced captions: the negative log-likelihood of captions given encoded prompts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lora_mcl.nll import last_logits, mean_token_nll

IGNORE = -100


@dataclass(frozen=True)
class PromptBatch:
    """Encoded prompts (media and instruction) of B examples, padded on the left to P positions.

    Attributes:
        embeds: [B, P, D] input embeddings.
        mask: [B, P], 0 where padded.
    """

    embeds: Tensor
    mask: Tensor

    def repeat(self, times: int) -> PromptBatch:
        """[times * B, ...], the whole batch again and again: row k * B + b is example b."""
        return PromptBatch(self.embeds.repeat(times, 1, 1), self.mask.repeat(times, 1))


def caption_nll(model: nn.Module, prompts: PromptBatch, captions: Tensor) -> Tensor:
    """Mean token NLL of each caption, in nats, [B].

    Only the caption's positions go through the output layer.

    Args:
        model: any causal LM of transformers that takes ``inputs_embeds``.
        prompts: B encoded prompts.
        captions: [B, T] token ids, EOS included, padded on the right with -100.
    """
    kept = captions != IGNORE
    embeds = model.get_input_embeddings()(captions.clamp_min(0)).to(prompts.embeds.dtype)
    mask = torch.cat([prompts.mask, kept.to(prompts.mask.dtype)], dim=1)
    logits = last_logits(
        model,
        captions.shape[1] + 1,
        inputs_embeds=torch.cat([prompts.embeds, embeds], dim=1),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp_min(0),
        use_cache=False,
    )
    labels = torch.cat([torch.full_like(captions[:, :1], IGNORE), captions], dim=1)
    return mean_token_nll(logits, labels).mean


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
