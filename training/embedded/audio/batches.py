"""From visits to what the model reads, with the tower's answers taken from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lora_mcl.models.qwen2_audio import AudioLanguageModel, embed_prompt
from lora_mcl.trainer.batch import PromptBatch, pad_left, pad_right

if TYPE_CHECKING:
    from training.embedded.audio.visits import Visit

Batch = dict[str, Any]

PROMPT = "Caption:"
"""The instruction of the embedded model; its bundle carries it."""


class VisitCollator:
    """Batches visits: tower features, prompt tokens (padded left), caption tokens with EOS (padded right).

    Where several annotators caption each clip, ``captions`` lists a batch of each.
    """

    def __init__(self, media: AudioLanguageModel, prompt: str = PROMPT) -> None:
        self.media, self.prompt = media, prompt
        self._prompt_ids: dict[int, Tensor] = {}

    def __call__(self, visits: Sequence[Visit]) -> Batch:
        tokenizer = self.media.tokenizer

        def padded(texts: Sequence[str]) -> Tensor:
            ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
            return pad_right([[*caption, tokenizer.eos_token_id] for caption in ids])

        captions = padded([visit.caption for visit in visits])
        others = zip(*(visit.others for visit in visits), strict=True)
        ids, mask = pad_left([self._ids(visit.num_samples) for visit in visits], value=self.media.pad_token_id)
        return {
            "features": [visit.features for visit in visits],
            "input_ids": ids,
            "attention_mask": mask,
            "captions": [captions, *map(padded, others)] if visits[0].others else captions,
        }

    def _ids(self, num_samples: int) -> Tensor:
        if num_samples not in self._prompt_ids:
            self._prompt_ids[num_samples] = self.media.prompt_ids(num_samples, self.prompt)[0]
        return self._prompt_ids[num_samples]


def encode_prompts(model: nn.Module, batch: Batch) -> PromptBatch:
    """Project the cached tower features and place them among the prompt's tokens."""
    return PromptBatch(embed_prompt(model, batch["input_ids"], batch["features"]), batch["attention_mask"])
