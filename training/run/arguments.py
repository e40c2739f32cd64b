"""``TrainingOptions`` as transformers' ``TrainingArguments``, and precision under DeepSpeed."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from transformers import TrainingArguments

from lora_mcl.errors import OptionsError
from lora_mcl.trainer.distributed import under_deepspeed
from training.run.options import TrainConfig

_SCHEDULES = {"cosine": "cosine_with_min_lr", "linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(config: TrainConfig, steps: int, **kwargs: Any) -> TrainingArguments:
    """The run's settings as transformers' ``TrainingArguments``.

    Args:
        steps: of the run.
        kwargs: other fields, which override ``config``.

    Raises:
        OptionsError: a package that the options ask for is missing.
    """
    options = config.training
    report_to = ["tensorboard"]
    if options.wandb:
        if importlib.util.find_spec("wandb") is None:
            raise OptionsError("training.wandb needs the wandb package: pip install wandb")
        report_to.append("wandb")
    evaluated = {"eval_strategy": "steps", "eval_steps": options.evaluate_every} if config.data.validates else {}
    best = config.data.validates and options.keep_best
    settings: dict[str, Any] = {
        "output_dir": str(config.output / "checkpoints"),
        "run_name": config.output.name,
        "max_steps": steps,
        "per_device_train_batch_size": options.batch_size,
        "per_device_eval_batch_size": options.batch_size,
        "gradient_accumulation_steps": options.accumulation,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": _SCHEDULES.get(options.schedule, "inverse_sqrt"),
        "lr_scheduler_kwargs": {"min_lr_rate": options.final_learning_rate} if options.schedule == "cosine" else {},
        "warmup_steps": round(options.warmup * steps),
        "optim": "adamw_torch_fused" if torch.cuda.is_available() else "adamw_torch",
        "weight_decay": options.weight_decay,
        "adam_beta1": options.betas[0],
        "adam_beta2": options.betas[1],
        "adam_epsilon": options.adam_epsilon,
        "max_grad_norm": options.gradient_clip,
        # DeepSpeed gets it from configure_deepspeed.
        "bf16": options.precision == "bfloat16" and not under_deepspeed(),
        "activation_checkpointing": options.checkpoint_activations,
        "seed": options.seed,
        "train_sampling_strategy": "sequential",  # the dataset is shuffled already
        "logging_steps": options.log_every,
        "save_strategy": "steps",
        # The best checkpoint must be one of those evaluated; RunCallback saves at save_every too.
        "save_steps": options.evaluate_every if best else options.save_every,
        "save_total_limit": options.checkpoints,
        "load_best_model_at_end": best,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "restore_callback_states_from_checkpoint": options.patience is not None,
        "dataloader_num_workers": config.data.workers,
        "remove_unused_columns": False,
        "report_to": report_to,
        "use_cpu": not torch.cuda.is_available(),
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
    }
    return TrainingArguments(**(settings | evaluated | kwargs))


def configure_deepspeed(config: TrainConfig, settings: dict[str, Any], stage: int) -> None:
    """Put the run's precision into DeepSpeed's settings, before it prepares the model.

    Its own bfloat16 would turn adapters, gate and counts into bfloat16; by autocast they stay float32, as elsewhere.

    Args:
        settings: of DeepSpeed; changed in place.
        stage: of ZeRO.

    Raises:
        OptionsError: the configuration has options that are not supported with DeepSpeed.
    """
    if stage != 3:
        raise OptionsError(f"DeepSpeed's ZeRO stage must be 3, not {stage}: take zero3.yaml, or ddp.yaml")
    if config.model.load_in_4bit:
        raise OptionsError("model.load_in_4bit and DeepSpeed do not go together: take ddp.yaml")
    if config.data.feature_cache:
        raise OptionsError("data.feature_cache and DeepSpeed do not go together: take fsdp2.yaml or ddp.yaml")
    if config.training.precision == "bfloat16":
        settings["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
