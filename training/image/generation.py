"""Caption test pictures with every column of the comparison and score what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from PIL import Image

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import ColumnRequest, Engine, LogitRules
from lora_mcl.metrics import diversity
from lora_mcl.models.llava_next import EncodedPrompt, ImageLanguageModel
from training.captions import left_padded
from training.image.reader import Reader
from training.image.scene import Scene
from training.image.scoring import Score, score

MEDIA_AT_ONCE = 20


def generate(
    media: ImageLanguageModel,
    stack: AdapterStack,
    requests: Sequence[ColumnRequest],
    images: Sequence[Image.Image],
    prompt: str,
    max_new_tokens: int,
) -> Iterator[dict[str, list[str]]]:
    """For each picture, every column's captions, best first; the way the app does it, several pictures at once."""
    engine = Engine(media.model, stack, media.eos_token_ids, media.pad_token_id)
    rules = LogitRules(forbidden_token_ids=media.forbidden_token_ids)
    for start in range(0, len(images), MEDIA_AT_ONCE):
        encoded = [media.encode(image, prompt) for image in images[start : start + MEDIA_AT_ONCE]]
        embeds, mask = left_padded([one.inputs_embeds[0] for one in encoded])
        placed = [
            ColumnRequest(f"{number}/{request.id}", request.adapter, request.strategy, medium=number)
            for number in range(len(encoded))
            for request in requests
        ]
        columns = {}
        with torch.inference_mode():
            for event in engine.decode(EncodedPrompt(embeds, mask), placed, max_new_tokens=max_new_tokens, rules=rules):
                columns |= event.columns
        for number in range(len(encoded)):
            yield {
                request.id: [media.text(c.tokens) for c in columns[f"{number}/{request.id}"]] for request in requests
            }


@dataclass(frozen=True)
class ScoredCaption:
    text: str
    mode: str | None
    score: Score

    @property
    def f1(self) -> float:
        total = self.score.recall + self.score.precision
        return 2 * self.score.recall * self.score.precision / total if total else 0.0


def read_captions(reader: Reader, scene: Scene, texts: Sequence[str]) -> list[ScoredCaption]:
    """Each text with its reading's mode and its score against the scene."""
    readings = [reader.read(text) for text in texts]
    return [
        ScoredCaption(text, reading.mode, score(scene, reading)) for text, reading in zip(texts, readings, strict=True)
    ]


def hypothesis_report(captions: Sequence[ScoredCaption], mode: str) -> dict[str, float | None]:
    """One hypothesis over all pictures; ``in_mode`` is how often it speaks as its mode's annotator does."""
    return {
        "in_mode": mean(c.mode == mode for c in captions),
        "recall": mean(c.score.recall for c in captions),
        "precision": mean(c.score.precision for c in captions),
        "place_right": mean(c.score.place_right for c in captions),
        "count_right": mean(c.score.count_right for c in captions if c.score.count_right is not None),
    }


def set_report(sets: Sequence[Sequence[ScoredCaption]]) -> dict[str, dict[str, float | None]]:
    """Several captions a picture: the best of them (by object F1), their mean, and the worst.

    Place and count are judged on their own: the best set member at each, since a short caption names no place.
    """
    best = [max(captions, key=lambda c: c.f1) for captions in sets]
    worst = [min(captions, key=lambda c: c.f1) for captions in sets]
    counts = [[c.score.count_right for c in captions if c.score.count_right is not None] for captions in sets]
    counts = [values for values in counts if values]
    return {
        "best": {
            "recall": mean(c.score.recall for c in best),
            "precision": mean(c.score.precision for c in best),
            "place_right": mean(any(c.score.place_right for c in captions) for captions in sets),
            "count_right": mean(max(values) for values in counts),
        },
        "mean": {
            "recall": mean(c.score.recall for captions in sets for c in captions),
            "precision": mean(c.score.precision for captions in sets for c in captions),
            "place_right": mean(c.score.place_right for captions in sets for c in captions),
            "count_right": mean(value for values in counts for value in values),
        },
        "worst": {
            "recall": mean(c.score.recall for c in worst),
            "precision": mean(c.score.precision for c in worst),
            "place_right": mean(all(c.score.place_right for c in captions) for captions in sets),
            "count_right": mean(min(values) for values in counts),
        },
    }


def diversity_report(sets: Sequence[Sequence[str]]) -> dict[str, float | None]:
    """Mean over pictures of each picture's diversity."""
    values = [diversity(captions) for captions in sets]
    return {
        "distinct_1": mean(v.distinct_1 for v in values),
        "distinct_2": mean(v.distinct_2 for v in values),
        "mutual_bleu": mean(v.mutual_bleu for v in values),
    }


def column_texts(rows: Sequence[Mapping[str, list[str]]], ids: Sequence[str]) -> list[list[str]]:
    """For each picture, the captions of several columns in one list."""
    return [[text for column in ids for text in row[column]] for row in rows]


def mean(values: Iterable[float]) -> float | None:
    """None where there is nothing to average: no caption named a thing rightly, so none could count it."""
    found = [float(value) for value in values]
    return round(fmean(found), 4) if found else None
