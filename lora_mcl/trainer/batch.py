"""What a training step reads: B examples for a causal language model, and where their targets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_mcl.errors import OptionsError
from lora_mcl.loss import RowNll, last_logits, mean_token_nll

IGNORE = -100


@dataclass(frozen=True)
class Examples:
    """B examples.

    Attributes:
        inputs: tensor arguments of the model's forward, examples along their first axis.
        labels: [B, T] target tokens, -100 where a token is no target (prompt, media, padding). As everywhere in
            transformers, the label at t + 1 is what the model predicts at t.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor

    @classmethod
    def from_batch(cls, batch: Mapping[str, Any]) -> Examples:
        """From what a transformers collator makes.

        Raises:
            OptionsError: there are no labels, or something is not a tensor.
        """
        if batch.get("labels") is None:
            raise OptionsError(
                "the batch has no labels: use a collator that makes them, such as "
                "DataCollatorForLanguageModeling(tokenizer, mlm=False)"
            )
        inputs = {name: value for name, value in batch.items() if name != "labels" and value is not None}
        for name, value in inputs.items():
            if not isinstance(value, Tensor):
                raise OptionsError(
                    f"{name!r} in the batch is a {type(value).__name__}, not a tensor: drop it in the collator, or "
                    "turn batches into examples yourself (examples_of)"
                )
        return cls(inputs, batch["labels"])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tokens(self) -> Tensor:
        """[B] number of targets; an example with none has nothing to teach."""
        return (self.labels[:, 1:] != IGNORE).sum(dim=1)

    def repeat(self, times: int) -> Examples:
        """[times * B, ...], all examples again and again: row k * B + b is example b."""
        if times == 1:
            return self
        inputs = {name: value.repeat(times, *[1] * (value.ndim - 1)) for name, value in self.inputs.items()}
        return Examples(inputs, self.labels.repeat(times, 1))

    def nll(self, model: nn.Module) -> RowNll:
        """Mean token NLL of each example, in nats, [B]; only positions from the first target on are scored."""
        columns = (self.labels[:, 1:] != IGNORE).any(dim=0)
        first = int(columns.int().argmax()) if columns.any() else len(columns)
        kept = self.labels.shape[1] - first
        return mean_token_nll(last_logits(model, kept, **self.inputs, use_cache=False), self.labels[:, -kept:])


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

    def with_captions(self, model: nn.Module, captions: Tensor) -> Examples:
        """The examples of these prompts and ``captions`` [B, T], EOS included, padded on the right with -100."""
        kept = captions != IGNORE
        embeds = model.get_input_embeddings()(captions.clamp_min(0)).to(self.embeds.dtype)
        mask = torch.cat([self.mask, kept.to(self.mask.dtype)], dim=1)
        inputs = {
            "inputs_embeds": torch.cat([self.embeds, embeds], dim=1),
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp_min(0),
        }
        labels = captions.new_full((len(captions), mask.shape[1]), IGNORE)
        labels[:, self.mask.shape[1] :] = captions
        return Examples(inputs, labels)
