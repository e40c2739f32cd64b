"""From samples to what the model takes, with the tower's features taken from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.batch import PromptBatch, pad_left, pad_right
from training.embedded.common.dataset import Sample
from training.embedded.common.domain import PROMPT, Domain


class SampleCollator:
    """Batches samples: tower features, prompt tokens (padded left), caption tokens with EOS (padded right).

    Where several annotators caption each sample, ``captions`` lists a batch of each.
    """

    def __init__(self, model: MediaLanguageModel, prompt: str = PROMPT) -> None:
        self.model, self.prompt = model, prompt
        self._prompt_ids: dict[Any, Tensor] = {}

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        captions = self._captions([sample.caption for sample in samples])
        others = zip(*(sample.others for sample in samples), strict=True)
        ids, mask = pad_left([self._ids(sample.item.size) for sample in samples], value=self.model.pad_token_id)
        return {
            "features": [sample.features for sample in samples],  # B times [V, P, D]
            "sizes": torch.tensor([sample.item.size for sample in samples]),  # [B, 2] of images, [B] of clips
            "input_ids": ids,  # [B, T]
            "attention_mask": mask,
            "captions": [captions, *map(self._captions, others)] if samples[0].others else captions,
        }

    def _captions(self, texts: Sequence[str]) -> Tensor:
        tokenizer = self.model.tokenizer
        ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return pad_right([[*caption, tokenizer.eos_token_id] for caption in ids])

    def _ids(self, size: Any) -> Tensor:
        if size not in self._prompt_ids:
            self._prompt_ids[size] = self.model.prompt_ids(size, self.prompt)[0]
        return self._prompt_ids[size]


def encode_prompts(domain: Domain, model: nn.Module, batch: dict[str, Any]) -> PromptBatch:
    """Project the cached tower features and place them among the prompt's tokens."""
    return PromptBatch(domain.training.embed_prompt(model, batch), batch["attention_mask"])


def with_dropout(batch: dict[str, Any], share: float, training: bool) -> dict[str, Any]:
    """A collated batch with a share of its cached ``features`` hidden while training.

    There are few recordings and drawings: dropout keeps them from being memorised, by each hypothesis in its own way.
    """
    return batch | {"features": [nn.functional.dropout(one, share, training) for one in batch["features"]]}
