"""Compare all systems on an embedded model's test scenes: quality, diversity, likelihood, specialisation and cost.

    python -m training.experiments.systems audio
    python -m training.experiments.systems image --scenes 100

Renders test scenes, whose recordings or drawings no training saw, with one caption of each annotator, and evaluates the
bundle by ``training.evaluate``. Writes ``assets/results/systems-audio.json``; goes on where it was cut short.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.embedded.common.domain import load_domain
from training.evaluate import evaluate
from training.evaluation.options import EvaluationOptions
from training.experiments.systems.scenes import run_command, write_results, write_scenes


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
    write_results(results, out)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    run_command(
        argv, __doc__, run, "systems", scenes=120, least=2, why=": CIDEr-D of a single one is 0 for any caption"
    )


if __name__ == "__main__":
    main()
