"""Write the audio model's cards and the README's figures from the results file.

    python -m training.embedded.audio.card

The cards' text is in ``training/audio/cards``; no figure is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.embedded.audio.bundle import BUNDLE_DIR, LABELS, MODEL_DIR
from training.embedded.audio.evaluate import RESULTS
from training.embedded.audio.material.recordings import load_sounds
from training.embedded.audio.probe import RESULTS as PROBE_RESULTS
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common import tables
from training.embedded.common.tables import filled, percent, table
from training.paths import ROOT

TEMPLATES = Path(__file__).with_name("cards")
CARDS = {TEMPLATES / "model.md": MODEL_DIR / "README.md", TEMPLATES / "bundle.md": BUNDLE_DIR / "README.md"}
README = ROOT / "README.md"
COLUMNS = {
    "recall": "events: recall",
    "precision": "precision",
    "family_recall": "families: recall",
    "family_precision": "precision",
    "background_right": "background right",
    "count_right": "count right",
    "mood_right": "mood right",
    "nothing_wrong": "nothing wrong",
    "telling": "and something told",
}
NEVER_SAID = {("en-scene", "recall"), ("en-scene", "precision")}
LEAST_CLIPS = 5
LISTED = 10


def sounds(split: dict[str, Any]) -> str:
    """The sounds named most and least often."""
    lexicon = load_lexicon()
    often = sorted(
        ((found["named"], sound) for sound, found in split["sounds"].items() if found["clips"] >= LEAST_CLIPS),
        key=lambda one: (-one[0], one[1]),
    )

    def clause(sound: str) -> str:
        words = lexicon.sounds[sound].clause
        return f"{words.en} {words.verb}"

    rows = [
        [clause(best), percent(right), clause(worst), percent(wrong)]
        for (right, best), (wrong, worst) in zip(often[:LISTED], often[::-1][:LISTED], strict=True)
    ]
    return table(["most often", "named", "least often", "named"], rows)


def yardsticks(split: dict[str, Any], labels: Mapping[str, str]) -> str:
    """What the annotators themselves get by the same measures, and what a caption that says nothing does."""
    found = split["yardsticks"]
    named = {f"annotator: {labels[mode]}": (mode, report) for mode, report in found["annotators"].items()}
    named |= {f"always “{text}”": ("", report) for text, report in found["empty"].items()}
    rows = [
        [name, *(percent(None if (mode, field) in NEVER_SAID else report[field]) for field in COLUMNS)]
        for name, (mode, report) in named.items()
    ]
    return table(["", *COLUMNS.values()], rows)


def probed(results: dict[str, Any]) -> str:
    """After which of the encoder's layers sounds can be told apart."""
    rows = [[layer, percent(found["seen"]), percent(found["unseen"])] for layer, found in results["layers"].items()]
    return table(["after layer", "new clips of training recordings", "recordings of held-out packages"], rows)


def blocks(results: dict[str, Any]) -> dict[str, str]:
    """Every generated passage, by the name its markers carry."""
    lexicon = load_lexicon()
    labels = {mode: label for mode, (label, _) in LABELS.items()}
    recordings = load_sounds()
    packages = {recording.package for recording in recordings}
    best, mean = (
        {split: results[split]["generation"]["caption-gate"][which] for split in ("test", "seen")}
        for which in ("best", "mean")
    )
    return {
        "audio_counts": f"{len(lexicon.events)} sounds and {len(lexicon.beds)} backgrounds.",
        "audio_material": f"There are {len(recordings):,} recordings of {len(packages)} packages",
        "audio_headline": f"On {results['test']['captioned']:,} test clips of recordings from packages that training "
        f"never heard, the best hypothesis names {percent(best['test']['recall'])} of the events "
        f"({percent(best['test']['family_recall'])} of their families); on new clips of trained-on recordings, "
        f"{percent(best['seen']['recall'])} ({percent(best['seen']['family_recall'])}). Of all hypotheses' captions, "
        f"{percent(mean['test']['nothing_wrong'])} hold nothing wrong ({percent(mean['seen']['nothing_wrong'])} on new "
        f"clips of trained-on recordings), {percent(mean['test']['telling'])} name something besides "
        f"({percent(mean['seen']['telling'])}).",
        "audio_quality": tables.quality(results["test"], COLUMNS),
        "audio_quality_seen": tables.quality(results["seen"], COLUMNS),
        "audio_columns": tables.hypotheses(results["test"], COLUMNS, labels, NEVER_SAID),
        "audio_yardsticks": yardsticks(results["test"], labels),
        "audio_stability": tables.stabilities(results["test"]),
        "audio_likelihood": tables.likelihoods(results["test"]),
        "audio_diversity": tables.diversities(results["test"]),
        "audio_sounds": sounds(results["test"]),
        "audio_probe": probed(json.loads(PROBE_RESULTS.read_text(encoding="utf-8"))),
        "audio_training": tables.training(results),
    }


def main() -> None:
    passages = blocks(json.loads(RESULTS.read_text(encoding="utf-8")))
    for template, card in {**CARDS, README: README}.items():
        card.write_text(filled(template.read_text(encoding="utf-8"), passages), encoding="utf-8")
        print(f"wrote {card.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
