"""Measure the embedded image model on the 1,000 test scenes and on real photographs.

    python -m training.embedded.image.evaluate

Writes ``assets/results/image.json``. Test scenes show drawings, photographs and backgrounds that no training
saw; ``seen`` repeats the measures on new scenes made of trained-on material, to show the gap. Mode labels are
used here, to measure, and nowhere else.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

import torch
from tqdm import tqdm

from lora_mcl.adapters import AdapterStack
from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common.comparison import (
    GATE,
    MAX_NEW_TOKENS,
    RELAXED,
    RUNS,
    generation_report,
    likelihood_report,
    load_stack,
    requests_for,
    run_summary,
)
from training.embedded.common.generation import generate
from training.embedded.common.packages import BUILD_DIR
from training.embedded.common.reports import ScoredCaption
from training.embedded.image.align import ALIGNED_DIR
from training.embedded.image.base import ADAPTERS_DIR, BASE_DIR
from training.embedded.image.batches import PROMPT
from training.embedded.image.captions.grammar import MODES, load_grammar
from training.embedded.image.captions.reader import load_reader
from training.embedded.image.captions.scoring import score
from training.embedded.image.features import CACHE_DIR, draw, material_split
from training.embedded.image.likelihood import likelihoods
from training.embedded.image.material.assets import load_material
from training.embedded.image.per_concept import by_kinds, by_photographs
from training.embedded.image.real_photos import photograph_report
from training.embedded.image.visits import CachedPictures
from training.embedded.image.world.scene import Scene
from training.paths import ASSETS

RESULTS = ASSETS / "results" / "image.json"


def judge(scene: Scene, text: str) -> ScoredCaption:
    """A caption's reading and score."""
    reading = load_reader().read(text)
    return ScoredCaption(text, reading.mode, score(scene, reading))


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
    sets = [[judge(scene, row[name][0]) for name in GATE] for scene, row in zip(scenes, rows, strict=True)]
    return {
        "scenes": len(pictures),
        "captioned": count,
        "modes": list(MODES),
        "kinds": by_kinds(scenes, sets),
        "photographs_of_the_place": by_photographs(scenes, sets, load_material("train").photographs),
        "likelihood": likelihood,
        "generation": generation_report(rows, MODES, likelihood, lambda number, text: judge(scenes[number], text)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="caption only so many scenes of each split (for a quick look)")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    media = ImageLanguageModel.load(BASE_DIR)
    stack = load_stack(media, ADAPTERS_DIR)
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
            **{run: run_summary(ADAPTERS_DIR, run) for run in RUNS},
        },
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
