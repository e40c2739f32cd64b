"""The training step of multiple choice learning: score each example under each hypothesis, assign, compute the loss.

What costs time and memory is K forwards *and* K backwards for each example. Scoring needs no gradient, and most of the
K losses have little or no weight, so ``StepOptions.backward`` can restrict the backward pass to one hypothesis per
example. With assignment weights q and detached scores, for each example

    "all"      sum_k q_k grad nll_k                         K forwards, K backwards
    "sampled"  grad nll_k for one k drawn from q            K forwards without gradient, 1 forward, 1 backward
    "winner"   grad nll_k for the k of largest q            the same

"sampled" is an unbiased estimate of "all": E[grad nll_k] = sum_k q_k grad nll_k. "winner" equals it where q has one
entry of 1, as in winner-takes-all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.errors import OptionsError
from lora_mcl.gate import Balance, CaptionGate
from lora_mcl.objectives import ObjectiveOptions, weighted_loss
from lora_mcl.option_checks import Count, check_fields
from lora_mcl.trainer.base_trainer import TrainableModule
from lora_mcl.trainer.batch import Batch
from lora_mcl.trainer.distributed import all_gather
from lora_mcl.trainer.divergence import require_finite_loss

Backward = Literal["all", "sampled", "winner"]


@dataclass(frozen=True)
class StepOptions:
    """How a training step computes the gradient of the objective.

    Attributes:
        backward: which hypotheses each example's loss is differentiated for, see above. "sampled" learns as well for
            the same examples and better for the same time (``docs/experiments.md``), so it is the default.
        score_with_dropout: whether the scores that decide the assignment are computed with dropout, as in the paper's
            code. If not, they take a pass of their own for "all"; the other two have one anyway.
        hypotheses_per_forward: at most so many hypotheses at a time, all of them by default. Fewer need less memory
            and give the same result; for "all" each part is then computed again in the backward pass.

    Raises:
        OptionsError: a field is out of range.
    """

    backward: Backward = "sampled"
    score_with_dropout: bool = True
    hypotheses_per_forward: Count | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class MultipleChoiceOutput:
    """Loss, scores and assignment of one batch.

    Attributes:
        loss: scalar to minimise. Its value is always sum_k q_k nll_k (and the gate's loss), averaged; its
            gradient depends on ``StepOptions.backward``.
        nll: [K, B] mean token NLL of each example under each hypothesis, nats; the scores that decided the assignment.
        weights: [K, B] assignment weights q.
        valid: [B] bool: the example has target tokens; the others are left out of every mean.
    """

    loss: Tensor
    nll: Tensor
    weights: Tensor
    valid: Tensor


class MultipleChoiceLearner(TrainableModule):
    """K adapters on a frozen model with the multiple choice loss (LoRA-MCL, arXiv 2507.10419).

    Only the adapters and, for the caption gate, the gate train. Ordinary LoRA-MLE is the case K = 1. Calling it is one
    training step's forward: see ``forward``.

    Args:
        model: the frozen base with ``stack`` attached.
        stack: K adapters.
        objective: how examples are assigned to hypotheses.
        gate: for the caption-gate objective with K > 1.
        options: how the step is computed.

    Raises:
        OptionsError: the objective needs a gate and there is none.
    """

    accepts_loss_kwargs = True
    """The trainer counts the examples of an accumulated batch and scales the loss by them."""

    def __init__(
        self,
        model: nn.Module,
        stack: AdapterStack,
        objective: ObjectiveOptions,
        gate: CaptionGate | None = None,
        options: StepOptions = StepOptions(),
    ) -> None:
        super().__init__()
        if objective.needs_gate and gate is None and len(stack) > 1:
            raise OptionsError(f"the {objective.name} objective needs a gate")
        self.model, self.stack, self.objective, self.gate, self.options = model, stack, objective, gate, options
        # Only a model that transformers has spread over devices has this; the Trainer then leaves it where it is.
        if placed := getattr(model, "hf_device_map", None):
            self.hf_device_map = placed

    @classmethod
    def attach(
        cls,
        model: PreTrainedModel,
        config: LoraConfig,
        hypotheses: int,
        objective: ObjectiveOptions | None = None,
        *,
        options: StepOptions = StepOptions(),
        tokenizer: PreTrainedTokenizerBase | None = None,
        balance: Balance = "uniform",
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> MultipleChoiceLearner:
        """K new adapters on ``model``, as PEFT would make them from ``config``, ready to train.

        Args:
            model: any causal language model; frozen, and changed in place.
            hypotheses: K; 1 is ordinary LoRA.
            objective: by default the caption gate with its default options.
            tokenizer: its special tokens are left out of the caption gate's counts.
            balance: of the caption gate, see there.
            dtype: of the adapters.
            generator: source of the initial draws; the global one by default.

        Raises:
            OptionsError: ``config`` cannot be honoured (the field is named), or ``hypotheses`` is less than 1.
        """
        objective = ObjectiveOptions() if objective is None else objective
        stack = AdapterStack.from_lora_config(model, config, hypotheses, dtype=dtype, generator=generator)
        gate = None
        if objective.needs_gate and hypotheses > 1:
            gate = CaptionGate(
                model.get_input_embeddings().num_embeddings,
                hypotheses,
                balance=balance,
                excluded_token_ids=[] if tokenizer is None else tokenizer.all_special_ids,
                generator=generator,
            ).to(model.device)
        return cls(model, stack, objective, gate, options)

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """The adapters' and the gate's tensors, by name, the gate's counts included."""
        gate = {} if self.gate is None else self.gate.state_dict(prefix="gate.")
        # In this order: where weights are sharded, the gate's state dict holds a shard, super()'s the full tensor.
        return {name: tensor.detach() for name, tensor in gate.items()} | super().trainable_state_dict()

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Recompute activations in the backward pass, each with the adapters its forward went through."""
        self.model.activation_checkpointing_enable(self._checkpointing(activation_checkpointing_kwargs), **kwargs)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """The name of ``activation_checkpointing_enable`` in older transformers."""
        self.model.gradient_checkpointing_enable(self._checkpointing(gradient_checkpointing_kwargs), **kwargs)

    def _checkpointing(self, kwargs: dict[str, Any] | None) -> dict[str, Any]:
        settings = {"use_reentrant": False} | (kwargs or {}) | {"context_fn": self.stack.checkpoint_contexts}
        if settings["use_reentrant"]:
            raise OptionsError("use_reentrant must be False: reentrant checkpoints cannot route adapters")
        return settings

    def nll(self, batch: Batch) -> Tensor:
        """[K, B] mean token NLL of each example under each hypothesis, ``hypotheses_per_forward`` at a time."""
        hypotheses, size = len(self.stack), len(batch)
        rows = hypothesis_rows(hypotheses, size).to(batch.labels.device)  # [K * B], row k * B + b under adapter k
        parts = rows.split((self.options.hypotheses_per_forward or hypotheses) * size)
        if len(parts) == 1 or not torch.is_grad_enabled():
            losses = [self._nll_of_rows(batch, part) for part in parts]
        else:  # only one part's activations are kept at a time: each is recomputed for its backward
            losses = [checkpoint(self._nll_of_rows, batch, part, use_reentrant=False) for part in parts]
        return torch.cat(losses).view(hypotheses, size)

    def _nll_of_rows(self, batch: Batch, rows: Tensor) -> Tensor:
        """[R] NLL of ``batch`` repeated R / B times, row r under adapter ``rows[r]``; R is a multiple of B."""
        with self.stack.rows(rows):
            return batch.repeat(len(rows) // len(batch)).nll(self.model).mean

    @torch.no_grad()
    def scores(self, batch: Batch) -> Tensor:
        """[K, B] NLL without gradient, to decide the assignment; dropout only with ``score_with_dropout``."""
        with nullcontext() if self.options.score_with_dropout else _eval_mode(self.model):
            return self.nll(batch)

    def forward(self, batch: Batch | Callable[[], Batch], step: int, total: int) -> MultipleChoiceOutput:
        """Loss of B examples at ``step`` of ``total``, with its gradient in training mode.

        Args:
            batch: or what makes it, called here. Where weights are sharded (FSDP), they are gathered inside this call
                only, and making the batch may run parts of the model (a media tower).

        Raises:
            DivergenceError: the gate's weights are not finite, so that no hypothesis can be drawn.
        """
        if not isinstance(batch, Batch):
            batch = batch()
        num_targets = batch.num_targets  # [B]
        valid = num_targets > 0
        # In evaluation, processes may have different numbers of batches, and a collective would wait for ever.
        gather = all_gather if self.training else None
        log_gate = self.gate(batch.labels, gather) if self.gate is not None else None  # [K, B]

        # 1. Scores [K, B]. They carry the gradient where all hypotheses are learned from, or none is. A single
        #    hypothesis needs no scores to be assigned every example.
        backward_all = self.options.backward == "all" or len(self.stack) == 1 or not self.training
        nll = self.nll(batch) if backward_all else self.scores(batch)
        scores = nll.detach()
        if backward_all and self.training and not self.options.score_with_dropout and len(self.stack) > 1:
            scores = self.scores(batch)  # a pass of its own: ``nll`` was computed with dropout

        # 2. Assignment weights q [K, B]: constants, no gradient goes through them; each column sums to 1.
        weights = torch.ones_like(scores)
        if len(self.stack) > 1:
            weights = self.objective.weights(scores, step, total, log_gate, num_targets)

        # 3. Loss sum_k q_k nll_k, averaged over valid examples.
        loss = weighted_loss(nll, weights, valid)
        if not backward_all:
            require_finite_loss(weights, step)  # a gate that has diverged: nothing could be drawn
            drawn = self._draw_hypotheses(weights)  # [B]
            drawn_nll = self._nll_of_rows(batch, drawn)  # [B], row b under the adapter drawn for example b
            drawn_loss = weighted_loss(drawn_nll[None], torch.ones_like(drawn_nll[None]), valid)
            # The value of the expected loss, for the logs, with the gradient of the drawn one.
            loss = drawn_loss + (loss - drawn_loss).detach()
        if self.gate is not None and log_gate is not None:
            loss = loss + self.gate.loss(log_gate, weights, valid, gather)
        return MultipleChoiceOutput(loss, scores, weights, valid)

    def _draw_hypotheses(self, weights: Tensor) -> Tensor:
        """[B] the one hypothesis each example is learned by: the likeliest ("winner") or a draw from [K, B]."""
        if self.options.backward == "winner":
            return weights.argmax(dim=0)
        return torch.multinomial(weights.T, 1).squeeze(1)  # multinomial draws along rows: [B, K] -> [B, 1]


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block, then every module's own mode again."""
    in_training = [module for module in model.modules() if module.training]
    for module in in_training:
        module.training = False
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
