"""Measure the embedded image model on the 1,000 test scenes and on real photographs.

    python -m training.image.evaluate

Writes ``assets/results/image.json``. Test scenes show drawings, photographs and backgrounds that no training
saw; ``seen`` repeats the measures on new scenes made of trained-on material, to show the gap. Mode labels are
used here, to measure, and nowhere else.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Greedy
from lora_mcl.models.llava_next import ImageLanguageModel
from training.image.adapters import ADAPTERS_DIR, HYPOTHESES
from training.image.align import ALIGNED_DIR
from training.image.base import BASE_DIR
from training.image.batches import PROMPT
from training.image.features import CACHE_DIR, draw, material_split
from training.image.generation import (
    column_texts,
    diversity_report,
    generate,
    hypothesis_report,
    read_captions,
    set_report,
)
from training.image.grammar import MODES, load_grammar
from training.image.likelihood import likelihoods
from training.image.material import load_material
from training.image.reader import load_reader
from training.image.real import photograph_report
from training.image.scene import Scene
from training.image.visits import CachedPictures
from training.packages import BUILD_DIR
from training.stability import mode_matrix, oracle_nll, stability

RESULTS = Path(__file__).resolve().parents[2] / "assets" / "results" / "image.json"
MAX_NEW_TOKENS = 64
NUM_BEAMS = 3
DIVERSITY_PENALTY = 0.8
GATE = [f"caption-gate/{k}" for k in range(HYPOTHESES)]
RELAXED = [f"relaxed/{k}" for k in range(HYPOTHESES)]
MLE, MLE_WIDE = "mle/0", "mle-wide/0"
ADAPTERS = [*GATE, *RELAXED, MLE, MLE_WIDE]


def load_stack(media: ImageLanguageModel) -> AdapterStack:
    """All trained adapters in one stack, so that one forward scores or decodes them all."""
    return AdapterStack.from_peft(media.model, {name: ADAPTERS_DIR / name for name in ADAPTERS})


def likelihood_report(nll: torch.Tensor) -> dict[str, Any]:
    """From the NLL [A, M, N] of all adapters, in the order of ``ADAPTERS``."""
    by_name = {name: nll[i] for i, name in enumerate(ADAPTERS)}
    report: dict[str, Any] = {}
    for run, names in (("caption-gate", GATE), ("relaxed", RELAXED)):
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
    baseline = stack.index(MLE)
    return [
        *(ColumnRequest(name, stack.index(name), Greedy()) for name in (*GATE, *RELAXED)),
        ColumnRequest("beam", baseline, BeamSearch(NUM_BEAMS)),
        ColumnRequest("diverse-beam", baseline, DiverseBeamSearch(NUM_BEAMS, NUM_BEAMS, DIVERSITY_PENALTY)),
    ]


def generation_report(
    rows: list[dict[str, list[str]]], scenes: list[Scene], likelihood: dict[str, Any]
) -> dict[str, Any]:
    """Quality, style and diversity of the captions of every method."""
    reader = load_reader()
    scored = [
        {column: read_captions(reader, scene, texts) for column, texts in row.items()}
        for row, scene in zip(rows, scenes, strict=True)
    ]
    report: dict[str, Any] = {}
    for run, names in (("caption-gate", GATE), ("relaxed", RELAXED)):
        main = likelihood[run]["stability"]["main"]
        report[run] = {
            "hypotheses": {
                name: hypothesis_report([row[name][0] for row in scored], MODES[main.index(k)]) if k in main else None
                for k, name in enumerate(names)
            },
            **set_report([[row[name][0] for name in names] for row in scored]),
            "diversity": diversity_report(column_texts(rows, names)),
        }
    for method in ("beam", "diverse-beam"):
        report[method] = {
            **set_report([row[method] for row in scored]),
            "first": hypothesis_report([row[method][0] for row in scored], MODES[0]),
            "diversity": diversity_report(column_texts(rows, [method])),
        }
        del report[method]["first"]["in_mode"]
    return report


def evaluate(media: ImageLanguageModel, stack: AdapterStack, split: str, limit: int | None) -> dict[str, Any]:
    """All measures on one split; generated captions are kept beside the checkpoints."""
    pictures = CachedPictures.open(sorted((CACHE_DIR / split).glob("[0-9][0-9][0-9]")))
    likelihood = likelihood_report(likelihoods(media, stack, pictures, load_grammar()))
    material = load_material(material_split(split))
    count = min(limit or len(pictures), len(pictures))
    rows: list[dict[str, list[str]]] = []
    scenes: list[Scene] = []
    for start in tqdm(range(0, count, 20), desc=f"captioning {split}"):
        drawn = [draw(split, index, material) for index in range(start, min(start + 20, count))]
        scenes += [scene for scene, _ in drawn]
        rows += generate(media, stack, requests_for(stack), [im for _, im in drawn], PROMPT, MAX_NEW_TOKENS)
    lines = [
        json.dumps({"scene": asdict(scene), "captions": row}, ensure_ascii=False)
        for scene, row in zip(scenes, rows, strict=True)
    ]
    (ADAPTERS_DIR / f"captions-{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "scenes": len(pictures),
        "captioned": count,
        "modes": list(MODES),
        "likelihood": likelihood,
        "generation": generation_report(rows, scenes, likelihood),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="caption only so many scenes of each split (for a quick look)")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    media = ImageLanguageModel.load(BASE_DIR)
    stack = load_stack(media)
    results = {
        "test": evaluate(media, stack, "test", args.limit),
        "seen": evaluate(media, stack, "seen", args.limit),
        "photographs": photograph_report(
            media,
            stack,
            [request for request in requests_for(stack) if request.id not in RELAXED],
            GATE,
            load_reader(),
            BUILD_DIR,
            PROMPT,
            MAX_NEW_TOKENS,
        ),
        "training": {
            "align": json.loads((ALIGNED_DIR / "training.json").read_text(encoding="utf-8")),
            "base": json.loads((BASE_DIR / "training.json").read_text(encoding="utf-8")),
            **{
                run: json.loads((ADAPTERS_DIR / run / "summary.json").read_text(encoding="utf-8"))
                for run in ("caption-gate", "relaxed", "mle", "mle-wide")
            },
        },
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
