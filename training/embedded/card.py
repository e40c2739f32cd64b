"""Write an embedded model's cards and the README's figures from its results files.

    python -m training.embedded.card image

No figure is typed by hand: ``tests/training/embedded/test_cards.py`` fails where a card and the results disagree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.embedded.common import tables
from training.embedded.common.domain import Domain, load_domain, stage_parser
from training.paths import ROOT


def passages(domain: Domain, results: dict[str, Any] | None = None) -> dict[str, str]:
    """Every generated passage, by the name its markers carry.

    Args:
        results: by default those committed.
    """
    results = _read(domain.results_file) if results is None else results
    test, columns = results["test"], domain.reporting.score_columns
    labels = {mode: label for mode, (label, _) in domain.annotators.labels.items()}
    found = {
        "quality": tables.quality(test, columns),
        "quality_seen": tables.quality(results["seen"], columns),
        "columns": tables.hypotheses(test, columns, labels, domain.reporting.never_named),
        "stability": tables.stabilities(test),
        "likelihood": tables.likelihoods(test),
        "diversity": tables.diversities(test),
        "training": tables.training(results),
        **domain.reporting.passages(results, _read(domain.probe_file)),
    }
    return {f"{domain.name}_{name}": text for name, text in found.items()}


def cards(domain: Domain) -> tuple[Path, ...]:
    """The files that hold passages: the model's card, the bundle's, and the project's README."""
    return domain.model_dir / "README.md", domain.bundle_dir / "README.md", ROOT / "README.md"


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def main() -> None:
    domain = load_domain(stage_parser(__doc__).parse_args().domain)
    texts = passages(domain)
    for card in cards(domain):
        card.write_text(tables.filled(card.read_text(encoding="utf-8"), texts), encoding="utf-8")
        print(f"wrote {card.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
