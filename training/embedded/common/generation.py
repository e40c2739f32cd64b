"""Caption many media with every column of the comparison, the way the app does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import ColumnRequest, Engine, LogitsOptions
from lora_mcl.models.base import EncodedPrompt, MediaLanguageModel
from lora_mcl.trainer.batch import pad_left

MEDIA_AT_ONCE = 20


def generate(
    media: MediaLanguageModel,
    stack: AdapterStack,
    requests: Sequence[ColumnRequest],
    inputs: Sequence[Any],
    prompt: str,
    max_new_tokens: int,
    no_repeat_ngram_size: int = 0,
) -> Iterator[dict[str, list[str]]]:
    """For each medium (a picture, a clip's samples), every column's captions, best first; several media at once."""
    engine = Engine(media.model, stack, media.eos_token_ids, media.pad_token_id)
    logits_options = LogitsOptions(
        no_repeat_ngram_size=no_repeat_ngram_size, forbidden_token_ids=media.forbidden_token_ids
    )
    for start in range(0, len(inputs), MEDIA_AT_ONCE):
        encoded = [media.encode(one, prompt) for one in inputs[start : start + MEDIA_AT_ONCE]]
        embeds, mask = pad_left([one.inputs_embeds[0] for one in encoded])
        placed = [
            ColumnRequest(f"{number}/{request.id}", request.adapter, request.strategy, prompt=number)
            for number in range(len(encoded))
            for request in requests
        ]
        columns: dict[str, Any] = {}
        with torch.inference_mode():
            for event in engine.decode(
                EncodedPrompt(embeds, mask), placed, max_new_tokens=max_new_tokens, logits_options=logits_options
            ):
                columns |= event.columns
        for number in range(len(encoded)):
            yield {
                request.id: [media.text(c.tokens) for c in columns[f"{number}/{request.id}"]] for request in requests
            }


def column_texts(rows: Sequence[Mapping[str, list[str]]], ids: Sequence[str]) -> list[list[str]]:
    """For each medium, the captions of several columns in one list."""
    return [[text for column in ids for text in row[column]] for row in rows]
