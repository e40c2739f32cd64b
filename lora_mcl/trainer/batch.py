"""Training batches: inputs and labels of B examples, encoded prompts, padding, and the NLL of captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from lora_mcl.errors import OptionsError
from lora_mcl.loss import RowNll, last_logits, mean_token_nll

IGNORE_INDEX = -100


@dataclass(frozen=True)
class Batch:
    """Inputs and labels of B examples.

    Attributes:
        inputs: tensor arguments of the model's forward, examples along their first axis.
        labels: [B, T] target tokens, -100 where a token is no target (prompt, media, padding). As everywhere in
            transformers, the label at t + 1 is what the model predicts at t.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor

    @classmethod
    def from_collated(cls, collated: Mapping[str, Any]) -> Batch:
        """From what a transformers collator makes.

        Raises:
            OptionsError: there are no labels, or something is not a tensor.
        """
        if collated.get("labels") is None:
            raise OptionsError(
                "the batch has no labels: use a collator that makes them, such as "
                "DataCollatorForLanguageModeling(tokenizer, mlm=False)"
            )
        inputs = {name: value for name, value in collated.items() if name != "labels" and value is not None}
        for name, value in inputs.items():
            if not isinstance(value, Tensor):
                raise OptionsError(
                    f"{name!r} in the batch is a {type(value).__name__}, not a tensor: drop it in the collator, or "
                    "turn collated batches into a Batch yourself (prepare_batch)"
                )
        return cls(inputs, collated["labels"])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_targets(self) -> Tensor:
        """[B] target tokens of each example; one without any adds nothing to the loss."""
        return (self.labels[:, 1:] != IGNORE_INDEX).sum(dim=1)

    def repeat(self, times: int) -> Batch:
        """[times * B, ...], the whole batch repeated: row k * B + b is example b."""
        if times == 1:
            return self
        inputs = {name: value.repeat(times, *[1] * (value.ndim - 1)) for name, value in self.inputs.items()}
        return Batch(inputs, self.labels.repeat(times, 1))

    def nll(self, model: nn.Module) -> RowNll:
        """Mean token NLL of each example, in nats, [B]; only positions from the first target on are scored."""
        # [T - 1]: whether any example predicts a target from position t. The label at t + 1 belongs to position t.
        is_target = (self.labels[:, 1:] != IGNORE_INDEX).any(dim=0)
        first = int(is_target.int().argmax()) if is_target.any() else len(is_target)
        # The last T - first positions hold every predicting position, and one more: mean_token_nll shifts by one.
        num_positions = self.labels.shape[1] - first
        logits = last_logits(model, num_positions, **self.inputs, use_cache=False)  # [B, num_positions, V]
        return mean_token_nll(logits, self.labels[:, -num_positions:])


@dataclass(frozen=True)
class PromptBatch:
    """Encoded prompts (media and instruction) of B examples, padded on the left to P positions.

    Attributes:
        inputs_embeds: [B, P, D] input embeddings.
        attention_mask: [B, P], 0 where padded.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor

    def repeat(self, times: int) -> PromptBatch:
        """[times * B, ...], the whole batch repeated: row k * B + b is example b."""
        return PromptBatch(self.inputs_embeds.repeat(times, 1, 1), self.attention_mask.repeat(times, 1))

    def with_captions(self, model: nn.Module, captions: Tensor) -> Batch:
        """These prompts followed by ``captions`` [B, T], EOS included, padded on the right with -100."""
        is_token = captions != IGNORE_INDEX
        # -100 is no token: padding gets the embedding of token 0, which the mask hides.
        embeds = model.get_input_embeddings()(captions.clamp_min(0)).to(self.inputs_embeds.dtype)
        mask = torch.cat([self.attention_mask, is_token.to(self.attention_mask.dtype)], dim=1)  # [B, P + T]
        inputs = {
            "inputs_embeds": torch.cat([self.inputs_embeds, embeds], dim=1),
            "attention_mask": mask,
            # Positions count real tokens, so that left padding shifts nothing.
            "position_ids": (mask.cumsum(1) - 1).clamp_min(0),
        }
        labels = captions.new_full((len(captions), mask.shape[1]), IGNORE_INDEX)
        labels[:, self.attention_mask.shape[1] :] = captions
        return Batch(inputs, labels)


def caption_nll(model: nn.Module, prompts: PromptBatch, captions: Tensor) -> Tensor:
    """Mean token NLL of each caption given its prompt (teacher forcing), in nats, [B].

    Only the caption's positions go through the output layer.

    Args:
        model: any causal LM of transformers that takes ``inputs_embeds``.
        prompts: B encoded prompts.
        captions: [B, T] token ids, EOS included, padded on the right with -100.
    """
    return prompts.with_captions(model, captions).nll(model).mean


def shared_prompt_nll(model: PreTrainedModel, prompts: PromptBatch, captions: Sequence[Tensor]) -> list[Tensor]:
    """``caption_nll`` of several captions of each prompt, [B] for each, with the prompts prefilled once.

    Args:
        captions: each [B, T] as above; lengths may differ.
    """
    cache = DynamicCache(config=model.config)
    positions = (prompts.attention_mask.cumsum(1) - 1).clamp_min(0)
    prompt_inputs = {
        "inputs_embeds": prompts.inputs_embeds,
        "attention_mask": prompts.attention_mask,
        "position_ids": positions,
    }
    # [B, 1, V]: the prompt's last position predicts the first token of every caption.
    first = last_logits(model, 1, **prompt_inputs, past_key_values=cache, use_cache=True)
    means = []
    for caption in captions:
        is_token = (caption != IGNORE_INDEX).to(prompts.attention_mask.dtype)
        logits = last_logits(
            model,
            caption.shape[1],
            inputs_embeds=model.get_input_embeddings()(caption.clamp_min(0)).to(prompts.inputs_embeds.dtype),
            attention_mask=torch.cat([prompts.attention_mask, is_token], dim=1),
            position_ids=positions[:, -1:] + is_token.cumsum(1),
            past_key_values=cache,
            use_cache=True,
        )
        # One column without a target in front, as mean_token_nll shifts labels by one against logits.
        labels = torch.cat([caption.new_full((len(caption), 1), IGNORE_INDEX), caption], dim=1)
        means.append(mean_token_nll(torch.cat([first, logits], dim=1), labels).mean)
        cache.crop(-caption.shape[1])  # back to the prompt alone, for the next caption
    return means


def pad_left(sequences: list[Tensor], value: float = 0) -> tuple[Tensor, Tensor]:
    """Stack sequences [t_i, ...] into [B, P, ...], padded on the left; also returns the mask [B, P]."""
    longest = max(len(sequence) for sequence in sequences)
    batch = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)
    mask = torch.zeros(len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        batch[row, longest - len(sequence) :] = sequence
        mask[row, longest - len(sequence) :] = 1
    return batch, mask


def pad_right(sequences: list[list[int]]) -> Tensor:
    """Stack token lists into [B, T], padded on the right with -100."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([sequence + [IGNORE_INDEX] * (longest - len(sequence)) for sequence in sequences])
