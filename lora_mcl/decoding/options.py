"""Checks shared by the decoding options: each raises an OptionsError that names the option and the reason."""

from __future__ import annotations

import math
from typing import Literal

from lora_mcl.errors import OptionsError

EarlyStopping = bool | Literal["never"]


def check_whole(name: str, value: int, *, least: int) -> None:
    """Require a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionsError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def check_finite(name: str, value: float, *, least: float = -math.inf) -> None:
    """Require a finite number of at least ``least``."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise OptionsError(f"{name} must be a finite number{bound}, not {value!r}.")


def check_token_ids(name: str, token_ids: tuple[int, ...]) -> None:
    """Require a tuple of distinct, non-negative token ids."""
    if not isinstance(token_ids, tuple):
        raise OptionsError(f"{name} must be a tuple of token ids, not {token_ids!r}.")
    for token_id in token_ids:
        if isinstance(token_id, bool) or not isinstance(token_id, int) or token_id < 0:
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
    check_finite("length_penalty", length_penalty)
    if not isinstance(early_stopping, bool) and early_stopping != "never":
        raise OptionsError(f'early_stopping must be True, False or "never", not {early_stopping!r}.')
