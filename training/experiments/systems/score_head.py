"""Would a score head help an embedded model? Trained and measured on its test scenes; the bundle stays as it is.

    python -m training.experiments.systems.score_head audio
    python -m training.experiments.systems.score_head image --scenes 100

Renders test scenes as ``training.experiments.systems`` does, with one caption of each annotator, and measures a score
head by ``training.score_head``. Writes ``assets/results/score-head-audio.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.embedded.common.domain import NAMES, load_domain
from training.experiments.systems.__main__ import KEPT, write_scenes
from training.paths import RESULTS
from training.score_head import FEWEST_MEDIA, train_score_head

SCENES = 200


def run(name: str, scenes: int, kept: Path, out: Path) -> dict[str, Any]:
    """Render, train and measure, and write the results file."""
    domain = load_domain(name)
    folder = kept / f"{name}-{scenes}" / "scenes"
    write_scenes(domain, scenes, folder)
    results = train_score_head(str(domain.bundle_dir), str(folder), batch=8, device="cpu", dry_run=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=NAMES)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--out", type=Path, help="instead of assets/results/score-head-DOMAIN.json")
    args = parser.parse_args(argv)
    if args.scenes < FEWEST_MEDIA:
        parser.error(f"--scenes must be at least {FEWEST_MEDIA}")
    torch.set_num_threads(1)
    run(args.domain, args.scenes, KEPT, args.out or RESULTS / f"score-head-{args.domain}.json")


if __name__ == "__main__":
    main()
