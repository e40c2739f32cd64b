"""The settings that the page and its API offer, with bounds for one visitor of a shared server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions


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
        "groups of diverse beam search; must divide the beams.",
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


def upper_bound(setting: Setting, defaults: CompareOptions) -> float:
    """Largest value allowed: the setting's own bound, or the bundle's recommendation if that is larger."""
    return max(setting.high, getattr(defaults, setting.name))


def options_from(values: dict[str, Any], defaults: CompareOptions) -> CompareOptions:
    """The bundle's options with a visitor's values, which are untrusted and may be of any type.

    Raises:
        OptionsError: a value is missing, not a number, out of the page's bounds, or contradicts another.
    """
    chosen = {}
    for setting in SETTINGS:
        value = values[setting.name]
        low, high = setting.low, upper_bound(setting, defaults)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise OptionsError(f"{setting.label} ({setting.name}) must be a number from {low} to {high}.")
        whole = isinstance(value, float) and value.is_integer()
        chosen[setting.name] = int(value) if whole else value
    return replace(defaults, **chosen)


def fitting_groups(num_beams: int, num_beam_groups: int) -> int:
    """The largest number of equal groups that the beams can be split into, at most ``num_beam_groups``."""
    return max(groups for groups in range(1, max(1, num_beam_groups) + 1) if num_beams % groups == 0)
