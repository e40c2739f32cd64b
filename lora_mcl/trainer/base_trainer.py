"""A module with few trainable weights, and a transformers Trainer whose checkpoints hold these alone."""

from __future__ import annotations

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
from transformers import Trainer, TrainerState
from transformers.integrations.deepspeed import deepspeed_load_checkpoint

from lora_mcl.trainer.checkpoints import STATE_NAME, UNFINISHED, WEIGHTS_NAME, last_checkpoint, publish, rotate
from lora_mcl.trainer.distributed import gather_full_tensor, is_sharded
from lora_mcl.trainer.divergence import require_finite_loss

logger = logging.getLogger(__name__)


class TrainableModule(nn.Module):
    """A module of which some weights train and the rest is frozen; checkpoints hold the trainable ones."""

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and weight of every parameter with a gradient."""
        return ((name, weight) for name, weight in self.named_parameters() if weight.requires_grad)

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint, by name; not copies unless they are sharded: then it is collective, every
        process must call it, and each gets them in full."""
        return {name: gather_full_tensor(weight) for name, weight in self.trainable_parameters()}

    def load_trainable_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy a checkpoint's tensors into the weights.

        Raises:
            RuntimeError: its names are not those of ``trainable_state_dict``.
        """
        own = self.trainable_state_dict()
        if own.keys() != state.keys():
            raise RuntimeError(f"the checkpoint holds other weights: {sorted(own.keys() ^ state.keys())[:4]}")
        sharded = {name: weight for name, weight in self.trainable_parameters() if isinstance(weight, DTensor)}
        with torch.no_grad():
            for name, tensor in own.items():
                if name in sharded:  # ``tensor`` is a gathered copy: write this process' shard instead
                    weight = sharded[name]
                    full = state[name].to(weight.device)
                    weight.copy_(distribute_tensor(full, weight.device_mesh, weight.placements))
                else:
                    tensor.copy_(state[name])

    def replace_shards(self) -> None:
        """Replace sharded weights by full ones in every process, after training, so that one process can save them.

        Not called ``unshard``, as FSDP's own method is, which a sharded module also has.
        """
        for name, weight in list(self.trainable_parameters()):
            if is_sharded(weight):
                module, _, own = name.rpartition(".")
                setattr(self.get_submodule(module), own, nn.Parameter(gather_full_tensor(weight)))


class ResumableTrainer(Trainer):
    """A transformers Trainer for a ``TrainableModule``: small, atomic checkpoints, and resuming when there is one."""

    _unfinished: Path | None = None
    """Where a checkpoint is being written, while it is."""

    def train_or_resume(self) -> None:
        """Train, from the last good checkpoint in the output folder if an earlier run was cut short."""
        last = last_checkpoint(self.args.output_dir)
        if last:
            logger.warning("resuming from %s", last)
            if self.args.should_save:
                _update_best_path(last)
            self.accelerator.wait_for_everyone()
        self.train(resume_from_checkpoint=None if last is None else str(last))

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """transformers' step.

        Raises:
            DivergenceError: its loss is not finite, which transformers would leave out of the logs.
        """
        loss = super().training_step(*args, **kwargs)
        require_finite_loss(loss, self.state.global_step)
        return loss

    def load_finished(self) -> bool:
        """Load a finished run: state and weights, with ``load_best_model_at_end`` the best ones; False if none."""
        last = last_checkpoint(self.args.output_dir)
        if last is None:
            return False
        self.state = TrainerState.load_from_json(str(last / STATE_NAME))
        best = last.with_name(f"checkpoint-{self.state.best_global_step}")
        self._load_from_checkpoint(str(best if self.args.load_best_model_at_end and best.is_dir() else last))
        return True

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
            # transformers wrote where the best checkpoint is while that was the unfinished folder.
            self.state.save_to_json(str(aside / f"checkpoint-{step}" / STATE_NAME))
            publish(aside / f"checkpoint-{step}", folder / f"checkpoint-{step}")
            shutil.rmtree(aside, ignore_errors=True)
            rotate(folder, self.args.save_total_limit, best)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the trainable tensors alone: under FSDP, transformers would gather the frozen base too."""
        self._save(output_dir)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        tensors = self.model.trainable_state_dict()  # collective: by every process
        if not self.args.should_save:  # another process does
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(state, folder / WEIGHTS_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        (model or self.model).load_trainable_state_dict(load_file(os.path.join(resume_from_checkpoint, WEIGHTS_NAME)))

    def _load_best_model(self) -> None:
        # By its step: the folder may have been moved since the checkpoint wrote its path.
        best = os.path.join(self.args.output_dir, f"checkpoint-{self.state.best_global_step}")
        if self.is_deepspeed_enabled:  # which keeps master weights next to the model's, and reads both
            deepspeed_load_checkpoint(self.model_wrapped, best)
        else:
            self._load_from_checkpoint(best)


def _update_best_path(checkpoint: Path) -> None:
    """Correct the path of the best checkpoint in a checkpoint's state, as the run's folder may have been moved."""
    state = TrainerState.load_from_json(str(checkpoint / STATE_NAME))
    best = checkpoint.with_name(f"checkpoint-{state.best_global_step}")
    if state.best_global_step and best.is_dir() and state.best_model_checkpoint != str(best):
        state.best_model_checkpoint = str(best)
        unfinished = checkpoint / f"{STATE_NAME}.unfinished"
        state.save_to_json(str(unfinished))
        os.replace(unfinished, checkpoint / STATE_NAME)
