"""Multiple-choice learning of K adapters on a frozen model: the module and its Trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.errors import OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.objectives import ObjectiveOptions, assignment_entropy, weighted_loss, winner_counts
from training.captions import PromptBatch, caption_nll
from training.learner import Learner, LearnerTrainer


@dataclass(frozen=True)
class MultipleChoiceOutput:
    """One training forward.

    Attributes:
        loss: what to minimise, a scalar.
        nll: [K, B] mean token NLL of each example under each hypothesis, nats.
        weights: [K, B] assignment weights q.
    """

    loss: Tensor
    nll: Tensor
    weights: Tensor


class MultipleChoiceLearner(Learner):
    """Scores every caption under every hypothesis and weighs the losses (LoRA-MCL, arXiv 2507.10419).

    Only the adapters and, for the caption gate, the gate train. Ordinary LoRA-MLE is the case K = 1.

    Args:
        model: the frozen base with ``stack`` attached.
        stack: K adapters.
        objective: how examples are assigned to hypotheses.
        gate: for the caption-gate objective.

    Raises:
        OptionsError: the objective wants a gate and there is none.
    """

    def __init__(
        self,
        model: nn.Module,
        stack: AdapterStack,
        objective: ObjectiveOptions,
        gate: CaptionGate | None = None,
    ) -> None:
        super().__init__()
        if objective.needs_gate and gate is None:
            raise OptionsError(f"the {objective.name} objective needs a gate")
        self.model, self.stack, self.objective, self.gate = model, stack, objective, gate

    def kept(self) -> dict[str, Tensor]:
        """The adapters' and the gate's tensors, the gate's token counts included."""
        buffers = dict(self.gate.named_buffers(prefix="gate")) if self.gate is not None else {}
        return super().kept() | buffers

    def nll(self, prompts: PromptBatch, captions: Tensor) -> Tensor:
        """[K, B] mean token NLL; all hypotheses in one forward, hypothesis-major."""
        hypotheses = len(self.stack.names)
        with self.stack.rows(hypothesis_rows(hypotheses, len(captions))):
            nll = caption_nll(self.model, prompts.repeat(hypotheses), captions.repeat(hypotheses, 1))
        return nll.view(hypotheses, len(captions))

    def forward(self, prompts: PromptBatch, captions: Tensor, step: int, total: int) -> MultipleChoiceOutput:
        """Score and weigh B captions [B, T] (-100 padded) at ``step`` of ``total``."""
        nll = self.nll(prompts, captions)
        log_gate = self.gate(captions) if self.gate is not None else None
        weights = self.objective.weights(nll.detach(), step, total, log_gate)
        loss = weighted_loss(nll, weights)
        if self.gate is not None and log_gate is not None:
            loss = loss + self.gate.loss(log_gate, weights)
        return MultipleChoiceOutput(loss, nll, weights)


class MultipleChoiceTrainer(LearnerTrainer):
    """Trains a ``MultipleChoiceLearner``.

    Args:
        prompts_of: turns a collated batch into encoded prompts, media included; it runs without gradient,
            once per batch whatever K.
        gate_learning_rate: the gate is a single linear layer from a random start and must decide early, so
            it learns faster than the adapters.
    """

    def __init__(
        self,
        *args: Any,
        prompts_of: Callable[[dict[str, Tensor]], PromptBatch],
        gate_learning_rate: float = 3e-2,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.prompts_of, self.gate_learning_rate = prompts_of, gate_learning_rate
        self._last: MultipleChoiceOutput | None = None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, MultipleChoiceOutput]:
        with torch.no_grad():
            prompts = self.prompts_of(inputs)
        output = model(prompts, inputs["captions"], self.state.global_step, self.state.max_steps)
        self._last = MultipleChoiceOutput(output.loss.detach(), output.nll.detach(), output.weights)
        return (output.loss, output) if return_outputs else output.loss

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        if self.optimizer is None:
            named = list(self.model.trainable())
            groups = [
                {"params": [w for n, w in named if not n.startswith("gate.")], "lr": self.args.learning_rate},
                {"params": [w for n, w in named if n.startswith("gate.")], "lr": self.gate_learning_rate},
            ]
            self.optimizer = torch.optim.AdamW(
                [group for group in groups if group["params"]],
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                eps=self.args.adam_epsilon,
                weight_decay=self.args.weight_decay,
            )
        return self.optimizer

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if self._last is not None and "loss" in logs:
            counts = winner_counts(-self._last.nll)
            logs = logs | {f"wins_{k}": float(count) for k, count in enumerate(counts)}
            logs["assignment_entropy"] = float(assignment_entropy(self._last.weights))
            logs["best_nll"] = float(self._last.nll.min(0).values.mean())
        super().log(logs, *args, **kwargs)
