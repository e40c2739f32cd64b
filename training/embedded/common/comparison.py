"""The methods every embedded model is compared by, and the report on each: one for pictures and for sounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Greedy
from lora_mcl.models.base import MediaLanguageModel
from training.embedded.common.generation import column_texts
from training.embedded.common.reports import ScoredCaption, diversity_report, hypothesis_report, set_report
from training.embedded.common.stability import mode_matrix, oracle_nll, stability
from training.paths import SUMMARY_FILE

RUNS = ("caption-gate", "relaxed", "mle", "mle-wide")
"""What every embedded model is trained for, by ``training/configs/embedded``: LoRA-MCL by two assignments, and LoRA-MLE
of two ranks."""
HYPOTHESES = 3
MAX_NEW_TOKENS = 64
NUM_BEAMS = 3
DIVERSITY_PENALTY = 0.8
GATE = [f"caption-gate/{k}" for k in range(HYPOTHESES)]
RELAXED = [f"relaxed/{k}" for k in range(HYPOTHESES)]
MLE, MLE_WIDE = "mle/0", "mle-wide/0"
ADAPTERS = [*GATE, *RELAXED, MLE, MLE_WIDE]
MULTIPLE_CHOICE = {"caption-gate": GATE, "relaxed": RELAXED}


def load_stack(media: MediaLanguageModel, folder: Path) -> AdapterStack:
    """All adapters that ``RUNS`` left under ``folder`` in one stack, so that one forward scores or decodes them all."""
    return AdapterStack.from_peft(media.model, {name: adapter_folder(folder, *name.split("/")) for name in ADAPTERS})


def adapter_folder(folder: Path, run: str, hypothesis: int | str) -> Path:
    """The PEFT folder of one hypothesis of a run whose output is in ``folder``."""
    return folder / run / "bundle" / "hypotheses" / str(hypothesis)


def run_summary(folder: Path, run: str) -> dict[str, Any]:
    """A run's settings and duration, for the cards."""
    summary = json.loads((folder / run / SUMMARY_FILE).read_text(encoding="utf-8"))
    kept = ("hypotheses", "rank", "steps", "learning_rate", "seed", "seconds")
    return {"run": run, "batch_size": summary["examples_per_step"]} | {name: summary[name] for name in kept}


def likelihood_report(nll: Tensor) -> dict[str, Any]:
    """From the NLL [A, M, N] of all adapters, in the order of ``ADAPTERS``."""
    by_name = {name: nll[i] for i, name in enumerate(ADAPTERS)}
    report: dict[str, Any] = {}
    for run, names in MULTIPLE_CHOICE.items():
        of_run = torch.stack([by_name[name] for name in names])
        report[run] = {
            "oracle_nll": round(oracle_nll(of_run), 4),
            "mode_matrix": mode_matrix(of_run),
            "stability": asdict(stability(of_run)),
        }
    for name in (MLE, MLE_WIDE):
        report[name.split("/")[0]] = {
            "nll": round(float(by_name[name].mean()), 4),
            "mode_nll": [round(value, 4) for value in by_name[name].mean(1).tolist()],
        }
    return report


def requests_for(stack: AdapterStack) -> list[ColumnRequest]:
    """Greedy for every hypothesis; beam and diverse beam search for the LoRA-MLE of rank r."""
    hypotheses = (ColumnRequest(name, stack.index(name), Greedy()) for name in (*GATE, *RELAXED))
    return [*hypotheses, *baseline_requests(stack)]


def baseline_requests(stack: AdapterStack) -> list[ColumnRequest]:
    """Beam and diverse beam search for the LoRA-MLE of rank r."""
    baseline = stack.index(MLE)
    return [
        ColumnRequest("beam", baseline, BeamSearch(NUM_BEAMS)),
        ColumnRequest("diverse-beam", baseline, DiverseBeamSearch(NUM_BEAMS, NUM_BEAMS, DIVERSITY_PENALTY)),
    ]


def generation_report(
    rows: Sequence[Mapping[str, list[str]]],
    modes: Sequence[str],
    likelihood: Mapping[str, Any],
    judge: Callable[[int, str], ScoredCaption],
) -> dict[str, Any]:
    """Quality, style and diversity of the captions of every method.

    Args:
        rows: for each medium, every column's captions.
        modes: the annotators.
        likelihood: ``likelihood_report`` of the same adapters: it gives the main hypothesis of each mode.
        judge: reads and scores one caption of medium number n.
    """
    scored = [
        {column: [judge(number, text) for text in texts] for column, texts in row.items()}
        for number, row in enumerate(rows)
    ]
    report: dict[str, Any] = {}
    for run, names in MULTIPLE_CHOICE.items():
        main = likelihood[run]["stability"]["main"]
        report[run] = {
            "hypotheses": {
                name: hypothesis_report([row[name][0] for row in scored], modes[main.index(k)]) if k in main else None
                for k, name in enumerate(names)
            },
            **set_report([[row[name][0] for name in names] for row in scored]),
            "diversity": diversity_report(column_texts(rows, names)),
        }
    for method in ("beam", "diverse-beam"):
        report[method] = {
            **set_report([row[method] for row in scored]),
            "first": hypothesis_report([row[method][0] for row in scored], modes[0]),
            "diversity": diversity_report(column_texts(rows, [method])),
        }
        del report[method]["first"]["in_mode"]
    return report
