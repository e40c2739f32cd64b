"""The audio cards' own passages; ``training.embedded.card`` writes those that both models have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from training.embedded.audio.material.recordings import load_sounds
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.tables import percent, table
from training.paths import RESULTS

TRIALS = RESULTS / "audio_trials.json"
"""What ``training.embedded.audio.trials`` writes."""

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


def repetitions(split: Mapping[str, Any]) -> str:
    """How often captions state the same clause twice."""
    found = split["repetitions"]
    hypotheses = [share for column, share in found.items() if column.startswith("caption-gate/")]
    return (
        f'The same clause twice in one caption ("a dog barks, then a dog barks"): {percent(max(hypotheses))} of the '
        f"captions of the hypothesis that does it most, {percent(found['beam'])} of beam search, "
        f"{percent(found['diverse-beam'])} of diverse beam search."
    )


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


def tried(results: dict[str, Any]) -> str:
    """What the trials found, for the model's card."""
    text, rounds, net = results["audiocaps"], results["rounds"], results["soundnet"]
    plain = rounds["base-2, first round's clips"]["mean"]
    sound, family = net["sound"], net["family"]
    return (
        f"*More augmentation and mixing* is kept: after the second round the test clips' captions have an NLL of "
        f"{rounds['base-2']['mean']:.3f} nats per token, {plain:.3f} after one as long on the first round's clips, "
        f"{rounds['base']['mean']:.3f} after the first round. *A third round* with single recordings, as people upload "
        f"them, is not: {rounds['base-3, single recordings']['mean']:.3f}. Nor is *SoundNet*: with its fifth "
        f"convolution added to the tower, the same small classifier names {percent(sound['with_conv5'])} of held-out "
        f"packages' sounds in place of {percent(sound['whisper'])} ({_points(sound)}), and "
        f"{percent(family['with_conv5'])} of their families in place of {percent(family['whisper'])} "
        f"({_points(family)}; 95 %, {net['clips']} clips): "
        "too little for a tower that no longer is the stock one. *People's own words* are not: of AudioCaps' "
        f"{text['captions']:,} captions {text['name_a_sound']:,} name a sound in the lexicon's words, and "
        f"{text['say_nothing_else']}, of {text['sounds']} sounds, say nothing else: too few to learn from."
    )


def _points(trial: dict[str, Any]) -> str:
    first, last = (100 * bound for bound in trial["gain_of_conv5"])
    return f"{first:+.1f} to {last:+.1f} points"


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
        "repetitions": repetitions(results["test"]),
        "probe": probed(probe_results),
        "trials": tried(json.loads(TRIALS.read_text(encoding="utf-8"))),
    }
