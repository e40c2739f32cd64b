"""Collators: batches of samples in the two forms that the Trainer takes.

``PromptCollator`` and ``encode_prompts`` (an argument of the Trainer) run tower and projector once for each example,
for any K, and may take the tower's features from a cache. They are for adapters on the language model alone. Where
adapters change the tower too, as those of the paper's audio runs do, ``ModelCollator`` makes the stock model's inputs,
with labels.

    cache = open_cache(options.feature_cache, options.feature_cache_gib, model)
    dataset = train_dataset(examples, options, model, prompt, epochs=1, batch_size=8, seed=0, cache=cache)
    MultipleChoiceTrainer(
        learner,
        TrainingArguments("run", remove_unused_columns=False, train_sampling_strategy="sequential"),
        train_dataset=dataset,
        data_collator=PromptCollator(model),
        encode_prompts=lambda batch: encode_prompts(model, batch, cache),
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
from training.data.dataset import Sample

CollatedBatch = dict[str, Any]


class PromptCollator:
    """Batches for ``encode_prompts``: prompt tokens [B, P] padded left, captions [B, T] padded right with -100, and for
    each example its media tensors, whether these are cached features, and their key in the cache."""

    def __init__(self, model: MediaLanguageModel) -> None:
        self._pad_token_id = model.pad_token_id

    def __call__(self, samples: Sequence[Sample]) -> CollatedBatch:
        ids, mask = pad_left([sample.prompt for sample in samples], value=self._pad_token_id)
        return {
            "captions": _captions(samples),
            "input_ids": ids,
            "attention_mask": mask,
            "media": [sample.tensors for sample in samples],
            "cached": [sample.cached for sample in samples],
            "keys": [sample.key for sample in samples],
        }


class ModelCollator:
    """Batches for the stock model: its arguments, padded right, and ``labels`` [B, T]. For samples without a cache."""

    def __init__(self, model: MediaLanguageModel) -> None:
        self._pad_token_id = model.pad_token_id

    def __call__(self, samples: Sequence[Sample]) -> CollatedBatch:
        captions = [torch.tensor(sample.caption, dtype=torch.long) for sample in samples]
        ids = [torch.cat([sample.prompt, caption]) for sample, caption in zip(samples, captions, strict=True)]
        labels = [
            torch.cat([torch.full_like(sample.prompt, IGNORE_INDEX), caption])
            for sample, caption in zip(samples, captions, strict=True)
        ]
        names = samples[0].tensors
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self._pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(own) for own in ids], batch_first=True),
            # Images differ in their number of tiles; everything else is of one shape already.
            **{name: pad_sequence([sample.tensors[name] for sample in samples], batch_first=True) for name in names},
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX),
        }


def encode_prompts(
    model: MediaLanguageModel, batch: CollatedBatch, cache: FeatureCache | None = None, dropout: float = 0.0
) -> PromptBatch:
    """Run the tower on media without cached features, cache these, and embed the prompts with their media.

    Args:
        batch: what ``PromptCollator`` makes, on any device.
        cache: the one that the dataset reads.
        dropout: share of the features that is zeroed in training mode.
    """
    uncached = [row for row, cached in enumerate(batch["cached"]) if not cached]
    inputs = [batch["media"][row] for row in uncached]
    computed = dict(zip(uncached, _tower_features(model, inputs), strict=True)) if uncached else {}
    if cache is not None:
        for row in uncached:
            if batch["keys"][row] is not None:
                cache.put(batch["keys"][row], computed[row] | {"positions": _positions(model, batch, row)})
    # One dictionary a row, computed just now or read from the cache.
    rows = [computed.get(row, tensors) for row, tensors in enumerate(batch["media"])]
    features = [F.dropout(row["features"], dropout, model.model.training) for row in rows]
    if isinstance(model, ImageLanguageModel):
        sizes = torch.stack([row["image_sizes"] for row in rows])
        embeds = llava_next.embed_prompt(model.model, batch["input_ids"], features, sizes)
    else:
        embeds = qwen2_audio.embed_prompt(model.model, batch["input_ids"], features)
    return PromptBatch(embeds, batch["attention_mask"])


@torch.no_grad()
def _tower_features(model: MediaLanguageModel, inputs: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The tower's features of each image or sound, all in one forward."""
    # Without autocast the features are the same for any precision of the run, so runs can share a cache.
    with torch.autocast(model.model.device.type, enabled=False):
        if isinstance(model, ImageLanguageModel):
            tiles = [one["pixel_values"] for one in inputs]  # [tiles, 3, S, S] each, of several numbers of tiles
            features = llava_next.tower_features(model.model, torch.cat(tiles)).split([len(own) for own in tiles])
            return [
                {"features": own, "image_sizes": one["image_sizes"]} for own, one in zip(features, inputs, strict=True)
            ]
        assert isinstance(model, AudioLanguageModel)
        names = ("input_features", "feature_attention_mask")
        mel, mask = (torch.stack([one[name] for one in inputs]) for name in names)
        return [{"features": own} for own in qwen2_audio.tower_features(model.model, mel, mask)]


def _positions(model: MediaLanguageModel, batch: CollatedBatch, row: int) -> Tensor:
    placeholder = model.tokenizer.convert_tokens_to_ids(model.placeholder)
    return (batch["input_ids"][row] == placeholder).sum()


def _captions(samples: Sequence[Sample]) -> Tensor:
    captions = pad_right([sample.caption for sample in samples])
    # A batch without any targets still has one column.
    return captions.long() if captions.shape[1] else torch.full((len(samples), 1), IGNORE_INDEX)
