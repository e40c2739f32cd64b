"""Would a score head help an embedded model? Trained and measured on its test scenes; the bundle stays as it is.

    python -m training.experiments.systems.score_head audio
    python -m training.experiments.systems.score_head image --scenes 100

Renders test scenes as ``training.experiments.systems`` does, with one caption of each annotator, and measures a score
head by ``training.score_head``. Writes ``assets/results/score-head-audio.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.embedded.common.domain import load_domain
from training.experiments.systems.scenes import run_command, write_results, write_scenes
from training.score_head import FEWEST_MEDIA, train_score_head


def run(name: str, scenes: int, kept: Path, out: Path) -> dict[str, Any]:
    """Render, train and measure, and write the results file."""
    domain = load_domain(name)
    folder = kept / f"{name}-{scenes}" / "scenes"
    write_scenes(domain, scenes, folder)
    results = train_score_head(str(domain.bundle_dir), str(folder), batch=8, device="cpu", dry_run=True)
    write_results(results, out)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    run_command(argv, __doc__, run, "score-head", scenes=200, least=FEWEST_MEDIA)


if __name__ == "__main__":
    main()
