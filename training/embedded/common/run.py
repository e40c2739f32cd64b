"""What the training programs of an embedded base share: command line options, training arguments and the summary."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments


def run_parser(description: str, *, steps: int, batch_size: int, learning_rate: float) -> argparse.ArgumentParser:
    """Command line options that every such run has, with its defaults."""
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
    """Training arguments that every such run has: cosine schedule, the dataset's own order, bf16, two checkpoints."""
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
