"""The NLL of every test caption under every adapter."""

from __future__ import annotations

import random

from torch import Tensor

from lora_mcl.adapters import AdapterStack
from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common import likelihood
from training.embedded.image.batches import Batch, VisitCollator, encode_prompts
from training.embedded.image.captions.grammar import MODES, Grammar
from training.embedded.image.visits import CachedPictures, Visit


def test_caption(grammar: Grammar, pictures: CachedPictures, index: int, mode: str) -> str:
    """The reference caption of a test picture by one annotator: always the same."""
    return grammar.caption(pictures.items[index].scene, mode, random.Random(f"test/{index}/{mode}"))


def likelihoods(media: ImageLanguageModel, stack: AdapterStack, pictures: CachedPictures, grammar: Grammar) -> Tensor:
    """Mean token NLL [A, M, N]: A adapters of the stack, M modes, N pictures."""
    collate = VisitCollator(media)

    def batch_of(numbers: range, mode: str) -> Batch:
        return collate(
            [
                Visit(
                    pictures.patches(i),
                    pictures.items[i].image_size,
                    test_caption(grammar, pictures, i, mode),
                    mode,
                    pictures.items[i].scene,
                )
                for i in numbers
            ]
        )

    return likelihood.likelihoods(media.model, stack, MODES, len(pictures), batch_of, encode_prompts)
