"""How the engine runs, and the checks that the decoding options share: each raises an OptionsError with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import is_number, is_whole_number

EarlyStopping = bool | Literal["never"]
Acceleration = Literal["off", "static", "cuda-graph", "compile"]


@dataclass(frozen=True)
class EngineOptions:
    """How the engine runs the model; none of it changes what is decoded.

    Attributes:
        share_prompts: keep one copy of a prompt's keys and values for all rows that continue it. For models that
            cannot attend to it (sliding windows, attention of their own) it is copied in any case.
        acceleration: "cuda-graph" records a step once and replays it; "compile" compiles it with torch.compile,
            and records that where there is CUDA. Both cost time at the first request of a shape and keep their
            buffers between requests. "static" is what both build on, fixed shapes and addresses, and gains nothing
            by itself. Where one is not possible, decoding goes on without, and the reason is logged.
        compile_backend: of torch.compile.

    Raises:
        OptionsError: an unknown acceleration, or one without shared prompts.
    """

    share_prompts: bool = True
    acceleration: Acceleration = "off"
    compile_backend: str = "inductor"

    def __post_init__(self) -> None:
        if self.acceleration not in get_args(Acceleration):
            known = ", ".join(get_args(Acceleration))
            raise OptionsError(f"acceleration must be one of {known}, not {self.acceleration!r}.")
        if self.acceleration != "off" and not self.share_prompts:
            raise OptionsError(f"acceleration {self.acceleration!r} needs share_prompts.")


@dataclass(frozen=True)
class SchedulerOptions:
    """How many requests run at a time. A request that is larger than a bound runs alone.

    Attributes:
        max_rows: the most rows that the running requests may have together.
        max_cache_bytes: the most bytes that their keys and values may take; None for no bound.

    Raises:
        OptionsError: a value is out of range.
    """

    max_rows: int = 256
    max_cache_bytes: int | None = None

    def __post_init__(self) -> None:
        check_whole("max_rows", self.max_rows, least=1)
        if self.max_cache_bytes is not None:
            check_whole("max_cache_bytes", self.max_cache_bytes, least=1)


def check_whole(name: str, value: int, *, least: int) -> None:
    """Require a whole number of at least ``least``."""
    if not is_whole_number(value) or value < least:
        raise OptionsError(f"{name} must be a whole number of at least {least}, not {value!r}.")


LENGTH_PENALTY = (-20.0, 20.0)
"""Of useful values, with a wide margin: powers of a caption's length stay finite."""
TEMPERATURE = (1e-6, 100.0)
"""Between the likeliest token alone and a uniform draw: divided logits stay finite."""
REPETITION_PENALTY = (0.01, 100.0)
DIVERSITY_PENALTY = (0.0, 1000.0)


def check_finite(name: str, value: float, *, least: float = -math.inf, most: float = math.inf) -> None:
    """Require a finite number from ``least`` to ``most``."""
    if not is_number(value) or not math.isfinite(value) or not least <= value <= most:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        if most != math.inf:
            bound = f" from {least:g} to {most:g}"
        raise OptionsError(f"{name} must be a finite number{bound}, not {value!r}.")


def check_token_ids(name: str, token_ids: tuple[int, ...]) -> None:
    """Require a tuple of distinct, non-negative token ids."""
    if not isinstance(token_ids, tuple):
        raise OptionsError(f"{name} must be a tuple of token ids, not {token_ids!r}.")
    for token_id in token_ids:
        if not is_whole_number(token_id) or token_id < 0:
            raise OptionsError(f"{name} must hold token ids (whole numbers from 0), not {token_id!r}.")
    if len(set(token_ids)) != len(token_ids):
        raise OptionsError(f"{name} names a token twice: {token_ids}.")


def check_beams(
    num_beams: int, num_return_sequences: int | None, length_penalty: float, early_stopping: EarlyStopping
) -> None:
    """Check the options that beam search and diverse beam search have in common."""
    check_whole("num_beams", num_beams, least=1)
    if num_return_sequences is not None:
        check_whole("num_return_sequences", num_return_sequences, least=1)
        if num_return_sequences > num_beams:
            raise OptionsError(f"num_return_sequences must be at most num_beams: {num_return_sequences} > {num_beams}.")
    check_finite("length_penalty", length_penalty, least=LENGTH_PENALTY[0], most=LENGTH_PENALTY[1])
    if not isinstance(early_stopping, bool) and early_stopping != "never":
        raise OptionsError(f'early_stopping must be True, False or "never", not {early_stopping!r}.')


def check_sampling(
    num_samples: int, temperature: float, top_k: int | None, top_p: float, typical_p: float, seed: int
) -> None:
    """Check the options of sampling."""
    check_whole("num_samples", num_samples, least=1)
    check_finite("temperature", temperature)
    if temperature <= 0:
        raise OptionsError(
            f"temperature must be above 0, not {temperature!r}: for the likeliest token always, use Greedy."
        )
    check_finite("temperature", temperature, least=TEMPERATURE[0], most=TEMPERATURE[1])
    if top_k is not None:
        check_whole("top_k", top_k, least=1)
    for name, value in (("top_p", top_p), ("typical_p", typical_p)):
        check_finite(name, value)
        if not 0 < value <= 1:
            raise OptionsError(f"{name} must be above 0 and at most 1, not {value!r}.")
    check_whole("seed", seed, least=0)
