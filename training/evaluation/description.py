"""Labels and descriptions of hypotheses, from what distinguishes their captions: language, length, typical words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lora_mcl.bundle import Bundle, save_bundle
from lora_mcl.languages import LANGUAGES, language_of

MOSTLY = 0.6
"""Share of a hypothesis' captions that must be in a language for it to be called one of that language."""
LONGER = 1.25
"""A caption length so many times the others' mean is called long; shorter by as much, short."""

Report = Sequence[Mapping[str, Any]]


def language_shares(captions: Sequence[str]) -> dict[str, float]:
    """Share of the captions in each language, most frequent first; captions too short to say are left out."""
    codes = Counter(code for code in map(language_of, captions) if code is not None)
    return {code: round(count / codes.total(), 4) for code, count in codes.most_common()}


def describe(hypotheses: Report) -> list[tuple[str, str]]:
    """(label, description) of every hypothesis of ``specialisation(...)["hypotheses"]``, all labels different.

    The label names what is not the same for all: the language, then whether captions are long or short, then the most
    typical word; a hypothesis that nothing distinguishes has its number.
    """
    languages = [_language(one) for one in hypotheses]
    lengths = _lengths([one["words"] for one in hypotheses])
    labels: list[str] = []
    for k, one in enumerate(hypotheses):
        parts = [languages[k]] if len(set(languages)) > 1 and languages[k] else []
        alike = [j for j in range(len(hypotheses)) if languages[j] == languages[k] or not parts]
        if len(alike) > 1 and len({lengths[j] for j in alike}) > 1 and lengths[k]:
            parts.append(lengths[k])
        label = ", ".join(parts)
        if not label or label in labels:
            word = f"“{one['typical'][0]}”" if one["typical"] else f"hypothesis {k + 1}"
            label = f"{label}, {word}" if label else word
        label = label[0].upper() + label[1:]
        labels.append(label if label not in labels else f"{label} ({k + 1})")
    return [(label, _description(one)) for label, one in zip(labels, hypotheses, strict=True)]


def label_bundle(bundle: Bundle, hypotheses: Report) -> Bundle:
    """The bundle with these labels and descriptions, saved; its ``bundle.json`` may be edited afterwards.

    Raises:
        ValueError: the report is of another number of hypotheses.
    """
    texts = describe(hypotheses)
    refs = tuple(
        replace(ref, label=label, description=description)
        for ref, (label, description) in zip(bundle.hypotheses, texts, strict=True)
    )
    labelled = replace(bundle, hypotheses=refs)
    save_bundle(labelled)
    return labelled


def _language(one: Mapping[str, Any]) -> str:
    """Name of the language that most captions are in, empty if there is none."""
    code, share = next(iter(one["languages"].items()), ("", 0.0))
    return LANGUAGES[code] if share >= MOSTLY else ""


def _lengths(words: Sequence[float]) -> list[str]:
    """``long`` or ``short`` where captions are so against the mean of the other hypotheses', else empty."""
    found = []
    for k, own in enumerate(words):
        others = [length for j, length in enumerate(words) if j != k]
        mean = sum(others) / len(others) if others else own
        found.append("long" if own >= LONGER * mean else "short" if own * LONGER <= mean else "")
    return found


def _description(one: Mapping[str, Any]) -> str:
    """Such as "Explains 34 % of the references best; 9.1 words a caption, typically “a”, “cat”."."""
    text = f"Explains {round(100 * one['wins'])} % of the references best; {one['words']:.1f} words a caption"
    typical = ", ".join(f"“{word}”" for word in one["typical"][:3])
    return f"{text}, typically {typical}." if typical else f"{text}."
