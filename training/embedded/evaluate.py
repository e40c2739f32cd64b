"""Measure an embedded model on its 1,000 test scenes.

    python -m training.embedded.evaluate image

Writes ``assets/results/image.json``. Test scenes are made of drawings, photographs or recordings that no training saw;
``seen`` repeats the measures on new scenes made of trained-on material, to show the gap. Mode labels are used here, to
measure, and nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lora_mcl.adapters import AdapterStack
from lora_mcl.models.base import MediaLanguageModel
from training.embedded.common.comparison import (
    MAX_NEW_TOKENS,
    RUNS,
    generation_report,
    likelihood_report,
    load_stack,
    requests_for,
    run_summary,
)
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import PROMPT, Domain, base_round_name, load_domain, stage_parser
from training.embedded.common.generation import generate
from training.embedded.common.likelihood import likelihoods
from training.embedded.common.training_stage import SUMMARY

AT_ONCE = 20


def evaluate(
    domain: Domain,
    model: MediaLanguageModel,
    stack: AdapterStack,
    split: str,
    limit: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> dict[str, Any]:
    """All measures on one split; generated captions are written next to the adapters.

    Args:
        limit: caption only so many scenes.
    """
    cached = CachedFeatures.open(domain, split)
    likelihood = likelihood_report(likelihoods(domain, model, stack, cached))
    material = domain.rendering.load_material(domain.rendering.material_split(split))
    count = min(limit or len(cached), len(cached))
    rows: list[dict[str, list[str]]] = []
    scenes: list[Any] = []
    for start in tqdm(range(0, count, AT_ONCE), desc=f"captioning {split}"):
        # Rendered again: what is cached of them is the tower's output, and decoding takes the input itself.
        rendered = [
            domain.rendering.render(split, number, material) for number in range(start, min(start + AT_ONCE, count))
        ]
        scenes += [item.scene for item, _ in rendered]
        inputs = [one for _, one in rendered]
        rows += generate(model, stack, requests_for(stack), inputs, PROMPT, max_new_tokens, domain.no_repeat_ngram_size)
    lines = [
        json.dumps({"scene": asdict(scene), "captions": row}, ensure_ascii=False)
        for scene, row in zip(scenes, rows, strict=True)
    ]
    (domain.adapters_dir / f"captions-{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        **domain.reporting.split_measures(cached.items, scenes, rows),
        "captioned": count,
        "modes": list(domain.annotators.modes),
        "likelihood": likelihood,
        "generation": generation_report(
            rows,
            domain.annotators.modes,
            likelihood,
            lambda number, text: domain.annotators.judge(scenes[number], text),
        ),
    }


def training_summaries(domain: Domain) -> dict[str, Any]:
    """Settings and duration of every training stage, for the cards."""

    def of_stage(folder: Path) -> dict[str, Any]:
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))

    stages = {"align": of_stage(domain.aligned_dir)}
    for number in range(1, len(domain.training.base_rounds) + 1):
        stages[base_round_name(number)] = of_stage(domain.base_round_dir(number))
    return stages | {run: run_summary(domain.adapters_dir, run) for run in RUNS}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--limit", type=int, help="caption only so many scenes of each split (for a quick look)")
    parser.add_argument("--out", type=Path, help="instead of assets/results")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    domain = load_domain(args.domain)
    model = domain.architecture.model_class.load(domain.base_dir)
    stack = load_stack(model, domain.adapters_dir)
    results = {
        **{split: evaluate(domain, model, stack, split, args.limit) for split in ("test", "seen")},
        **domain.reporting.other_measures(model, stack, requests_for(stack)),
        "training": training_summaries(domain),
    }
    out = args.out or domain.results_file
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
