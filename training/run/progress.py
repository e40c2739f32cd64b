"""Progress of a run: one line per log with the time left, and peak memory."""

from __future__ import annotations

import math
import resource
import sys
import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_mcl.errors import DivergenceError
from lora_mcl.trainer.divergence import ADVICE


def peak_memory() -> int:
    """Peak memory so far, in bytes: allocated on this process' GPU, or without one the process' resident set."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def duration(seconds: float) -> str:
    """Such as "2 h 05 min", "3 min 10 s" or "12 s"."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"


def has_diverged(metrics: dict[str, float]) -> bool:
    """Whether a validation's loss is not finite though there were media to compute it of."""
    wins = sum(value for name, value in metrics.items() if name.startswith("eval_wins_"))
    return wins > 0 and not math.isfinite(metrics["eval_loss"])


def format_log(step: int, total: int, logs: dict[str, float], left: float | None) -> str:
    """One log as a line of text.

    Args:
        left: seconds until the end, if known.
    """
    share = f"step {step:,}/{total:,} ({step / total:.0%})"
    if not math.isfinite(logs.get("eval_loss", 0.0)):
        reason = "training has diverged" if has_diverged(logs) else "none of its media can be read"
        return f"{share}  validation: {reason}"
    if "eval_loss" in logs:
        return f"{share}  validation: best hypothesis {logs['eval_loss']:.4f} nats/token"
    parts = [share, f"loss {logs['loss']:.4f}", f"best {logs['best_nll']:.4f}"]
    wins = [int(value) for name, value in logs.items() if name.startswith("wins_")]
    if len(wins) > 1:
        parts.append("wins " + "/".join(map(str, wins)))
    parts += [f"lr {logs['learning_rate']:.1e}", f"{logs['peak_memory_gib']:.1f} GiB"]
    if left is not None:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)


class RunCallback(TrainerCallback):
    """Prints lines, saves every ``save_every`` steps, and evaluates and saves at the end.

    Args:
        save_every: steps.
        validates: whether there is a validation.
    """

    def __init__(self, save_every: int, validates: bool) -> None:
        self.save_every, self.validates = save_every, validates
        self._started, self._first_step = 0.0, 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *more: Any, **kwargs: Any) -> None:
        self._started, self._first_step = time.perf_counter(), state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        last = state.global_step >= state.max_steps
        if last or state.global_step % self.save_every == 0:
            control.should_save = True
        if last:
            control.should_log = True  # the wins since the last log count, also in runs shorter than log_every
        if last and self.validates:
            control.should_evaluate = True
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """A run whose validation is not finite ends.

        Raises:
            DivergenceError: it has diverged.
        """
        if has_diverged(metrics):
            raise DivergenceError(
                f"the validation after step {state.global_step:,} is not finite, training has diverged: {ADVICE}"
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or not {"loss", "eval_loss"} & logs.keys():
            return
        done = state.global_step - self._first_step
        taken = time.perf_counter() - self._started
        left = taken / done * (state.max_steps - state.global_step) if done else None
        print(format_log(state.global_step, state.max_steps, logs, left), flush=True)
