"""What the loaded model can and cannot do, with the measured figures, in words for laypeople."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, Bundle
from ui.modality import AUDIO, IMAGE, ModalityText


@dataclass(frozen=True)
class ModelInfo:
    """What the loaded model can and cannot do.

    Attributes:
        can: what it was made for, with measured figures where there are any.
        cannot: where to expect mistakes.
    """

    can: str
    cannot: str


@dataclass(frozen=True)
class _EmbeddedText:
    """Wording for the embedded model of one modality.

    Attributes:
        vocabulary: what it knows, where the bundle gives no counts.
        counted: the same with the counts, whose names in the bundle's training summary are in braces.
        counts: those names.
        learned_from: the training data.
        figures: the sentence with the figures, from the results file.
    """

    vocabulary: str
    counted: str
    counts: tuple[str, ...]
    learned_from: str
    figures: Callable[[Mapping[str, Any]], str]
    cannot: str


def _image_figures(results: Mapping[str, Any]) -> str:
    photographs, best = results["photographs"], results["test"]["generation"]["caption-gate"]["best"]
    return (
        f"On {photographs['photographs']} photographs kept aside for testing, one of its answers names the main thing "
        f"in {photographs['main_named_by_some']:.0%} ({photographs['main_named_by_some_coco']:.0%} of people, pets, "
        f"vehicles and other everyday things that its detector knows), and {photographs['nothing_wrong']:.0%} of all "
        f"answers are right in everything they name; on composed scenes, one of them has the place right in "
        f"{best['place_right']:.0%}."
    )


def _audio_figures(results: Mapping[str, Any]) -> str:
    found = [results[split]["generation"]["caption-gate"] for split in ("test", "seen")]
    new, known = (one["best"] for one in found)
    return (
        f"On {results['test']['captioned']:,} clips of recordings that are new to it, the best of its answers "
        f"named {new['recall']:.0%} of the sounds, and the kind (an animal, a machine …) of "
        f"{new['family_recall']:.0%}; with recordings that it knows, in new mixes, {known['recall']:.0%} and "
        f"{known['family_recall']:.0%}. Of all its answers, {found[0]['mean']['nothing_wrong']:.0%} held nothing "
        f"wrong of new recordings, and {found[1]['mean']['nothing_wrong']:.0%} of those that it knows."
    )


_EMBEDDED = {
    IMAGE.name: _EmbeddedText(
        vocabulary="everyday things and places",
        counted="{concepts} everyday things and {places} places",
        counts=("concepts", "places"),
        learned_from=(
            "composed scenes (drawings and cut-out photographs of animals, food, vehicles, clothes, furniture … set "
            "into photographs), simulated photographs and a few real ones."
        ),
        figures=_image_figures,
        cannot=(
            "It does not read writing, and it does not know who people are, what they do, or brands. Where it is not "
            "sure it should say less (“an animal”, “an object”), but it still takes some things for others, just as "
            "confidently. Most examples on this page were chosen because it describes them well; expect less of your "
            "own."
        ),
    ),
    AUDIO.name: _EmbeddedText(
        vocabulary="everyday sounds",
        counted="{sounds} everyday sounds and {backgrounds} backgrounds",
        counts=("sounds", "backgrounds"),
        learned_from="mixed clips: animals, vehicles, tools, weather, people, musical instruments …",
        figures=_audio_figures,
        cannot=(
            "It does not understand speech, and knows no songs, voices or languages by name but English and "
            "French. Of a sound unlike the recordings it learned from, it names only the kind (“an animal makes a "
            "noise”) or how it sounds (“something makes a short low noise”), or takes it for another one; of several "
            "at once, it often names only some, or makes one up. The examples on this page were chosen "
            "because it describes them well; expect less of your own."
        ),
    ),
}


def embedded_info(modality: ModalityText, training: Mapping[str, Any], results: Path) -> ModelInfo:
    """Description of the small model that comes with the repository.

    Args:
        training: the bundle's training summary, with the counts of its vocabulary.
        results: the file of measured figures; without it no figure is given.
    """
    text = _EMBEDDED[modality.name]
    has_counts = all(name in training for name in text.counts)
    vocabulary = text.counted.format_map(training) if has_counts else text.vocabulary
    can = f"It is tiny and runs on any computer. It learned {vocabulary} from {text.learned_from}"
    if results.is_file():
        can += " " + text.figures(json.loads(results.read_text(encoding="utf-8")))
    return ModelInfo(can, text.cannot)


def bundle_info(name: str) -> ModelInfo:
    """Description of any other model: a pointer to its own card."""
    return ModelInfo(
        can=f"This page runs {name}. Its model card says what it was trained on and how well it does.",
        cannot="Captions are a model's guesses: they can be wrong, and sound sure all the same.",
    )


def info_of(bundle: Bundle, results: Path) -> ModelInfo:
    """Description of a bundle's model; ``results`` is the folder of the measured figures of the embedded ones."""
    for modality, folder in ((IMAGE, EMBEDDED_BUNDLE), (AUDIO, EMBEDDED_AUDIO_BUNDLE)):
        if bundle.folder.resolve() == folder:
            return embedded_info(modality, bundle.training, results / f"{modality.name}.json")
    return bundle_info(bundle.name)


def model_info_html(info: ModelInfo) -> str:
    """The two paragraphs next to the examples."""
    return (
        '<section class="about" aria-label="What this model can and cannot do">'
        f"<p><b>What it can do.</b> {escape(info.can)}</p>"
        f"<p><b>What it cannot.</b> {escape(info.cannot)}</p></section>"
    )
