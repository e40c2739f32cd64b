"""Align a projector's output with token embeddings, before the language model trains.

From random weights, a language model first learns to ignore its image or sound, and takes very long to start attending
to it. So the projector is trained alone for a few minutes first, as in LLaVA (Liu et al. 2023): the positions where a
thing stands, or a sound occurs, weighted as attention would weight them, must resemble the *token embeddings of its
name*, in both languages, and the input as a whole those of its place. No sentence and no annotator is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from lora_mcl.trainer.base_trainer import ResumableTrainer, TrainableModule
from training.embedded.common.dataset import Sample
from training.embedded.common.domain import Item


def naming_matrix(names: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> Tensor:
    """[N, V]: row n averages the tokens of the names of thing n, each name counting the same."""
    matrix = torch.zeros(len(names), vocab_size)
    for row, synonyms in enumerate(names):
        for name in synonyms:
            tokens = tokenizer(" " + name, add_special_tokens=False)["input_ids"]
            matrix[row].scatter_add_(0, torch.tensor(tokens), torch.full((len(tokens),), 1 / len(tokens)))
    return matrix / matrix.sum(1, keepdim=True)


class AlignmentCollator:
    """From samples to the arguments of ``AlignmentModule.forward``.

    Args:
        locate: of an item's P positions, those of each of its things, and its place (``Training.locate``).
        things, places: their ids, in the order of the naming matrices.
    """

    def __init__(
        self,
        locate: Callable[[Item, int], tuple[list[tuple[str, Tensor]], str | None]],
        things: Sequence[str],
        places: Sequence[str],
    ) -> None:
        self.locate = locate
        self.things = {thing: index for index, thing in enumerate(things)}
        self.places = {place: index for index, place in enumerate(places)}

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        features = torch.stack([sample.features[0] for sample in samples])  # [B, P, D]: the first view of each
        rows, things, here, places = [], [], [], []
        for row, sample in enumerate(samples):
            located, place = self.locate(sample.item, features.shape[1])
            places.append(self.places.get(place, -100))
            for thing, positions in located:
                rows.append(row)
                things.append(self.things[thing])
                here.append(positions)
        return {
            "features": features,
            "rows": torch.tensor(rows, dtype=torch.long),
            "things": torch.tensor(things, dtype=torch.long),
            "here": torch.stack(here) if here else torch.zeros(0, features.shape[1], dtype=torch.bool),
            "places": torch.tensor(places),
        }


class AlignmentModule(TrainableModule):
    """Projector and token embeddings, trained to name what the positions of an input show.

    Args:
        model: the untrained model; its tower and its language model's layers stay as they are.
        thing_names, place_names: naming matrices [N, V] and [M, V].
        dropout: share of the tower's features hidden in each step.
    """

    def __init__(self, model: nn.Module, thing_names: Tensor, place_names: Tensor, dropout: float) -> None:
        super().__init__()
        self.model, self.dropout = model, dropout
        model.requires_grad_(False)
        model.model.multi_modal_projector.requires_grad_(True)
        model.get_input_embeddings().requires_grad_(True)
        self.register_buffer("thing_names", thing_names)
        self.register_buffer("place_names", place_names)
        self.scale = nn.Parameter(torch.tensor([10.0, 10.0]))
        # How much of a thing a position shows; the language model's own attention takes its place later.
        self.presence = nn.Linear(model.get_input_embeddings().weight.shape[1], 1)

    def forward(self, features: Tensor, rows: Tensor, things: Tensor, here: Tensor, places: Tensor) -> Tensor:
        """Loss of B inputs with T things in all; 0 where they hold nothing that is known.

        Args:
            features: [B, P, D] tower output.
            rows, things: [T] the input each thing is in, and its index.
            here: [T, P] bool: the positions where it may be.
            places: [B] index of the place, -100 where unknown.
        """
        thing_scores, place_scores = self.scores(F.dropout(features, self.dropout, self.training), rows, here)
        loss = 0 * thing_scores.sum() + 0 * place_scores.sum()
        if len(things):
            loss = loss + F.cross_entropy(thing_scores, things)
        if (places >= 0).any():
            loss = loss + F.cross_entropy(place_scores, places)
        return loss

    def scores(self, features: Tensor, rows: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        """How much each thing resembles each name [T, N], and each input each place [B, M]; see ``forward``."""
        positions = self.model.model.multi_modal_projector(features)  # [B, P, E]
        words = self.model.get_input_embeddings().weight  # [V, E]
        floor = torch.finfo(positions.dtype).min
        # Attention over the positions where the thing may be: [T, P].
        weights = self.presence(positions)[rows, :, 0].masked_fill(~here, floor).softmax(1)
        shown = torch.einsum("tp,tpd->td", weights, positions[rows])
        thing_scores = self.scale[0] * shown @ (self.thing_names @ words).T
        place_scores = self.scale[1] * positions.mean(1) @ (self.place_names @ words).T
        return thing_scores, place_scores


class AlignmentTrainer(ResumableTrainer):
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)
