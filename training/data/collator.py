"""Batches of visits, in the two forms the Trainer takes.

``PromptCollator`` and ``encode_prompts`` (an argument of the Trainer) run tower and projector once for each example,
for any K, and may take the tower's features from a cache. They are for adapters on the language model alone. Where
adapters change the tower too, as those of the paper's audio runs do, ``ModelCollator`` makes the stock model's inputs,
with labels.

    cache = open_cache(options.feature_cache, options.feature_cache_gib, media)
    visits = train_visits(examples, options, media, prompt, epochs=1, block=8, seed=0, cache=cache)
    MultipleChoiceTrainer(
        learner,
        TrainingArguments("run", remove_unused_columns=False, train_sampling_strategy="sequential"),
        train_dataset=visits,
        data_collator=PromptCollator(media),
        encode_prompts=lambda batch: encode_prompts(media, batch, cache),
    )
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from lora_mcl.models import AudioLanguageModel, ImageLanguageModel, llava_next, qwen2_audio
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.batch import IGNORE_INDEX, PromptBatch, pad_left, pad_right
from training.data.cache import FeatureCache
from training.data.visits import Visit

Batch = dict[str, Any]


class PromptCollator:
    """Batches for ``encode_prompts``: prompt tokens [B, P] padded left, captions [B, T] padded right with -100, and for
    each example its medium's tensors, whether these are the tower's answer, and where that is kept."""

    def __init__(self, media: MediaLanguageModel) -> None:
        self._pad = media.pad_token_id

    def __call__(self, visits: Sequence[Visit]) -> Batch:
        ids, mask = pad_left([visit.prompt for visit in visits], value=self._pad)
        return {
            "captions": _captions(visits),
            "input_ids": ids,
            "attention_mask": mask,
            "media": [visit.tensors for visit in visits],
            "cached": [visit.cached for visit in visits],
            "keys": [visit.key for visit in visits],
        }


class ModelCollator:
    """Batches for the stock model: its arguments, padded right, and ``labels`` [B, T]. For visits without a cache."""

    def __init__(self, media: MediaLanguageModel) -> None:
        self._pad = media.pad_token_id

    def __call__(self, visits: Sequence[Visit]) -> Batch:
        captions = [torch.tensor(visit.caption, dtype=torch.long) for visit in visits]
        whole = [torch.cat([visit.prompt, caption]) for visit, caption in zip(visits, captions, strict=True)]
        targets = [
            torch.cat([torch.full_like(visit.prompt, IGNORE_INDEX), caption])
            for visit, caption in zip(visits, captions, strict=True)
        ]
        ones = [torch.ones_like(ids) for ids in whole]
        names = visits[0].tensors
        return {
            "input_ids": pad_sequence(whole, batch_first=True, padding_value=self._pad),
            "attention_mask": pad_sequence(ones, batch_first=True),
            # Images differ in their number of tiles; everything else is of one shape already.
            **{name: pad_sequence([visit.tensors[name] for visit in visits], batch_first=True) for name in names},
            "labels": pad_sequence(targets, batch_first=True, padding_value=IGNORE_INDEX),
        }


def encode_prompts(
    media: MediaLanguageModel, batch: Batch, cache: FeatureCache | None = None, dropout: float = 0.0
) -> PromptBatch:
    """Run the tower on what the cache did not have, keep that, and embed the prompts with their media.

    Args:
        batch: what ``PromptCollator`` makes, on any device.
        cache: what the visits were made with.
        dropout: share of the tower's answers that is hidden while training.
    """
    new = [row for row, cached in enumerate(batch["cached"]) if not cached]
    answers = dict(zip(new, _tower(media, [batch["media"][row] for row in new]), strict=True)) if new else {}
    if cache is not None:
        for row in new:
            if batch["keys"][row] is not None:
                cache.put(batch["keys"][row], answers[row] | {"positions": _positions(media, batch, row)})
    own = [answers.get(row, medium) for row, medium in enumerate(batch["media"])]
    features = [F.dropout(one["features"], dropout, media.model.training) for one in own]
    if isinstance(media, ImageLanguageModel):
        sizes = torch.stack([one["image_sizes"] for one in own])
        embeds = llava_next.embed_prompt(media.model, batch["input_ids"], features, sizes)
    else:
        embeds = qwen2_audio.embed_prompt(media.model, batch["input_ids"], features)
    return PromptBatch(embeds, batch["attention_mask"])


@torch.no_grad()
def _tower(media: MediaLanguageModel, inputs: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The tower's answers, all media in one batch."""
    # Without autocast the answer is the same whatever precision a run computes in, so runs can share a cache.
    with torch.autocast(media.model.device.type, enabled=False):
        if isinstance(media, ImageLanguageModel):
            tiles = [one["pixel_values"] for one in inputs]
            features = llava_next.tower_features(media.model, torch.cat(tiles)).split([len(own) for own in tiles])
            return [
                {"features": own, "image_sizes": one["image_sizes"]} for own, one in zip(features, inputs, strict=True)
            ]
        assert isinstance(media, AudioLanguageModel)
        names = ("input_features", "feature_attention_mask")
        mel, mask = (torch.stack([one[name] for one in inputs]) for name in names)
        return [{"features": own} for own in qwen2_audio.tower_features(media.model, mel, mask)]


def _positions(media: MediaLanguageModel, batch: Batch, row: int) -> Tensor:
    placeholder = media.tokenizer.convert_tokens_to_ids(media.placeholder)
    return (batch["input_ids"][row] == placeholder).sum()


def _captions(visits: Sequence[Visit]) -> Tensor:
    captions = pad_right([visit.caption for visit in visits])
    # With nothing to learn in the whole batch there is still one column, of no target.
    return captions.long() if captions.shape[1] else torch.full((len(visits), 1), IGNORE_INDEX)
