"""Test scenes of an embedded model as captioned files, and the command line of the experiments on them."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from training.embedded.common.domain import NAMES, Domain, reference_caption
from training.paths import BUILD, RESULTS

KEPT = BUILD / "experiments" / "systems"
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


def write_results(results: Mapping[str, Any], out: Path) -> None:
    """The results file, in a folder that is made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def run_command(
    argv: Sequence[str] | None,
    description: str | None,
    run: Callable[[str, int, Path, Path], object],
    prefix: str,
    scenes: int,
    least: int,
    why: str = "",
) -> None:
    """Parse DOMAIN, ``--scenes`` and ``--out``, and run.

    Args:
        run: takes the domain's name, the number of scenes, the folder of what is kept, and the results file.
        prefix: of the results file's name.
        scenes: by default.
        least: scenes that are needed, and ``why``.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=NAMES)
    parser.add_argument("--scenes", type=int, default=scenes)
    parser.add_argument("--out", type=Path, help=f"instead of assets/results/{prefix}-DOMAIN.json")
    args = parser.parse_args(argv)
    if args.scenes < least:
        parser.error(f"--scenes must be at least {least}{why}")
    torch.set_num_threads(1)
    run(args.domain, args.scenes, KEPT, args.out or RESULTS / f"{prefix}-{args.domain}.json")
