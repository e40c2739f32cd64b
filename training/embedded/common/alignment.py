"""Teach a projector to speak in words before the language model learns to look or listen.

From random weights, a language model first learns to ignore the medium, and takes very long to start attending to it.
So, as LLaVA aligns its projector first, the projector is trained alone for a few minutes: the positions where a thing
stands, or a sound is heard, weighed as attention would weigh them, must resemble the *token embeddings of its name*, in
both languages, and the medium as a whole those of its place. No sentence and no annotator is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from lora_mcl.trainer.base_trainer import ResumableTrainer, TrainableModule


def naming_matrix(names: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> Tensor:
    """[N, V]: row n averages the tokens of the names of thing n, each name counting the same."""
    matrix = torch.zeros(len(names), vocab_size)
    for row, synonyms in enumerate(names):
        for name in synonyms:
            tokens = tokenizer(" " + name, add_special_tokens=False)["input_ids"]
            matrix[row].scatter_add_(0, torch.tensor(tokens), torch.full((len(tokens),), 1 / len(tokens)))
    return matrix / matrix.sum(1, keepdim=True)


class AlignmentLearner(TrainableModule):
    """Projector and token embeddings, trained to name what the positions of a medium show.

    Args:
        model: the untrained model; its tower and its language model's layers stay as they are.
        things, places: naming matrices [N, V] and [M, V].
        dropout: share of the tower's features hidden in each step.
    """

    def __init__(self, model: nn.Module, things: Tensor, places: Tensor, dropout: float) -> None:
        super().__init__()
        self.model, self.dropout = model, dropout
        model.requires_grad_(False)
        model.model.multi_modal_projector.requires_grad_(True)
        model.get_input_embeddings().requires_grad_(True)
        self.register_buffer("things", things)
        self.register_buffer("places", places)
        self.scale = nn.Parameter(torch.tensor([10.0, 10.0]))
        # Says how much of a thing a position shows; the language model's own attention takes its place later.
        self.presence = nn.Linear(model.get_input_embeddings().weight.shape[1], 1)

    def forward(self, features: Tensor, medium: Tensor, thing: Tensor, here: Tensor, place: Tensor) -> Tensor:
        """Loss of B media with T things in all; 0 where they hold nothing that is known.

        Args:
            features: [B, P, D] tower output.
            medium, thing: [T] the medium each thing is in, and its index.
            here: [T, P] bool: the positions where it may be.
            place: [B] index of the place, -100 where unknown.
        """
        what, where = self.scores(F.dropout(features, self.dropout, self.training), medium, here)
        loss = 0 * what.sum() + 0 * where.sum()
        if len(thing):
            loss = loss + F.cross_entropy(what, thing)
        if (place >= 0).any():
            loss = loss + F.cross_entropy(where, place)
        return loss

    def scores(self, features: Tensor, medium: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        """How much each thing resembles each name [T, N], and each medium each place [B, M]; see ``forward``."""
        positions = self.model.model.multi_modal_projector(features)
        words = self.model.get_input_embeddings().weight
        floor = torch.finfo(positions.dtype).min
        weights = self.presence(positions)[medium, :, 0].masked_fill(~here, floor).softmax(1)
        shown = torch.einsum("tp,tpd->td", weights, positions[medium])
        what = self.scale[0] * shown @ (self.things @ words).T
        where = self.scale[1] * positions.mean(1) @ (self.places @ words).T
        return what, where


class AlignmentTrainer(ResumableTrainer):
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)
