"""The Trainer of a run, with what it logs, and advice when memory is not enough."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lora_mcl.trainer.trainer import CollatedBatch, MultipleChoiceTrainer
from training.run.options import TrainConfig
from training.run.progress import peak_memory


class RunTrainer(MultipleChoiceTrainer):
    """Also logs peak memory and the number of media that could not be read."""

    positions = 0
    """Positions of this process' training batches since it started, counted once for any K."""

    def compute_loss(self, model: nn.Module, inputs: CollatedBatch, *args: Any, **kwargs: Any) -> Any:
        self.positions += inputs["attention_mask"].numel()
        if "captions" in inputs:  # these follow the prompts that the mask is of
            self.positions += inputs["captions"].numel()
        return super().compute_loss(model, inputs, *args, **kwargs)

    @property
    def broken(self) -> list[str]:
        """Names of the training media that this process could not read."""
        return self.train_dataset.broken

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """With a training loss also the peak memory, in GiB, and how many media were skipped."""
        if "loss" in logs:
            logs = logs | {"peak_memory_gib": peak_memory() / 2**30, "skipped_media": len(self.broken)}
        super().log(logs, *args, **kwargs)


def out_of_memory_advice(config: TrainConfig, sharded: bool = False) -> str:
    """What to change when a GPU's memory was not enough: the first three settings that are not changed yet.

    Args:
        sharded: the base is sharded over processes already.
    """
    training, step, hypotheses = config.training, config.step, config.adapters.hypotheses
    # The largest proper divisor: accumulated, it gives the same steps.
    smaller = max((n for n in range(1, training.batch_size // 2 + 1) if training.batch_size % n == 0), default=1)
    parts = training.accumulation * training.batch_size // smaller
    options = [
        (not training.checkpoint_activations, "training.checkpoint_activations=true (about a third slower)"),
        (
            training.batch_size > 1,
            f"training.batch_size={smaller} training.accumulation={parts} (the same steps)",
        ),
        (
            hypotheses > 1 and step.hypotheses_per_forward is None,
            "step.hypotheses_per_forward=1 (one hypothesis at a time; the same result)",
        ),
        (
            hypotheses > 1 and step.backward == "all",
            "step.backward=sampled (the gradient of one hypothesis per example; an unbiased estimate)",
        ),
        (config.model.dtype == "float32", "model.dtype=bfloat16 (half the memory of the frozen weights)"),
        (training.precision == "float32", "training.precision=bfloat16"),
        (not config.model.load_in_4bit, "model.load_in_4bit=true (needs bitsandbytes)"),
        (not sharded, "the fsdp2.yaml of training/configs/accelerate, on several GPUs (the base is sharded)"),
        (sharded, "more GPUs"),
        (hypotheses > 1, "a smaller adapters.hypotheses"),
        (config.adapters.rank > 1, "a smaller adapters.rank"),
        (True, "a smaller base model"),
    ]
    advice = [text for possible, text in options if possible][:3]
    held = f"{peak_memory() / 2**30:.1f} GiB" if torch.cuda.is_available() else "all there is"
    return f"The GPU's memory is not enough ({held} in use at most). Change one of: " + "; ".join(advice) + "."
