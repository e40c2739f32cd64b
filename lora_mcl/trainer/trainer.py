"""The Trainer of multiple choice learning: transformers' own, around a ``MultipleChoiceLearner``.

learner = MultipleChoiceLearner.attach(model, LoraConfig(r=8, target_modules="all-linear"), hypotheses=3)
MultipleChoiceTrainer(learner, TrainingArguments("run"), train_dataset=data, data_collator=collator).train()
save_bundle_of(learner, "bundle")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from lora_mcl.errors import OptionsError
from lora_mcl.trainer.assignment_stats import AssignmentStats
from lora_mcl.trainer.base_trainer import ResumableTrainer
from lora_mcl.trainer.batch import Batch, PromptBatch
from lora_mcl.trainer.step import MultipleChoiceLearner, MultipleChoiceOutput

CollatedBatch = dict[str, Any]
"""What a data collator makes."""


class MultipleChoiceTrainer(ResumableTrainer):
    """Trains a ``MultipleChoiceLearner``; all of transformers' ``TrainingArguments`` apply but label smoothing.

    The loss of a batch is a mean over its examples, as in the paper, not over tokens; gradient accumulation
    and several processes give the same mean. ``evaluate`` reports the paper's test loss, each example's least NLL over
    hypotheses, as ``eval_loss``.

    Args:
        model: the learner, which holds the frozen model.
        args: transformers' settings.
        encode_prompts: turns a collated batch that has ``captions`` [B, T] into encoded prompts, media included.
        prepare_batch: turns any other collated batch into a ``Batch``. Without either, batches are what transformers'
            collators make (``input_ids``, ``attention_mask``, ``labels``, ...). Both run without gradient, once per
            batch for any K: what they encode (a media tower) must not carry adapters.
        gate_learning_rate: the gate is a single linear layer from a random start and must decide early, so
            it learns faster than the adapters.
        dead_after: warn of a hypothesis that won none of this many examples in a row; by default 100 per hypothesis.
        kwargs: other arguments of transformers' ``Trainer`` (datasets, collator, callbacks, ...).

    Raises:
        OptionsError: options that contradict each other or cannot be honoured.
    """

    def __init__(
        self,
        model: MultipleChoiceLearner,
        args: TrainingArguments,
        *,
        encode_prompts: Callable[[CollatedBatch], PromptBatch] | None = None,
        prepare_batch: Callable[[CollatedBatch], Batch] | None = None,
        gate_learning_rate: float = 3e-2,
        dead_after: int | None = None,
        **kwargs: Any,
    ) -> None:
        if encode_prompts is not None and prepare_batch is not None:
            raise OptionsError("give encode_prompts or prepare_batch, not both")
        if (encode_prompts or prepare_batch) and args.remove_unused_columns:
            raise OptionsError(
                "encode_prompts and prepare_batch read batches of their own kind: remove_unused_columns=False"
            )
        if args.neftune_noise_alpha is not None:
            raise OptionsError(
                "neftune_noise_alpha is not supported: hypotheses are compared by the likelihood of a batch"
            )
        if args.label_smoothing_factor:
            raise OptionsError("label_smoothing_factor is not supported: hypotheses are compared by their likelihood")
        super().__init__(model, args, **kwargs)
        if self.args.n_gpu > 1:  # by now 1 for a model that is itself spread over several
            raise OptionsError("several GPUs need one process each: start with `accelerate launch` or `torchrun`")
        self.encode_prompts, self.prepare_batch, self.gate_learning_rate = (
            encode_prompts,
            prepare_batch,
            gate_learning_rate,
        )
        hypotheses = len(model.stack)
        self._train_stats = AssignmentStats(hypotheses, dead_after or 100 * hypotheses)
        self._eval_stats = AssignmentStats(hypotheses)

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:  # what the frozen model reads, not the learner around it
            self._signature_columns = [*inspect.signature(self.model.model.forward).parameters, "label", "label_ids"]

    @torch.no_grad()
    def _make_batch(self, inputs: CollatedBatch) -> Batch:
        if self.encode_prompts is not None:
            return self.encode_prompts(inputs).with_captions(self.model.model, inputs["captions"])
        return Batch.from_collated(inputs) if self.prepare_batch is None else self.prepare_batch(inputs)

    def get_batch_samples(
        self, epoch_iterator: Iterator[CollatedBatch], num_batches: int, device: torch.device
    ) -> tuple[list[CollatedBatch], Tensor | None]:
        """The micro-batches of one step, and how many examples with targets they hold, over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = [_count_with_targets(batch) for batch in batches]
        if not counts or any(count is None for count in counts):
            return batches, None
        return batches, self.accelerator.reduce(sum(counts).to(device), "sum")

    def compute_loss(
        self,
        model: nn.Module,
        inputs: CollatedBatch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, MultipleChoiceOutput]:
        output = model(partial(self._make_batch, inputs), self.state.global_step, self.state.max_steps)
        self._train_stats.update(output)
        loss = output.loss
        if num_items_in_batch is not None:
            # ``loss`` is a mean over this micro-batch's valid examples; the step's is over the N valid examples of all
            # micro-batches and P processes, whose gradients are averaged; this gives the factor valid * P / N.
            share = output.valid.sum() * self.accelerator.num_processes / num_items_in_batch.clamp_min(1)
            loss = loss * share
        return (loss, output) if return_outputs else loss

    @torch.no_grad()
    def prediction_step(
        self, model: nn.Module, inputs: CollatedBatch, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor, None, None]:
        """The mean over examples of the least NLL over hypotheses; no logits are kept."""
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            output = model(partial(self._make_batch, inputs), self.state.global_step, max(self.state.max_steps, 1))
        self._eval_stats.update(output)
        best = output.nll.amin(dim=0) * output.valid
        return best.sum() / output.valid.sum().clamp_min(1), None, None

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """transformers' loop; each hypothesis' NLL and wins are added to its metrics."""
        self._eval_stats = AssignmentStats(len(self.model.stack))
        result = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        figures = self._eval_stats.compute_and_reset(self.accelerator)
        result.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in figures.items()})
        result.metrics[f"{metric_key_prefix}_loss"] = figures.get("best_nll", float("nan"))
        return result

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """The optimizer of ``TrainingArguments.optim``, with one learning rate for adapters and one for the gate."""
        if self.optimizer is None:
            optimizer_class, settings = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args)
            named = list(self.model.trainable_parameters())
            groups = [
                {"params": [w for n, w in named if not n.startswith("gate.")], "lr": self.args.learning_rate},
                {"params": [w for n, w in named if n.startswith("gate.")], "lr": self.gate_learning_rate},
            ]
            groups = [group | {"weight_decay": self.args.weight_decay} for group in groups if group["params"]]
            self.optimizer = optimizer_class(groups, **settings)
        return self.optimizer

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """transformers' log; with a training loss also the assignment's figures and temperature."""
        if "loss" in logs:
            logs = logs | self._train_stats.compute_and_reset(self.accelerator)
            objective, last = self.model.objective, self.state.global_step - 1
            if objective.name in ("annealed", "caption-gate"):
                logs["temperature"] = objective.temperature.at(last, self.state.max_steps)
        super().log(logs, *args, **kwargs)


def _count_with_targets(batch: CollatedBatch) -> Tensor | None:
    """Examples of a batch that have target tokens, or None if it holds no labels."""
    if "captions" in batch:
        return (batch["captions"] >= 0).any(dim=1).sum()
    if isinstance(batch.get("labels"), Tensor):
        return (batch["labels"][:, 1:] >= 0).any(dim=1).sum()
    return None
