"""Compare all systems on an embedded model's test scenes: quality, diversity, likelihood, specialisation and cost.

    python -m training.experiments.systems audio
    python -m training.experiments.systems image --scenes 100

Renders test scenes, whose recordings or drawings no training saw, with one caption of each annotator, and evaluates the
bundle by ``training.evaluate``. Writes ``assets/results/systems-audio.json``; goes on where it was cut short.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from training.embedded.common.domain import NAMES, Domain, load_domain, reference_caption
from training.evaluate import evaluate
from training.evaluation.options import EvaluationOptions
from training.paths import BUILD, RESULTS

KEPT = BUILD / "experiments" / "systems"
SCENES = 48
RATE = 16_000


def write_scenes(domain: Domain, count: int, folder: Path) -> None:
    """The first ``count`` test scenes as files with a ``captions.csv``: a row for each annotator's caption.

    A folder that has the table is left as it is.
    """
    table = folder / "captions.csv"
    if table.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    material = domain.rendering.load_material(domain.rendering.material_split("test"))
    rows = []
    for number in range(count):
        item, medium = domain.rendering.render("test", number, material)
        name = save_medium(medium, folder / f"{number:04}")
        rows += [
            {"file_name": name, "caption": reference_caption(domain, item, number, mode), "mode": mode}
            for mode in domain.annotators.modes
        ]
    partial = folder / "captions.partial"
    with partial.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, ["file_name", "caption", "mode"])
        out.writeheader()
        out.writerows(rows)
    partial.rename(table)


def save_medium(medium: Image.Image | np.ndarray, path: Path) -> str:
    """Write an image, or samples [N] at 16 kHz, without loss; returns the file's name."""
    if isinstance(medium, Image.Image):
        medium.save(path.with_suffix(".png"))
        return f"{path.name}.png"
    soundfile.write(path.with_suffix(".flac"), medium, RATE, subtype="PCM_16")
    return f"{path.name}.flac"


def run(name: str, scenes: int, kept: Path, out: Path) -> dict[str, Any]:
    """Render, evaluate, and write the results file."""
    domain = load_domain(name)
    folder = kept / f"{name}-{scenes}"
    write_scenes(domain, scenes, folder / "scenes")
    results = evaluate(
        str(domain.bundle_dir),
        str(folder / "scenes"),
        folder / "evaluation",
        EvaluationOptions(batch=8),
        device="cpu",
    )
    # Without the folder, which is one of this machine.
    results = {"data": f"{scenes} test scenes"} | {key: value for key, value in results.items() if key != "data"}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=NAMES)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--out", type=Path, help="instead of assets/results/systems-DOMAIN.json")
    args = parser.parse_args(argv)
    if args.scenes < 2:
        parser.error("--scenes must be at least 2: CIDEr-D of a single one is 0 for any caption")
    torch.set_num_threads(1)
    run(args.domain, args.scenes, KEPT, args.out or RESULTS / f"systems-{args.domain}.json")


if __name__ == "__main__":
    main()
