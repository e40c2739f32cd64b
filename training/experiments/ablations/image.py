"""The ablations on the embedded image model, with three annotators in place of chains."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_mcl.adapters import AdapterStack
from lora_mcl.models.llava_next import ImageLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from training import train as program
from training.embedded.common.comparison import adapter_folder
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.likelihood import likelihoods
from training.embedded.common.stability import oracle_nll, stability
from training.embedded.image.domain import IMAGE
from training.experiments.ablations.variants import (
    ALL,
    CLEAN,
    DROPOUT,
    SAME,
    SAMPLED,
    SHARES,
    START,
    SURPLUS,
    UNEQUAL,
    Run,
    Variant,
    file_name,
)
from training.paths import BUILD, ROOT
from training.run.config import load_config
from training.run.options import TrainConfig

CONFIG = ROOT / "training" / "configs" / "embedded" / "image" / "caption-gate.yaml"
RUNS_DIR = BUILD / "experiments" / "image"
STEPS, BATCH, LEARNING_RATE = 80, 24, 1e-3
THREADS = torch.get_num_threads()
TEST_PICTURES = 200
CURVE_EVERY = 5

GATE = ObjectiveOptions("caption-gate")
VARIANTS: dict[str, Variant] = {
    "gate, all": Variant(SAME, GATE, step=ALL, gate_start="mixture"),
    "gate, sampled": Variant(SAME, GATE, step=SAMPLED, gate_start="mixture"),
    "gate, sampled, same seconds": Variant(
        SAME, GATE, step=SAMPLED, seconds_of=("gate, all", "gate, sampled"), gate_start="mixture"
    ),
    "relaxed, all": Variant(START, ObjectiveOptions("relaxed", epsilon=0.1), step=ALL),
    "gate, random start": Variant(START, GATE, step=SAMPLED),
    "unequal, gate, uniform": Variant(SHARES, GATE, step=SAMPLED, shares=UNEQUAL, gate_start="mixture"),
    "unequal, gate, estimated": Variant(
        SHARES, GATE, step=SAMPLED, shares=UNEQUAL, balance="estimated", gate_start="mixture"
    ),
    "K = 4, gate, uniform": Variant(SURPLUS, GATE, 4, step=SAMPLED, gate_start="mixture"),
    "K = 4, gate, estimated": Variant(SURPLUS, GATE, 4, step=SAMPLED, balance="estimated", gate_start="mixture"),
    "dropout, noisy winner": Variant(DROPOUT, GATE, step=SAMPLED, dropout=0.1, gate_start="mixture"),
    "dropout, clean winner": Variant(DROPOUT, GATE, step=CLEAN, dropout=0.1, gate_start="mixture"),
}


class Curve(TrainerCallback):
    """Collects what the trainer logs every few steps, with the seconds since training began."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []
        self.started = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        control.should_log = state.global_step % CURVE_EVERY == 0 or state.global_step == state.max_steps
        return control

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        if logs and "best_nll" in logs:
            point = {"step": state.global_step, "seconds": round(time.perf_counter() - self.started, 2)}
            self.points.append(point | {name: round(logs[name], 4) for name in ("loss", "best_nll")})


def train(name: str, variant: Variant, seed: int, steps: int) -> Run:
    """Train one variant from a fresh start and measure it."""
    folder = RUNS_DIR / file_name(name, seed)
    shutil.rmtree(folder, ignore_errors=True)  # a resumed run's seconds would not be those of the whole
    curve = Curve()
    program.train(configured(variant, folder, seed, steps), [curve])
    media = ImageLanguageModel.load(IMAGE.base_dir)
    adapters = {f"hypothesis-{k}": adapter_folder(RUNS_DIR, folder.name, k) for k in range(variant.hypotheses)}
    stack = AdapterStack.from_peft(media.model, adapters)
    seconds = curve.points[-1]["seconds"]
    return {"seed": seed, "steps": steps, "seconds": seconds, "test": measure(media, stack), "curve": curve.points}


def configured(variant: Variant, folder: Path, seed: int, steps: int) -> TrainConfig:
    """The embedded configuration with what the variant changes of it."""
    config = load_config(TrainConfig, CONFIG)
    return replace(
        config,
        output=folder,
        adapters=replace(config.adapters, hypotheses=variant.hypotheses, dropout=variant.dropout),
        objective=variant.objective,
        gate=replace(config.gate, balance=variant.balance, start=variant.gate_start),
        step=variant.step,
        data=replace(config.data, mode_shares=variant.shares or ()),
        training=replace(config.training, steps=steps, seed=seed, batch_size=BATCH, learning_rate=LEARNING_RATE),
    )


def measure(media: ImageLanguageModel, stack: AdapterStack) -> dict[str, Any]:
    """On test scenes that each annotator captions.

    ``loss``: mean NLL of the best hypothesis, nats per token; ``main_nll``: of each mode's main hypothesis;
    ``stability``: share of a mode's captions won by its main hypothesis, averaged over modes; ``distinct``: whether
    these differ; ``used``: hypotheses that win at least 1 %.
    """
    cached = CachedFeatures.open(IMAGE, "test")
    cached = replace(cached, items=cached.items[:TEST_PICTURES], shard_of=cached.shard_of[:TEST_PICTURES])
    return figures(likelihoods(IMAGE, media, stack, cached))


def figures(nll: torch.Tensor) -> dict[str, Any]:
    """From the NLL [K, M, N] of K hypotheses on captions of M modes of N pictures."""
    stable = stability(nll)
    wins = torch.tensor(stable.win_share)
    return {
        "loss": round(oracle_nll(nll), 4),
        "main_nll": round(float(torch.stack([nll[k, m].mean() for m, k in enumerate(stable.main)]).mean()), 4),
        "stability": round(sum(stable.share) / len(stable.share), 4),
        "distinct": int(stable.distinct),
        "used": int((wins.mean(dim=0) >= 0.01).sum()),
        "wins": [list(row) for row in stable.win_share],
    }
