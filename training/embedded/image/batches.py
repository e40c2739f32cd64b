"""From visits to what the model reads, with the tower's answers taken from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_mcl.models.llava_next import ImageLanguageModel, embed_prompt
from lora_mcl.trainer.batch import PromptBatch, pad_left, pad_right
from training.embedded.image.visits import Visit

Batch = dict[str, Any]

PROMPT = "Caption:"
"""The instruction of the embedded model; its bundle carries it."""


class VisitCollator:
    """Batches visits: tower features, prompt tokens (padded left), caption tokens with EOS (padded right)."""

    def __init__(self, media: ImageLanguageModel, prompt: str = PROMPT) -> None:
        self.media, self.prompt = media, prompt
        self._prompt_ids: dict[tuple[int, int], Tensor] = {}

    def __call__(self, visits: Sequence[Visit]) -> Batch:
        tokenizer = self.media.tokenizer
        captions = tokenizer([visit.caption for visit in visits], add_special_tokens=False)["input_ids"]
        ids, mask = pad_left([self._ids(visit.image_size) for visit in visits], value=self.media.pad_token_id)
        return {
            "features": [visit.patches for visit in visits],
            "image_sizes": torch.tensor([visit.image_size for visit in visits]),
            "input_ids": ids,
            "attention_mask": mask,
            "captions": pad_right([[*caption, tokenizer.eos_token_id] for caption in captions]),
        }

    def _ids(self, image_size: tuple[int, int]) -> Tensor:
        if image_size not in self._prompt_ids:
            self._prompt_ids[image_size] = self.media.prompt_ids(image_size, self.prompt)[0]
        return self._prompt_ids[image_size]


def encode_prompts(model: nn.Module, batch: Batch) -> PromptBatch:
    """Project the cached tower features and place them among the prompt's tokens."""
    embeds = embed_prompt(model, batch["input_ids"], batch["features"], batch["image_sizes"])
    return PromptBatch(embeds, batch["attention_mask"])
