"""The NLL of every test caption under every adapter."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.models.llava_next import ImageLanguageModel
from training.captions import caption_nll
from training.image.batches import VisitCollator, encode_prompts
from training.image.grammar import MODES, Grammar
from training.image.visits import CachedPictures, Visit

BATCH = 20


def test_caption(grammar: Grammar, pictures: CachedPictures, index: int, mode: str) -> str:
    """The reference caption of a test picture by one annotator: always the same."""
    return grammar.caption(pictures.items[index].scene, mode, random.Random(f"test/{index}/{mode}"))


@torch.inference_mode()
def likelihoods(media: ImageLanguageModel, stack: AdapterStack, pictures: CachedPictures, grammar: Grammar) -> Tensor:
    """Mean token NLL [A, M, N]: A adapters of the stack, M modes, N pictures."""
    collate = VisitCollator(media)
    nll = torch.empty(len(stack), len(MODES), len(pictures))
    for start in range(0, len(pictures), BATCH):
        indices = range(start, min(start + BATCH, len(pictures)))
        for m, mode in enumerate(MODES):
            visits = [
                Visit(
                    pictures.patches(i),
                    pictures.items[i].image_size,
                    test_caption(grammar, pictures, i, mode),
                    mode,
                    pictures.items[i].scene,
                )
                for i in indices
            ]
            batch = collate(visits)
            prompts = encode_prompts(media.model, batch)
            with stack.rows(hypothesis_rows(len(stack), len(visits))):
                flat = caption_nll(media.model, prompts.repeat(len(stack)), batch["captions"].repeat(len(stack), 1))
            nll[:, m, start : start + len(visits)] = flat.view(len(stack), len(visits)).cpu()
    return nll
