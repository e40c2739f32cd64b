"""Train an embedded base on captions: projector and language model, all annotators mixed, tower frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lora_mcl.trainer.base_trainer import ResumableTrainer, TrainableModule
from lora_mcl.trainer.batch import PromptBatch, caption_nll, shared_prompt_nll
from training.embedded.common.collator import with_dropout


class BaseModule(TrainableModule):
    """Everything but the tower trains, on one caption of each input or on several.

    Args:
        model: the aligned model.
        tower: its media tower, which stays frozen.
        encode: turns a collated batch, whose ``features`` are the tower's cached output, into prompts.
        dropout: share of the features hidden in each step.
    """

    def __init__(
        self,
        model: nn.Module,
        tower: nn.Module,
        encode: Callable[[nn.Module, dict[str, Any]], PromptBatch],
        dropout: float,
    ) -> None:
        super().__init__()
        self.model, self.encode, self.dropout = model, encode, dropout
        model.requires_grad_(True)
        tower.requires_grad_(False)

    def forward(self, **batch: Any) -> Tensor:
        prompts = self.encode(self.model, with_dropout(batch, self.dropout, self.training))
        captions = batch["captions"]  # [B, T], or a list of such: then each prompt is encoded once for all of them
        if isinstance(captions, Tensor):
            return caption_nll(self.model, prompts, captions).mean()
        return torch.stack(shared_prompt_nll(self.model, prompts, captions)).mean()


class BaseTrainer(ResumableTrainer):
    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)
