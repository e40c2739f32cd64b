"""The training step of multiple choice learning: score every example under every hypothesis, weigh, learn.

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
from typing import Any, Literal, get_args

import torch
from peft import LoraConfig
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.errors import OptionsError
from lora_mcl.gate import Balance, CaptionGate
from lora_mcl.objectives import ObjectiveOptions, weighted_loss
from lora_mcl.trainer.base_trainer import Learner
from lora_mcl.trainer.batch import Examples
from lora_mcl.trainer.distributed import of_every_process

Backward = Literal["all", "sampled", "winner"]


@dataclass(frozen=True)
class StepOptions:
    """How a training step computes what the objective asks for.

    Attributes:
        backward: which hypotheses each example's loss is differentiated for, see above. "sampled" learns as well for
            the same examples and better for the same time (``docs/experiments.md``), so it is the default.
        score_with_dropout: whether the scores that decide the assignment feel dropout, as in the paper's code. If
            not, they take a pass of their own for "all"; the other two have one anyway.
        hypotheses_per_forward: at most so many hypotheses at a time, all of them by default. Fewer need less memory
            and give the same result; for "all" each part is then computed again in the backward pass.

    Raises:
        OptionsError: a field is out of range.
    """

    backward: Backward = "sampled"
    score_with_dropout: bool = True
    hypotheses_per_forward: int | None = None

    def __post_init__(self) -> None:
        if self.backward not in get_args(Backward):
            raise OptionsError(f"backward must be one of {', '.join(get_args(Backward))}; got {self.backward!r}")
        if self.hypotheses_per_forward is not None and self.hypotheses_per_forward < 1:
            raise OptionsError(f"hypotheses_per_forward must be at least 1; got {self.hypotheses_per_forward}")


@dataclass(frozen=True)
class MultipleChoiceOutput:
    """One step.

    Attributes:
        loss: what to minimise, a scalar. Its value is always sum_k q_k nll_k (and the gate's loss), averaged; its
            gradient is as ``StepOptions.backward`` says.
        nll: [K, B] mean token NLL of each example under each hypothesis, nats; the scores that decided.
        weights: [K, B] assignment weights q.
        valid: [B] bool; the others have no target tokens and are left out everywhere.
    """

    loss: Tensor
    nll: Tensor
    weights: Tensor
    valid: Tensor


class MultipleChoiceLearner(Learner):
    """Scores every example under every hypothesis and weighs the losses (LoRA-MCL, arXiv 2507.10419).

    Only the adapters and, for the caption gate, the gate train. Ordinary LoRA-MLE is the case K = 1.

    Args:
        model: the frozen base with ``stack`` attached.
        stack: K adapters.
        objective: how examples are assigned to hypotheses.
        gate: for the caption-gate objective with K > 1.
        options: how the step is computed.

    Raises:
        OptionsError: the objective wants a gate and there is none.
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
            tokenizer: tells the caption gate which tokens are not words.
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

    def kept(self) -> dict[str, Tensor]:
        """The adapters' and the gate's tensors, the gate's counts included."""
        gate = {} if self.gate is None else self.gate.state_dict(prefix="gate.")
        # In this order: the gate's own view of its weights is a part of them where processes share them out.
        return {name: tensor.detach() for name, tensor in gate.items()} | super().kept()

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Recompute activations in the backward pass, each with the adapters its forward went through."""
        self.model.activation_checkpointing_enable(self._checkpointing(activation_checkpointing_kwargs), **kwargs)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """The former name of ``activation_checkpointing_enable``, by which older transformers ask for it."""
        self.model.gradient_checkpointing_enable(self._checkpointing(gradient_checkpointing_kwargs), **kwargs)

    def _checkpointing(self, given: dict[str, Any] | None) -> dict[str, Any]:
        settings = {"use_reentrant": False} | (given or {}) | {"context_fn": self.stack.checkpoint_contexts}
        if settings["use_reentrant"]:
            raise OptionsError("use_reentrant must be False: reentrant checkpoints cannot route adapters")
        return settings

    def nll(self, examples: Examples) -> Tensor:
        """[K, B] mean token NLL, hypothesis-major, ``hypotheses_per_forward`` at a time."""
        hypotheses, batch = len(self.stack), len(examples)
        rows = hypothesis_rows(hypotheses, batch).to(examples.labels.device)
        parts = rows.split((self.options.hypotheses_per_forward or hypotheses) * batch)
        if len(parts) == 1 or not torch.is_grad_enabled():
            losses = [self._nll_of_rows(examples, part) for part in parts]
        else:  # only one part's activations are kept at a time: each is recomputed for its backward
            losses = [checkpoint(self._nll_of_rows, examples, part, use_reentrant=False) for part in parts]
        return torch.cat(losses).view(hypotheses, batch)

    def _nll_of_rows(self, examples: Examples, rows: Tensor) -> Tensor:
        """[R] NLL of ``examples`` repeated as often as fits ``rows`` [R], each row under its own adapter."""
        with self.stack.rows(rows):
            return examples.repeat(len(rows) // len(examples)).nll(self.model).mean

    @torch.no_grad()
    def scores(self, examples: Examples) -> Tensor:
        """[K, B] NLL without gradient, to decide the assignment; without dropout if the options say so."""
        with nullcontext() if self.options.score_with_dropout else _evaluating(self.model):
            return self.nll(examples)

    def forward(self, examples: Examples | Callable[[], Examples], step: int, total: int) -> MultipleChoiceOutput:
        """Score, weigh and (in training mode) prepare the gradient for B examples at ``step`` of ``total``.

        Where processes share out the weights (FSDP), these are whole inside this call only: what reads media through
        the model's parts is then called here to make the examples.
        """
        if not isinstance(examples, Examples):
            examples = examples()
        tokens = examples.tokens
        valid = tokens > 0
        # Validations may give processes different numbers of batches; there every process minds its own.
        gather = of_every_process if self.training else None
        log_gate = self.gate(examples.labels, gather) if self.gate is not None else None
        # One hypothesis needs no scores to be assigned everything.
        whole = self.options.backward == "all" or len(self.stack) == 1 or not self.training
        nll = self.nll(examples) if whole else self.scores(examples)
        scores = nll.detach()
        if whole and self.training and not self.options.score_with_dropout and len(self.stack) > 1:
            scores = self.scores(examples)
        weights = torch.ones_like(scores)
        if len(self.stack) > 1:
            weights = self.objective.weights(scores, step, total, log_gate, tokens)
        loss = weighted_loss(nll, weights, valid)
        if not whole:
            drawn = self._draw(weights)
            learned = self._nll_of_rows(examples, drawn)
            # The value of the expected loss, for the logs, with the gradient of the drawn one.
            learned = weighted_loss(learned[None], torch.ones_like(learned[None]), valid)
            loss = learned + (loss - learned).detach()
        if self.gate is not None and log_gate is not None:
            loss = loss + self.gate.loss(log_gate, weights, valid, gather)
        return MultipleChoiceOutput(loss, scores, weights, valid)

    def _draw(self, weights: Tensor) -> Tensor:
        """[B] the one hypothesis each example is learned by."""
        if self.options.backward == "winner":
            return weights.argmax(dim=0)
        return torch.multinomial(weights.T, 1).squeeze(1)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while, then every module's own mode again."""
    in_training = [module for module in model.modules() if module.training]
    for module in in_training:
        module.training = False
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
