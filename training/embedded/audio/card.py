"""The audio cards' own passages; ``training.embedded.card`` writes those that both models have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.embedded.audio.material.recordings import load_sounds
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.tables import percent, table

LABELS = {
    "en-events": ("English, events", "Names the events in English, in their order and number."),
    "en-scene": ("English, scene and mood", "Names place and mood in English."),
    "fr-events": ("French, events", "Names the events in French, in their order and number."),
}
"""Of each annotator, the label and the description of the hypothesis that learns it."""
COLUMNS = {
    "recall": "events: recall",
    "precision": "precision",
    "family_recall": "families: recall",
    "family_precision": "precision",
    "background_right": "background right",
    "count_right": "count right",
    "mood_right": "mood right",
    "nothing_wrong": "nothing wrong",
    "informative": "and informative",
}
NEVER_NAMED = frozenset({("en-scene", "recall"), ("en-scene", "precision")})
LEAST_CLIPS = 5
LISTED = 10


def sounds(split: Mapping[str, Any]) -> str:
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


def reference_scores(split: dict[str, Any], labels: Mapping[str, str]) -> str:
    """The scores of the annotators themselves, and of a caption that names nothing."""
    found = split["reference_scores"]
    named = {f"annotator: {labels[mode]}": (mode, report) for mode, report in found["annotators"].items()}
    named |= {f"always “{text}”": ("", report) for text, report in found["empty"].items()}
    rows = [
        [name, *(percent(None if (mode, field) in NEVER_NAMED else report[field]) for field in COLUMNS)]
        for name, (mode, report) in named.items()
    ]
    return table(["", *COLUMNS.values()], rows)


def probed(results: dict[str, Any]) -> str:
    """How well sounds can be distinguished after each of the encoder's layers."""
    rows = [[layer, percent(found["seen"]), percent(found["unseen"])] for layer, found in results["layers"].items()]
    return table(["after layer", "new clips of training recordings", "recordings of held-out packages"], rows)


def passages(results: dict[str, Any], probe_results: dict[str, Any]) -> dict[str, str]:
    """The passages, by the name their markers carry after ``audio_``."""
    lexicon = load_lexicon()
    labels = {mode: label for mode, (label, _) in LABELS.items()}
    recordings = load_sounds()
    packages = {recording.package for recording in recordings}
    best, mean = (
        {split: results[split]["generation"]["caption-gate"][which] for split in ("test", "seen")}
        for which in ("best", "mean")
    )
    return {
        "counts": f"{len(lexicon.events)} sounds and {len(lexicon.backgrounds)} backgrounds.",
        "material": f"There are {len(recordings):,} recordings of {len(packages)} packages",
        "headline": f"On {results['test']['captioned']:,} test clips of recordings from packages that training "
        f"did not use, the best hypothesis names {percent(best['test']['recall'])} of the events "
        f"({percent(best['test']['family_recall'])} of their families); on new clips of trained-on recordings, "
        f"{percent(best['seen']['recall'])} ({percent(best['seen']['family_recall'])}). Of all hypotheses' captions, "
        f"{percent(mean['test']['nothing_wrong'])} hold nothing wrong ({percent(mean['seen']['nothing_wrong'])} on new "
        f"clips of trained-on recordings), {percent(mean['test']['informative'])} are also informative "
        f"({percent(mean['seen']['informative'])}).",
        "reference_scores": reference_scores(results["test"], labels),
        "sounds": sounds(results["test"]),
        "probe": probed(probe_results),
    }
