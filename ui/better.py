"""The panel "Is it better?": the hypotheses against beam and diverse beam search, from the results file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from lora_mcl.errors import BundleError
from lora_mcl.phrases import Phrase
from ui.texts.texts import ENGLISH, Texts

Outcome = Literal["better", "equal", "worse"]

# Smaller differences count as equal: one point of a hundred.
_EQUAL = 0.01
_BASELINES = {"beam": "Beam search", "diverse-beam": "Diverse beam search"}
_HYPOTHESES = "caption-gate"


@dataclass(frozen=True)
class Measure:
    """One measure of three captions of each picture or sound, 0 to 1.

    Attributes:
        text: what is measured, in words.
        ours: of the hypotheses.
        baselines: of beam search and of diverse beam search.
        higher_is_better: or lower.
    """

    text: str
    ours: float
    baselines: tuple[float, ...]
    higher_is_better: bool = True

    def outcome(self, baseline: int) -> Outcome:
        """The hypotheses against one baseline; within one point of a hundred they are equal."""
        difference = round(self.ours - self.baselines[baseline], 6)
        if abs(difference) < _EQUAL:
            return "equal"
        return "better" if (difference > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Duel:
    """Photographs on which one of two captions names the main thing, and the other does not.

    Attributes:
        baseline: name of the other's system.
        wins, ties, losses: photographs that only ours names, that both name or neither, that only the other names.
    """

    baseline: str
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Better:
    """Contents of the panel.

    Attributes:
        about: what was measured on how many, in a sentence.
        duels: on real photographs; none for sounds.
    """

    about: str
    measures: tuple[Measure, ...]
    duels: tuple[Duel, ...] = ()

    def count(self, baseline: int, outcome: Outcome) -> int:
        """Measures with that outcome against one baseline."""
        return sum(measure.outcome(baseline) == outcome for measure in self.measures)


# Of each modality: what is measured, which of the best, the mean and the worst caption, its field in the file.
_MEASURES = {
    "image": (
        ("The place is right in one of the three captions", "best", "place_right"),
        ("Things that the best of the three names", "best", "recall"),
        ("Things that the average caption names", "mean", "recall"),
        ("Things that the worst of the three names", "worst", "recall"),
        ("The number of things is right, in the best of the three", "best", "count_right"),
    ),
    "audio": (
        ("The background is right in the best of the three captions", "best", "background_right"),
        ("Sounds whose family the best of the three names", "best", "family_recall"),
        ("Sounds whose family the average caption names", "mean", "family_recall"),
        ("Sounds whose family the worst of the three names", "worst", "family_recall"),
        ("Captions that say nothing wrong", "mean", "nothing_wrong"),
    ),
}
_OVERLAP = "Overlap of the three captions (mBLEU-4; less is more varied, and other languages overlap least)"


def load_better(modality: str, file: Path) -> Better:
    """The panel of an embedded model from its results file, ``assets/results/image.json`` or ``audio.json``.

    Raises:
        BundleError: the file is missing or does not hold these results.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return _better(modality, content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file} does not hold the results of the {modality} model: {error!r}.") from error


def _better(modality: str, content: Mapping[str, Any]) -> Better:
    test = content["test"]
    generation = test["generation"]

    def measure(text: str, part: str, field: str, higher_is_better: bool = True) -> Measure:
        ours, *others = (generation[system][part][field] for system in (_HYPOTHESES, *_BASELINES))
        return Measure(text, ours, tuple(others), higher_is_better)

    measures = [measure(_OVERLAP, "diversity", "mutual_bleu", higher_is_better=False)]
    measures += [measure(*one) for one in _MEASURES[modality]]
    noun = {"image": "pictures", "audio": "sounds"}[modality]
    about = Phrase(
        "Three captions of each of {count:,} test {noun}, composed by a program from material that no training saw; "
        "the baseline is one adapter, trained on the same captions.",
        count=test["captioned"],
        noun=Phrase(noun),
    )
    photographs = content.get("photographs")
    return Better(about, tuple(measures), _duels(photographs) if photographs else ())


def _duels(photographs: Mapping[str, Any]) -> tuple[Duel, ...]:
    objects, entries = photographs["objects_column"], photographs["entries"]

    def named(entry: Mapping[str, Any], column: str) -> bool:
        return bool(entry["columns"][column]["main"])

    duels = []
    for column, name in _BASELINES.items():
        pairs = [(named(entry, objects), named(entry, column)) for entry in entries]
        wins, losses = pairs.count((True, False)), pairs.count((False, True))
        duels.append(Duel(name, wins, len(pairs) - wins - losses, losses))
    return tuple(duels)


def better_html(found: Better, texts: Texts = ENGLISH) -> str:
    """The panel, folded: a summary in one line, then every measure with its outcome, losses as plain as wins."""
    heads = "".join(f'<th scope="col">{texts(name)}</th>' for name in ("Hypotheses", *_BASELINES.values()))
    rows = "".join(_row(measure, texts) for measure in found.measures)
    summary = texts("; ").join(_score(found, index, name, texts) for index, name in enumerate(_BASELINES.values()))
    return (
        f'<details class="better"><summary>{texts("Is it better than beam search?")}'
        f"<small>{escape(summary)}</small></summary>"
        f"<p>{escape(texts(found.about))}</p>"
        f'<table><thead><tr><th scope="col">{texts("Measure")}</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{_duels_html(found.duels, texts)}"
        f'<p class="note">{texts("Differences under one point count as equal.")} '
        f'<a class="to-tab" href="#results">{texts("All figures are in the Results tab")}</a></p></details>'
    )


def _score(found: Better, index: int, name: str, texts: Texts) -> str:
    return texts(
        "against {baseline}: better on {better} of {measures} measures, equal on {equal}, worse on {worse}",
        baseline=texts(name).lower(),
        measures=len(found.measures),
        better=found.count(index, "better"),
        equal=found.count(index, "equal"),
        worse=found.count(index, "worse"),
    )


def _row(measure: Measure, texts: Texts) -> str:
    cells = "".join(
        f'<td data-outcome="{measure.outcome(index)}">{texts.number(value, ".1%")}'
        f"<small>{texts(_WORDS[measure.outcome(index)])}</small></td>"
        for index, value in enumerate(measure.baselines)
    )
    ours = texts.number(measure.ours, ".1%")
    return f'<tr><th scope="row">{escape(texts(measure.text))}</th><td><b>{ours}</b></td>{cells}</tr>'


_WORDS = {"better": "hypotheses better", "equal": "equal", "worse": "hypotheses worse"}


def _duels_html(duels: Sequence[Duel], texts: Texts) -> str:
    if not duels:
        return ""
    total = duels[0].wins + duels[0].ties + duels[0].losses
    outcomes = [
        texts(
            "against {baseline}’s first, {wins} wins, {ties} ties, {losses} losses",
            baseline=texts(duel.baseline).lower(),
            wins=duel.wins,
            ties=duel.ties,
            losses=duel.losses,
        )
        for duel in duels
    ]
    sentence = texts(
        "On {total} real photographs, the caption of objects names the main thing: {outcomes} (a tie: both name it, or "
        "neither).",
        total=total,
        outcomes=escape(texts("; ").join(outcomes)),
    )
    return f"<p>{sentence}</p>"
