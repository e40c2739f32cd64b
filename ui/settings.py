"""The settings that the page and its API offer, with bounds for one visitor of a shared server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from reprlib import repr
from typing import Any

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions, fitting_groups


@dataclass(frozen=True)
class Setting:
    """One slider of the page and parameter of the API.

    Attributes:
        name: a field of ``CompareOptions``.
        label, info: of the slider.
        documentation: of the parameter.
        low, high: bounds; a bundle's recommended value may be above ``high``.
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
)


_BY_NAME = {setting.name: setting for setting in SETTINGS}


def upper_bound(setting: Setting, defaults: CompareOptions) -> float:
    """Largest value allowed: the setting's own bound, or the bundle's recommendation if that is larger."""
    return max(setting.high, getattr(defaults, setting.name))


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
    low, high = setting.low, upper_bound(setting, defaults)
    whole = isinstance(setting.step, int)
    number = not isinstance(value, bool) and isinstance(value, int | float) and low <= value <= high
    if not number or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise OptionsError(
            f"{setting.label} ({setting.name}) must be a {kind} from {low} to {high}, not {repr(value)}."
        )
    return int(value) if whole else value
