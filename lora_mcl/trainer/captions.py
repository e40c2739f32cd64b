"""Teacher-forced captions: the negative log-likelihood of captions given encoded prompts, and padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from lora_mcl.loss import last_logits, mean_token_nll
from lora_mcl.trainer.batch import IGNORE, PromptBatch

__all__ = ["IGNORE", "PromptBatch", "caption_nll", "left_padded", "right_padded", "shared_prompt_nll"]


def caption_nll(model: nn.Module, prompts: PromptBatch, captions: Tensor) -> Tensor:
    """Mean token NLL of each caption, in nats, [B].

    Only the caption's positions go through the output layer.

    Args:
        model: any causal LM of transformers that takes ``inputs_embeds``.
        prompts: B encoded prompts.
        captions: [B, T] token ids, EOS included, padded on the right with -100.
    """
    return prompts.with_captions(model, captions).nll(model).mean


def shared_prompt_nll(model: PreTrainedModel, prompts: PromptBatch, captions: Sequence[Tensor]) -> list[Tensor]:
    """``caption_nll`` of several captions of each prompt, [B] for each, with the prompts read once.

    Args:
        captions: each [B, T] as above; lengths may differ.
    """
    cache = DynamicCache(config=model.config)
    positions = (prompts.mask.cumsum(1) - 1).clamp_min(0)
    read = {"inputs_embeds": prompts.embeds, "attention_mask": prompts.mask, "position_ids": positions}
    first = last_logits(model, 1, **read, past_key_values=cache, use_cache=True)
    means = []
    for caption in captions:
        kept = (caption != IGNORE).to(prompts.mask.dtype)
        logits = last_logits(
            model,
            caption.shape[1],
            inputs_embeds=model.get_input_embeddings()(caption.clamp_min(0)).to(prompts.embeds.dtype),
            attention_mask=torch.cat([prompts.mask, kept], dim=1),
            position_ids=positions[:, -1:] + kept.cumsum(1),
            past_key_values=cache,
            use_cache=True,
        )
        labels = torch.cat([caption.new_full((len(caption), 1), IGNORE), caption], dim=1)
        means.append(mean_token_nll(torch.cat([first, logits], dim=1), labels).mean)
        cache.crop(-caption.shape[1])
    return means


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
