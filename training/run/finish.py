"""The end of a run: its bundle with card, its summary, and what to do next."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_mcl.bundle import (
    ADAPTER_FILES,
    AdapterRef,
    Bundle,
    load_bundle,
    save_bundle,
)
from lora_mcl.bundle.hub import CARD, model_card
from lora_mcl.errors import BundleError
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer import save_bundle_of
from training.paths import SUMMARY_FILE
from training.run.config import to_plain
from training.run.options import TrainConfig
from training.run.progress import duration, peak_memory
from training.run.run_trainer import RunTrainer


def save_run(config: TrainConfig, trainer: RunTrainer, model: MediaLanguageModel, summary: dict[str, Any]) -> Path:
    """Write bundle, card and summary of a finished run, print the summary, and return the bundle's folder.

    Args:
        summary: of ``summary_of``.
    """
    folder = config.output / "bundle"
    trainer.model.replace_shards()
    if trainer.args.should_save:
        (config.output / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        bundle = save_bundle_of(
            trainer.model,
            folder,
            base=config.model.base,
            revision=config.model.revision,
            modality=config.model.modality,
            prompt=config.model.prompt,
            chat_template=config.model.chat_template,
            labels=config.bundle.labels or None,
            tokenizer=model.tokenizer,
            training=summary,
        )
        if config.bundle.baseline is not None:
            bundle = with_baseline(bundle, config.bundle.baseline)
        (folder / CARD).write_text(model_card(bundle, config.output.name, config.bundle.license), encoding="utf-8")
        print(summary_text(summary, folder, config.model.modality), flush=True)
    trainer.accelerator.wait_for_everyone()
    return folder


def with_baseline(bundle: Bundle, source: Path) -> Bundle:
    """The bundle with the one adapter of another bundle as its baseline.

    Raises:
        BundleError: the other bundle is not of one adapter on the same base.
    """
    other = load_bundle(source)
    if len(other.hypotheses) != 1:
        raise BundleError(f"bundle.baseline: {source} has {len(other.hypotheses)} hypotheses; a baseline has one")
    here, there = (one.base.id or (one.folder / one.base.path).resolve() for one in (bundle, other))
    if here != there:
        raise BundleError(f"bundle.baseline: {source} is on another base, {there}")
    target = bundle.folder / "baseline"
    target.mkdir(exist_ok=True)
    for name in ADAPTER_FILES:
        shutil.copyfile(other.folder / other.hypotheses[0].path / name, target / name)
    reference = AdapterRef("baseline", "LoRA-MLE", "One adapter, trained the ordinary way.")
    bundle = replace(bundle, baseline=reference)
    save_bundle(bundle)
    return bundle


def summary_of(config: TrainConfig, trainer: RunTrainer, seconds: float) -> dict[str, Any]:
    """Settings and results of a run, in JSON's types; losses in nats per token, memory in GiB.

    Args:
        seconds: that the training took since it was last started.
    """
    state, options = trainer.state, config.training
    logs = [entry for entry in state.log_history if "wins_0" in entry]
    hypotheses = config.adapters.hypotheses
    wins = [sum(entry[f"wins_{k}"] for entry in logs) for k in range(hypotheses)]
    summary: dict[str, Any] = {
        "objective": to_plain(config.objective) if hypotheses > 1 else "LoRA-MLE",
        "backward": config.step.backward,
        "hypotheses": hypotheses,
        "rank": config.adapters.rank,
        "alpha": config.adapters.alpha,
        "steps": state.global_step,
        "examples_per_step": options.batch_size * options.accumulation * trainer.args.world_size,
        "processes": trainer.args.world_size,
        "learning_rate": options.learning_rate,
        "seed": options.seed,
        "seconds": round(seconds, 1),
        "positions_per_second": round(trainer.positions * trainer.args.world_size / max(seconds, 1e-9)),
        "peak_memory_gib": round(peak_memory() / 2**30, 2),
        "skipped_media": len(trainer.broken),
        "wins": [round(won / max(sum(wins), 1), 4) for won in wins],
    }
    if state.best_metric is not None and math.isfinite(state.best_metric):  # of a validation that could be read
        summary |= {"best_validation": round(state.best_metric, 4), "best_step": state.best_global_step}
    return summary


def summary_text(summary: dict[str, Any], folder: Path, modality: str) -> str:
    """The summary as lines of text, and what to do next."""
    lines = [
        f"Trained {summary['hypotheses']} hypotheses of rank {summary['rank']}: {summary['steps']:,} steps of "
        f"{summary['examples_per_step']} examples, {duration(summary['seconds'])} since the last start, "
        f"at most {summary['peak_memory_gib']} GiB",
        "Wins: " + ", ".join(f"hypothesis {k + 1} {share:.0%}" for k, share in enumerate(summary["wins"])),
    ]
    if "best_validation" in summary:
        lines.append(f"Best validation {summary['best_validation']} nats/token, at step {summary['best_step']:,}")
    if summary["skipped_media"]:
        lines.append(f"{summary['skipped_media']} media could not be read and were skipped")
    lines.append(f"Bundle: {folder}. See it: python app.py --{modality}-model {folder}")
    return "\n".join(lines)
