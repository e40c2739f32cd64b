"""The measured results that the page shows: read from the committed files in ``assets/results``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from lora_mcl.errors import BundleError
from lora_mcl.phrases import Phrase

_SYSTEMS = {
    "caption-gate": "Hypotheses (caption gate)",
    "relaxed": "Hypotheses (relaxed)",
    "beam": "Beam search",
    "diverse-beam": "Diverse beam search",
}
# Field of a score that the page shows as quality, and what it is.
_QUALITY = {
    "image": ("recall", "share of the things in a picture that its caption names rightly"),
    "audio": ("family_recall", "share of the sounds in a clip whose family its caption names rightly"),
}
# Modes of the embedded models' captions, by the labels of the hypotheses that won them.
MODES = {
    "en-objects": "English, objects",
    "en-place": "English, place and relations",
    "fr-place": "French, place and relations",
    "en-events": "English, events",
    "en-scene": "English, scene and mood",
    "fr-events": "French, events",
}
# Of the translation experiment: variant and system in the file, and what the page calls it.
_TRANSLATIONS = (
    ("caption-gate-4", "hypotheses x 4", "Hypotheses (caption gate)"),
    ("relaxed-4", "hypotheses x 4", "Hypotheses (relaxed)"),
    ("mle", "beam x 4", "Beam search"),
    ("mle", "diverse-beam-0.8 x 4", "Diverse beam search"),
    ("mle", "nucleus x 4", "Nucleus sampling"),
)
_LANGUAGES = {"fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}


@dataclass(frozen=True)
class SystemRow:
    """One system: quality of the best, of all and of the worst of its K captions, 0 to 100, and their mBLEU-4.

    ``deviations``: of best, mean and worst, standard deviations over random starts; empty if there was one.
    """

    name: str
    best: float
    mean: float
    worst: float
    mutual_bleu: float
    deviations: tuple[float, ...] = ()


@dataclass(frozen=True)
class Specialisation:
    """Of each mode's references, the share that each hypothesis explains best: [modes][K]."""

    system: str
    modes: tuple[str, ...]
    share: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class NumberRow:
    """NLL of references under K hypotheses, nats per token: of each one's best hypothesis, and of their mixture.

    ``starts``: random starts that both are means over; ``deviations``: of both, over these; empty for one.
    """

    hypotheses: int
    best: float
    mixture: float
    starts: int = 1
    deviations: tuple[float, ...] = ()


@dataclass(frozen=True)
class ResultSet:
    """Results of one file, on one kind of data.

    Attributes:
        quality: what "quality" is here, as a noun phrase.
        about: what was measured on what, and the limits, in sentences.
        numbers: the loss for each number of hypotheses, where several were trained.
    """

    name: str
    title: str
    quality: str
    about: str
    systems: tuple[SystemRow, ...]
    specialisations: tuple[Specialisation, ...]
    numbers: tuple[NumberRow, ...] = ()

    @property
    def is_captions(self) -> bool:
        """Whether it was measured on captions, by the models that come with the repository."""
        return self.name in _QUALITY


def load_results(folder: Path) -> tuple[ResultSet, ...]:
    """The result sets whose files are in the folder; none is needed.

    Raises:
        BundleError: a file is there and does not hold what it should.
    """
    readers = {"image": _scenes, "audio": _scenes, "translations": _translations}
    found = []
    for name, read in readers.items():
        file = folder / f"{name}.json"
        if not file.is_file():
            continue
        try:
            found.append(read(name, json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise BundleError(f"{file} does not hold the results of {name}: {error!r}.") from error
    return tuple(found)


def _scenes(name: str, content: Mapping[str, Any]) -> ResultSet:
    """The embedded models' own test scenes (``python -m training.embedded.evaluate``)."""
    test, (field, quality) = content["test"], _QUALITY[name]
    systems = tuple(
        SystemRow(
            _SYSTEMS[system],
            *(100 * report[which][field] for which in ("best", "mean", "worst")),
            report["diversity"]["mutual_bleu"],
        )
        for system, report in test["generation"].items()
    )
    specialisations = tuple(
        Specialisation(
            _SYSTEMS[system],
            tuple(MODES.get(mode, mode) for mode in test["modes"]),
            tuple(tuple(row) for row in test["likelihood"][system]["stability"]["win_share"]),
        )
        for system in ("caption-gate", "relaxed")
    )
    media = {"image": "pictures", "audio": "clips"}[name]
    return ResultSet(
        name,
        {"image": "Pictures", "audio": "Sounds"}[name],
        quality,
        Phrase(
            "Three captions of each of {count:,} test {media}, made by a program from material that no training saw; "
            "beam searches use one adapter with three beams; every adapter was trained once. The captions that the "
            "models learned from were written by programs too, so this shows what the method does, and little of how "
            "it does on captions by people.",
            count=test["captioned"],
            media=Phrase(media),
        ),
        systems,
        specialisations,
    )


def _translations(name: str, content: Mapping[str, Any]) -> ResultSet:
    """Messages translated by people (``python -m training.experiments.translations``); means over seeds."""
    runs: Sequence[Mapping[str, Any]] = content["runs"]
    systems = []
    for variant, system, title in _TRANSLATIONS:
        found = [run["systems"][system] for run in runs if run["variant"] == variant]
        if found:
            chrf = [[one["chrf"][which] for one in found] for which in ("best", "mean", "worst")]
            bleu = fmean(one["mutual_bleu"] for one in found)
            systems.append(SystemRow(title, *map(fmean, chrf), bleu, _deviations(chrf)))
    modes = tuple(_LANGUAGES[language] for language in content["languages"])
    specialisations = []
    for variant in ("caption-gate-4", "relaxed-4"):
        first = next((run for run in runs if run["variant"] == variant), None)
        if first is not None:
            share = tuple(tuple(row) for row in first["specialisation"]["share"])
            specialisations.append(Specialisation(_SYSTEMS[variant.removesuffix("-4")], modes, share))
    if not systems:
        raise ValueError("no run with four captions")
    return ResultSet(
        name,
        "Translations by people",
        "chrF of a caption against the nearest of the four translations",
        Phrase(
            "Four translations of each of {count} short messages of programs, which people translated into French, "
            "German, Spanish and Italian; the language is not given. The model is tiny and was trained for minutes, so "
            "its translations are poor; {starts}. What can be seen is which hypothesis takes which language, though "
            "none is named in training.",
            count=content["messages"]["test"],
            starts=_starts(Counter(run["variant"] for run in runs).values()),
        ),
        tuple(systems),
        tuple(specialisations),
        _numbers(runs),
    )


def _starts(counts: Collection[int]) -> Phrase:
    """How many random starts there were, from each variant's."""
    least, most = min(counts), max(counts)
    if most == 1:
        return Phrase("1 random start")
    if least == most:
        return Phrase("mean ± standard deviation over {count} random starts", count=most)
    return Phrase("mean ± standard deviation over {least} to {most} random starts", least=least, most=most)


def _deviations(figures: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Of each figure over its starts; empty if there is one start."""
    return tuple(map(pstdev, figures)) if len(figures[0]) > 1 else ()


def _numbers(runs: Sequence[Mapping[str, Any]]) -> tuple[NumberRow, ...]:
    """Means over seeds of one adapter and of the relaxed hypotheses, by K; none if K was not varied."""
    found: dict[int, list[Mapping[str, float]]] = {}
    for run in runs:
        if run["variant"] == "mle" or run["variant"].startswith("relaxed-"):
            found.setdefault(run["hypotheses"], []).append(run["likelihood"])
    rows = []
    for k in sorted(found):
        losses = [[one[name] for one in found[k]] for name in ("best", "mixture")]
        rows.append(NumberRow(k, *map(fmean, losses), len(found[k]), _deviations(losses)))
    return tuple(rows) if len(rows) > 1 else ()
