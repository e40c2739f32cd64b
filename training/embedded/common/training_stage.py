"""What the projector's alignment and the base's training have in common: their command line, Trainer and output."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.base_trainer import ResumableTrainer
from training.embedded.build_base import save_half
from training.embedded.common.domain import StageSettings, stage_parser

SUMMARY = "training.json"
Precision = Literal["float32", "bfloat16"]
BFLOAT16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
"""Linux's names of what processors have that compute in bfloat16; the last is Arm's."""


def default_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> Precision:
    """bfloat16 on a GPU and on a processor that computes in it, as Linux lists them; else float32."""
    if torch.cuda.is_available():
        return "bfloat16"
    listed = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.is_file() else set()
    return "bfloat16" if listed & BFLOAT16_FEATURES else "float32"


def training_parser(description: str | None) -> argparse.ArgumentParser:
    """``stage_parser`` with the options of a training stage; each is the domain's setting by default."""
    parser = stage_parser(description)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default=default_precision(),
        help="bfloat16 is many times slower than float32 on processors that do not compute in it (default here: "
        "%(default)s)",
    )
    return parser


def settings_from(args: argparse.Namespace, default: StageSettings) -> StageSettings:
    """The settings with what the command line changes of them."""
    given = {name: getattr(args, name) for name in ("steps", "batch_size", "learning_rate")}
    return replace(default, **{name: value for name, value in given.items() if value is not None})


def training_arguments(
    folder: Path, settings: StageSettings, *, warmup: float, seed: int, precision: Precision
) -> TrainingArguments:
    """Training arguments of a stage: cosine schedule, the dataset's own order, two checkpoints in ``folder``.

    Args:
        warmup: share of the steps.
        precision: of the products; weights and optimizer stay in float32.
    """
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=0.05,
        warmup_steps=round(warmup * settings.steps),
        lr_scheduler_type="cosine",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        seed=seed,
        train_sampling_strategy="sequential",
        logging_steps=25,
        save_steps=250,
        save_total_limit=2,
        bf16=precision == "bfloat16",
        dataloader_num_workers=1,
        remove_unused_columns=False,
        report_to=["tensorboard"],
        use_cpu=not torch.cuda.is_available(),
    )


def whole_run(seconds: float, first: int, steps: int) -> float:
    """Seconds of all ``steps``, from those since step ``first``, where the run went on from a checkpoint."""
    return seconds * steps / (steps - first) if first < steps else seconds


class FirstStep(TrainerCallback):
    """The step at which a run began or went on."""

    step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.step = state.global_step


def train_and_save(trainer: ResumableTrainer, model: MediaLanguageModel, folder: Path) -> None:
    """Train, from the last checkpoint if an earlier run was cut short; write the model and a summary to ``folder``."""
    first = FirstStep()
    trainer.add_callback(first)
    started = time.perf_counter()
    trainer.train_or_resume()
    seconds = time.perf_counter() - started
    save_half(model.model, model.processor, folder)
    summary = {
        "steps": trainer.args.max_steps,
        "batch_size": trainer.args.per_device_train_batch_size,
        "learning_rate": trainer.args.learning_rate,
        "seed": trainer.args.seed,
        "precision": "bfloat16" if trainer.args.bf16 else "float32",
        "seconds": round(whole_run(seconds, first.step, trainer.args.max_steps), 1),
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
