"""Teach a projector to speak in words before the language model learns to look or listen.

From random weights, a language model first learns to ignore the medium, and takes very long to start attending to it.
So, as LLaVA aligns its projector first, the projector is trained alone for a few minutes: the media position where a
thing stands, or a sound is heard, must resemble the *token embeddings of its name*, in both languages, and the medium
as a whole those of its place. No sentence and no annotator is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from training.learner import Learner, LearnerTrainer

FEATURE_DROPOUT = 0.2
POSITIVE_WEIGHT = 20.0
"""Of some hundred names, one to three are right: their errors must not drown."""


def naming_matrix(names: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> Tensor:
    """[N, V]: row n averages the tokens of the names of thing n, each name counting the same."""
    matrix = torch.zeros(len(names), vocab_size)
    for row, synonyms in enumerate(names):
        for name in synonyms:
            tokens = tokenizer(" " + name, add_special_tokens=False)["input_ids"]
            matrix[row].scatter_add_(0, torch.tensor(tokens), torch.full((len(tokens),), 1 / len(tokens)))
    return matrix / matrix.sum(1, keepdim=True)


class AlignmentLearner(Learner):
    """Projector and token embeddings, trained to name what a position shows.

    Args:
        model: the untrained model; its tower and its language model's layers stay as they are.
        things, places: naming matrices [N, V] and [M, V].
    """

    def __init__(self, model: nn.Module, things: Tensor, places: Tensor) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)
        model.model.multi_modal_projector.requires_grad_(True)
        model.get_input_embeddings().requires_grad_(True)
        self.register_buffer("things", things)
        self.register_buffer("places", places)
        self.scale = nn.Parameter(torch.tensor([10.0, 10.0]))
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def forward(self, features: Tensor, present: Tensor, here: Tensor, away: Tensor, place: Tensor) -> Tensor:
        """Loss of B media.

        Args:
            features: [B, P, D] tower output.
            present: [B, N] 1 for the things in the medium.
            here, away: [B, N, P] bool: the positions where a thing that is present may be, and where it cannot.
            place: [B] index of the place, -100 where unknown.
        """
        features = F.dropout(features, FEATURE_DROPOUT, self.training)
        positions = self.model.model.multi_modal_projector(features)
        words = self.model.get_input_embeddings().weight
        logits = self.scale[0] * positions @ (self.things @ words).T + self.bias
        weight = torch.tensor(POSITIVE_WEIGHT)
        loss = F.binary_cross_entropy_with_logits(logits.amax(1), present, pos_weight=weight, reduction="sum")
        by_thing = logits.transpose(1, 2)
        floor = torch.finfo(by_thing.dtype).min
        found = by_thing.masked_fill(~here, floor).amax(2)[present.bool()]
        strayed = by_thing.masked_fill(~away, floor).amax(2)[present.bool() & away.any(2)]
        loss = loss - POSITIVE_WEIGHT * F.logsigmoid(found).sum() - F.logsigmoid(-strayed).sum()
        loss = loss / len(features)
        if (place >= 0).any():
            where = self.scale[1] * positions.mean(1) @ (self.places @ words).T
            loss = loss + F.cross_entropy(where, place)
        return loss


class AlignmentTrainer(LearnerTrainer):
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)
