"""What the loaded model can and cannot do, with the measured figures, in words for laypeople."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, Bundle
from lora_mcl.phrases import Phrase
from ui.modality import AUDIO, IMAGE, ModalityText
from ui.texts.texts import ENGLISH, Texts


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
    """Wording for the embedded model of one modality: a sentence on what it can do and one on what it cannot.

    Attributes:
        vocabulary: what it knows, where the bundle gives no counts.
        counted: the same with the counts, whose names in the bundle's training summary are in braces.
        counts: those names.
        figures: the rest of the sentence with the figures, from the results file.
    """

    vocabulary: str
    counted: str
    counts: tuple[str, ...]
    figures: Callable[[Mapping[str, Any]], Phrase]
    cannot: str


def _image_figures(results: Mapping[str, Any]) -> Phrase:
    photographs = results["photographs"]
    return Phrase(
        ", and one of its answers named the main thing in {named:.0%} of {photographs} photographs kept aside for "
        "testing",
        named=photographs["main_named_by_some"],
        photographs=photographs["photographs"],
    )


def _audio_figures(results: Mapping[str, Any]) -> Phrase:
    best = results["test"]["generation"]["caption-gate"]["best"]
    return Phrase(
        ", and in {clips:,} clips of recordings kept aside for testing the best of its answers named the kind (an "
        "animal, a machine …) of {kinds:.0%} of the sounds, and {names:.0%} by name",
        clips=results["test"]["captioned"],
        kinds=best["family_recall"],
        names=best["recall"],
    )


_EMBEDDED = {
    IMAGE.name: _EmbeddedText(
        vocabulary="everyday things and places",
        counted="{concepts} everyday things and {places} places",
        counts=("concepts", "places"),
        figures=_image_figures,
        cannot=(
            "It does not read writing or know people, brands and actions, and it is wrong as confidently as it is "
            "right: expect less of your own pictures than of most examples, which it describes well."
        ),
    ),
    AUDIO.name: _EmbeddedText(
        vocabulary="everyday sounds",
        counted="{sounds} everyday sounds and {backgrounds} backgrounds",
        counts=("sounds", "backgrounds"),
        figures=_audio_figures,
        cannot=(
            "It does not understand speech or know songs and voices, and it takes sounds that it does not know for "
            "others, or names their kind only: expect less of your own recordings than of the "
            "examples, which it describes well."
        ),
    ),
}


def embedded_info(modality: ModalityText, training: Mapping[str, Any], results: Path) -> ModelInfo:
    """Description of the small model that comes with the repository, in two sentences.

    Args:
        training: the bundle's training summary, with the counts of its vocabulary.
        results: the file of measured figures; without it no figure is given.
    """
    text = _EMBEDDED[modality.name]
    has_counts = all(name in training for name in text.counts)
    counts = {name: training[name] for name in text.counts} if has_counts else {}
    vocabulary = Phrase(text.counted, **counts) if has_counts else Phrase(text.vocabulary)
    figures = text.figures(json.loads(results.read_text(encoding="utf-8"))) if results.is_file() else ""
    return ModelInfo(Phrase("It knows {vocabulary}{figures}.", vocabulary=vocabulary, figures=figures), text.cannot)


def bundle_info(name: str) -> ModelInfo:
    """Description of any other model: a pointer to its own card."""
    return ModelInfo(
        can=Phrase(
            "This page runs {name}. Its model card says what it was trained on and how well it does.", name=name
        ),
        cannot="Captions are a model's guesses: they can be wrong, and sound sure all the same.",
    )


def side_by_side_info() -> ModelInfo:
    """Description of two models in one comparison."""
    return ModelInfo(
        can="It compares what the hypotheses of both models answer, such as before and after training.",
        cannot="Their log-probabilities are those of different models: they cannot be compared with each other.",
    )


def info_of(bundle: Bundle, results: Path) -> ModelInfo:
    """Description of a bundle's model; ``results`` is the folder of the measured figures of the embedded ones."""
    for modality, folder in ((IMAGE, EMBEDDED_BUNDLE), (AUDIO, EMBEDDED_AUDIO_BUNDLE)):
        if bundle.folder.resolve() == folder:
            return embedded_info(modality, bundle.training, results / f"{modality.name}.json")
    return bundle_info(bundle.name)


def model_info_html(info: ModelInfo, texts: Texts = ENGLISH) -> str:
    """The two paragraphs next to the examples."""
    return (
        f'<section class="about" aria-label="{texts("What this model can and cannot do")}">'
        f"<p><b>{texts('What it can do.')}</b> {escape(texts(info.can))}</p>"
        f"<p><b>{texts('What it cannot.')}</b> {escape(texts(info.cannot))}</p></section>"
    )
