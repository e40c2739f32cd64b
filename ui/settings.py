"""The settings that the page and its API offer, with bounds for one visitor of a shared server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from reprlib import repr
from typing import Any

from lora_mcl.errors import OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.types import CaptionSource, ColumnSpec, CompareOptions, fitting_groups
from ui.models import SeveralCaptioners, captioner_of, with_model


@dataclass(frozen=True)
class Setting:
    """One slider of the page and parameter of the API.

    Attributes:
        name: a field of ``CompareOptions``.
        label, info: of the slider.
        documentation: of the parameter.
        low, high: bounds; a bundle's recommended value may be outside of them.
    """

    name: str
    label: str
    info: str
    documentation: str
    low: float
    high: float
    step: float


SETTINGS = (
    Setting(
        "num_beams",
        "Beams",
        "How many captions each baseline keeps, and lists",
        "beams of both searches, and captions they return.",
        1,
        12,
        1,
    ),
    Setting(
        "num_beam_groups",
        "Groups",
        "Diverse beam search splits the beams into equal groups",
        "groups of diverse beam search; must divide the beams. By default the bundle's, or fewer if those do not.",
        1,
        12,
        1,
    ),
    Setting(
        "diversity_penalty",
        "Diversity penalty",
        "How strongly a group avoids words that earlier groups chose",
        "subtracted from a token's score for each earlier group that chose it, in nats.",
        0,
        3,
        0.1,
    ),
    Setting(
        "hypothesis_beams",
        "Beams per hypothesis",
        "1 writes the likeliest word at every step",
        "beams of each hypothesis; 1 is greedy decoding.",
        1,
        8,
        1,
    ),
    Setting(
        "num_samples",
        "Samples",
        "Captions drawn at random, in a column of their own; 0 leaves it out",
        "captions drawn at random, in a column of their own; 0 leaves it out.",
        0,
        12,
        1,
    ),
    Setting(
        "max_new_tokens",
        "Longest caption",
        "In tokens, which are words or parts of words",
        "longest caption, in tokens.",
        4,
        128,
        1,
    ),
    Setting(
        "temperature",
        "Temperature",
        "Of the samples: higher draws unlikely words more often",
        "of the samples: above 1 unlikely tokens are drawn more often, below 1 less.",
        0.1,
        2,
        0.1,
    ),
    Setting(
        "seed",
        "Seed",
        "Of the samples: with the same one the same captions are drawn",
        "of the samples: the same one draws the same captions.",
        0,
        9999,
        1,
    ),
)
MODEL_DOCUMENTATION = "name of the model, by default the first one."
COLUMNS_DOCUMENTATION = (
    "ids of the columns to fill, such as hypothesis-0 and beam; all by default. That of the samples is there if "
    "num_samples is above 0."
)


_BY_NAME = {setting.name: setting for setting in SETTINGS}


def upper_bound(setting: Setting, defaults: CompareOptions) -> float:
    """Largest value allowed: the setting's own bound, or the bundle's recommendation if that is larger."""
    return max(setting.high, getattr(defaults, setting.name))


def lower_bound(setting: Setting, defaults: CompareOptions) -> float:
    """Smallest value allowed: the setting's own bound, or the bundle's recommendation if that is smaller."""
    return min(setting.low, getattr(defaults, setting.name))


def columns_to_choose(captioner: CaptionSource) -> tuple[ColumnSpec, ...]:
    """The columns that a visitor may leave out: all but sampling, which its number of samples asks for."""
    return captioner.columns(replace(captioner.defaults, num_samples=0, columns=()))


def chosen_ids(options: CompareOptions, captioner: CaptionSource) -> list[str]:
    """Those of ``columns_to_choose`` that the options ask for."""
    ids = [spec.id for spec in columns_to_choose(captioner_of(captioner, options))]
    return [id for id in ids if not options.columns or id in options.columns]


def options_for(values: Mapping[str, Any], captioner: CaptionSource) -> CompareOptions:
    """``options_from`` a visitor's values, and the columns of that captioner that they ask for.

    Raises:
        OptionsError: as ``options_from``, or a column or a model is not there, or no column is chosen.
    """
    if isinstance(captioner, SeveralCaptioners):
        model = captioner.name if values.get("model") is None else values["model"]
        if not isinstance(model, str):
            names, given = ", ".join(captioner.names), repr(model)
            raise OptionsError(Phrase("Model (model) must be one of {names}, not {value}.", names=names, value=given))
        return with_model(options_for(values, captioner.named(model)), model)
    options = options_from(values, captioner.defaults)
    asked, known = values.get("columns"), [spec.id for spec in columns_to_choose(captioner)]
    if asked is None:
        return options
    if not isinstance(asked, list) or not all(isinstance(id, str) for id in asked):
        raise OptionsError(
            Phrase("Columns (columns) must be a list such as {known}, not {value}.", known=known, value=repr(asked))
        )
    if not asked:
        raise OptionsError(Phrase("Choose at least one column."))
    for id in asked:
        if id not in (*known, "sampling"):
            raise OptionsError(
                Phrase("There is no column {id}; there are {known}.", id=repr(id), known=", ".join(known))
            )
    if set(asked) >= set(known):
        return replace(options, columns=())
    drawn = ["sampling"] if options.num_samples else []
    return replace(options, columns=tuple(id for id in (*known, *drawn) if id in (*asked, *drawn)))


def options_from(values: Mapping[str, Any], defaults: CompareOptions) -> CompareOptions:
    """The bundle's options with a visitor's values, which are untrusted and may be of any type.

    Without ``num_beam_groups``, the bundle's groups are fitted to the beams.

    Raises:
        OptionsError: a value is missing, not a number, out of bounds, or contradicts another.
    """
    values = dict(values)
    beams = values["num_beams"] = _checked(_BY_NAME["num_beams"], values.get("num_beams"), defaults)
    if values.get("num_beam_groups") is None:
        values["num_beam_groups"] = fitting_groups(beams, defaults.num_beam_groups)
    return replace(defaults, **{name: _checked(_BY_NAME[name], values.get(name), defaults) for name in _BY_NAME})


def _checked(setting: Setting, value: Any, defaults: CompareOptions) -> int | float:
    low, high = lower_bound(setting, defaults), upper_bound(setting, defaults)
    whole = isinstance(setting.step, int)
    number = not isinstance(value, bool) and isinstance(value, int | float) and low <= value <= high
    if not number or (whole and value != int(value)):
        wanted = {"label": Phrase(setting.label), "name": setting.name, "low": low, "high": high, "value": repr(value)}
        if whole:
            raise OptionsError(
                Phrase("{label} ({name}) must be a whole number from {low} to {high}, not {value}.", **wanted)
            )
        raise OptionsError(Phrase("{label} ({name}) must be a number from {low} to {high}, not {value}.", **wanted))
    return int(value) if whole else value
