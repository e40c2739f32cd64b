"""Which columns a comparison fills, and the options that each depends on."""

from __future__ import annotations

from collections.abc import Mapping

from lora_mcl.errors import OptionsError
from lora_mcl.types import ColumnSpec, CompareOptions, Method

_EVERY = ("max_new_tokens", "min_new_tokens", "repetition_penalty")
USED_OPTIONS: Mapping[Method, tuple[str, ...]] = {
    "hypothesis": (*_EVERY, "hypothesis_beams", "length_penalty"),
    "beam": (*_EVERY, "num_beams", "length_penalty"),
    "diverse-beam": (*_EVERY, "num_beams", "num_beam_groups", "diversity_penalty", "length_penalty"),
    "sampling": (*_EVERY, "num_samples", "temperature", "top_k", "top_p", "typical_p", "seed"),
}
"""The options that the captions of a column depend on, by its method."""


def same_captions(method: Method, one: CompareOptions, two: CompareOptions) -> bool:
    """Whether a column of that method gets the same captions with both."""
    return all(getattr(one, name) == getattr(two, name) for name in USED_OPTIONS[method])


def chosen_columns(specs: tuple[ColumnSpec, ...], options: CompareOptions) -> tuple[ColumnSpec, ...]:
    """Those that ``options.columns`` names, in the order of ``specs``; all of them if it names none.

    Raises:
        OptionsError: it names one that there is not.
    """
    known = [spec.id for spec in specs]
    for id in options.columns:
        if id not in known:
            raise OptionsError(f"columns: there is no column {id!r}; there are {', '.join(known)}.")
    return tuple(spec for spec in specs if not options.columns or spec.id in options.columns)
