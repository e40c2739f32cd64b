"""What the base's training and the adapters' share: a module with few trainable weights, and its Trainer."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import Trainer, TrainingArguments
from transformers.integrations.deepspeed import deepspeed_load_checkpoint

from lora_mcl.trainer.checkpoints import (
    UNFINISHED,
    WEIGHTS_NAME,
    last_checkpoint,
    publish,
    rotate,
)
from lora_mcl.trainer.distributed import is_shared, whole

logger = logging.getLogger(__name__)


class Learner(nn.Module):
    """A module that knows which of its weights train; checkpoints hold these alone."""

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, weight) for name, weight in self.named_parameters() if weight.requires_grad)

    def kept(self) -> dict[str, Tensor]:
        """The tensors a checkpoint holds, by name; not copies, but where processes share them out: then every process
        must ask, and gets them whole."""
        return {name: whole(weight) for name, weight in self.trainable()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Copy a checkpoint's tensors in.

        Raises:
            RuntimeError: they are other tensors than ``kept``.
        """
        own = self.kept()
        if own.keys() != state.keys():
            raise RuntimeError(f"the checkpoint holds other weights: {sorted(own.keys() ^ state.keys())[:4]}")
        shared = {name: weight for name, weight in self.trainable() if isinstance(weight, DTensor)}
        with torch.no_grad():
            for name, tensor in own.items():
                if name in shared:
                    weight = shared[name]
                    given = state[name].to(weight.device)
                    weight.copy_(distribute_tensor(given, weight.device_mesh, weight.placements))
                else:
                    tensor.copy_(state[name])

    def make_whole(self) -> None:
        """After training: weights that processes share out become whole in each of them, to be saved as by one."""
        for name, weight in list(self.trainable()):
            if is_shared(weight):
                module, _, own = name.rpartition(".")
                setattr(self.get_submodule(module), own, nn.Parameter(whole(weight)))


class LearnerTrainer(Trainer):
    """A transformers Trainer for a ``Learner``: light, atomic checkpoints, and resuming when there is one."""

    _unfinished: Path | None = None
    """Where a checkpoint is being written, while it is."""

    def train_or_resume(self) -> None:
        """Train, from the last good checkpoint in the output folder if an earlier run was cut short."""
        last = last_checkpoint(self.args.output_dir)
        if last:
            logger.warning("resuming from %s", last)
        self.train(resume_from_checkpoint=None if last is None else str(last))

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._unfinished is None else str(self._unfinished)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """transformers' checkpoint, written aside and then renamed (``lora_mcl.trainer.checkpoints``)."""
        folder, step = Path(self.args.output_dir), self.state.global_step
        aside = folder / UNFINISHED
        if self.args.should_save:  # what a killed run left
            shutil.rmtree(aside, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._unfinished = aside
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._unfinished = None
        best = self.state.best_global_step or None
        self.state.best_model_checkpoint = best and str(folder / f"checkpoint-{best}")
        self.accelerator.wait_for_everyone()  # every process has written its share
        if self.args.should_save:
            publish(aside / f"checkpoint-{step}", folder / f"checkpoint-{step}")
            shutil.rmtree(aside, ignore_errors=True)
            rotate(folder, self.args.save_total_limit, best)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The learned tensors alone: under FSDP, transformers would gather the frozen base too."""
        self._save(output_dir)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        kept = self.model.kept()  # by every process: see there
        if not self.args.should_save:  # another process does
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.cpu().contiguous() for name, tensor in kept.items()}
        save_file(state, folder / WEIGHTS_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        (model or self.model).restore(load_file(os.path.join(resume_from_checkpoint, WEIGHTS_NAME)))

    def _load_best_model(self) -> None:
        # By its step: the folder may have been moved since the checkpoint wrote its path.
        best = os.path.join(self.args.output_dir, f"checkpoint-{self.state.best_global_step}")
        if self.is_deepspeed_enabled:  # which keeps master weights beside the model's, and reads both
            deepspeed_load_checkpoint(self.model_wrapped, best)
        else:
            self._load_from_checkpoint(best)


def run_parser(description: str, *, steps: int, batch_size: int, learning_rate: float) -> argparse.ArgumentParser:
    """The options every run takes, with its defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def write_summary(file: Path, trainer: Trainer, seconds: float, **more: Any) -> None:
    """Record a finished run's settings and duration (of its last start, if it was resumed), for the cards."""
    summary = more | {
        "steps": trainer.args.max_steps,
        "batch_size": trainer.args.per_device_train_batch_size,
        "learning_rate": trainer.args.learning_rate,
        "seed": trainer.args.seed,
        "seconds": round(seconds, 1),
    }
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def training_arguments(
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    warmup: float,
    seed: int,
    optim: str = "adamw_torch_fused",
) -> TrainingArguments:
    """Settings every run here shares: cosine schedule, the dataset's own order, bf16, two checkpoints kept."""
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_steps=round(warmup * steps),
        lr_scheduler_type="cosine",
        optim=optim,
        max_grad_norm=1.0,
        seed=seed,
        train_sampling_strategy="sequential",
        logging_steps=25,
        save_steps=250,
        save_total_limit=2,
        bf16=True,
        dataloader_num_workers=1,
        remove_unused_columns=False,
        report_to=["tensorboard"],
        use_cpu=not torch.cuda.is_available(),
    )
