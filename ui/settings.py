"""The settings that the page offers, with the bounds of what one visitor may ask of a shared server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions


@dataclass(frozen=True)
class Setting:
    """One slider; ``name`` is a field of ``CompareOptions``."""

    name: str
    label: str
    info: str
    low: float
    high: float
    step: float


SETTINGS = (
    Setting("num_beams", "Beams", "How many captions each baseline keeps, and lists", 1, 12, 1),
    Setting("num_beam_groups", "Groups", "Diverse beam search splits the beams into equal groups", 1, 12, 1),
    Setting(
        "diversity_penalty",
        "Diversity penalty",
        "How strongly a group avoids words that earlier groups chose",
        0,
        3,
        0.1,
    ),
    Setting("hypothesis_beams", "Beams per hypothesis", "1 writes the likeliest word at every step", 1, 8, 1),
    Setting("num_samples", "Samples", "Captions drawn at random, in a column of their own; 0 leaves it out", 0, 12, 1),
    Setting("max_new_tokens", "Longest caption", "In tokens, which are words or parts of words", 4, 128, 1),
)


def upper_bound(setting: Setting, defaults: CompareOptions) -> float:
    """The largest value a visitor may ask for: a bundle that recommends more is followed."""
    return max(setting.high, getattr(defaults, setting.name))


def options_from(values: dict[str, Any], defaults: CompareOptions) -> CompareOptions:
    """The bundle's options with a visitor's values, which come from outside and may be anything.

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
    """The largest number of equal groups that the beams can be split into, up to the one asked for."""
    return max(groups for groups in range(1, max(1, num_beam_groups) + 1) if num_beams % groups == 0)
