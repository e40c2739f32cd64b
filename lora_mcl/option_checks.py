"""Checks of option dataclasses by their annotations: types, choices and bounds of every field, in one place.

@dataclass(frozen=True)
class Options:
    rate: Positive                      # Annotated[float, Range(above=0)]
    schedule: Literal["cosine", "linear"] = "cosine"

    def __post_init__(self) -> None:
        check_fields(self)
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lora_mcl.errors import OptionsError


@dataclass(frozen=True)
class Range:
    """Bounds of a number: ``least`` <= number, ``above`` < number < ``below``."""

    least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.least <= number and self.above < number < self.below

    def __str__(self) -> str:
        if self.below < math.inf:
            return f"in {f'[{self.least:g}' if self.above == -math.inf else f'({self.above:g}'}, {self.below:g})"
        if self.above > -math.inf:
            return "positive" if self.above == 0 else f"above {self.above:g}"
        return f"at least {self.least:g}"


Count = Annotated[int, Range(least=1)]
NonNegativeInt = Annotated[int, Range(least=0)]
Seed = Annotated[int, Range(least=0, below=2**32)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, below=1)]
"""A number in [0, 1)."""

_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}


def check_fields(options: Any) -> None:
    """Check every field of a dataclass against its annotation; fields of other kinds of types are not looked at.

    A number that is NaN or infinite fits no annotation.

    Raises:
        OptionsError: a field does not fit; the message names it and what would fit.
    """
    check_values(type(options), {field.name: getattr(options, field.name) for field in fields(options)})


def check_values(kind: type, values: Mapping[str, Any], prefix: str = "") -> None:
    """Check values that fields of the dataclass ``kind`` shall hold; ``prefix`` opens their names in messages.

    Raises:
        OptionsError: as for ``check_fields``.
    """
    annotations = annotations_of(kind)
    for name, value in values.items():
        _check(annotations[name], value, f"{prefix}{name}")


@cache
def annotations_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass' fields by name, resolved, with their bounds."""
    return get_type_hints(kind, include_extras=True)


def nearest(name: str, known: Iterable[Any]) -> str | None:
    """The known name closest to a misspelt one, or None."""
    return next(iter(difflib.get_close_matches(str(name), list(map(str, known)), 1, 0.5)), None)


def is_whole_number(value: Any) -> bool:
    """Whether it is an int; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check(annotation: Any, value: Any, name: str) -> None:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        _check(inner[0], value, name)
        for bounds in inner[1:]:
            if value not in bounds:
                raise OptionsError(f"{name} must be {bounds}; got {value}")
    elif origin in (Union, types.UnionType):
        # The branch of the value's own type gives the specific message.
        option = next((option for option in inner if _is_of_type(option, value)), None)
        if option is None and len(others := [option for option in inner if option is not types.NoneType]) == 1:
            option = others[0]
        if option is None:
            raise _wrong(annotation, value, name)
        _check(option, value, name)
    elif origin is Literal:
        if value not in inner:
            advice = f"; did you mean {near}?" if (near := nearest(value, inner)) else ""
            raise OptionsError(f"{name} must be one of {', '.join(map(str, inner))}; got {value!r}{advice}")
    elif not _is_of_type(annotation, value):
        if is_dataclass(annotation):
            raise OptionsError(f"{name} must be a section of keys, not {value!r}")
        raise _wrong(annotation, value, name)
    elif origin is tuple:
        kinds = [inner[0]] * len(value) if inner[1:] == (Ellipsis,) else inner
        if len(kinds) != len(value):
            raise OptionsError(f"{name} must be a list of {len(kinds)}; got {len(value)}")
        for number, (kind, item) in enumerate(zip(kinds, value, strict=True)):
            _check(kind, item, f"{name}[{number}]")
    elif annotation in (int, float) and not math.isfinite(value):
        raise OptionsError(f"{name} must be a finite number; got {value}")


def _is_of_type(annotation: Any, value: Any) -> bool:
    """Whether the value is of the type, but for its bounds; True for types that are not checked."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_of_type(inner[0], value)
    if origin is Literal:
        return any(isinstance(value, type(choice)) for choice in inner)
    if origin is tuple:
        return isinstance(value, tuple | list)
    if annotation is float:
        return is_number(value)
    if annotation is int:
        return is_whole_number(value)
    checked = isinstance(annotation, type) and origin is None and annotation is not Any
    return isinstance(value, annotation) if checked else True


def _name_of(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _name_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        options = get_args(annotation)
        return " or ".join(_name_of(option) if option is not types.NoneType else "null" for option in options)
    return _TYPE_NAMES.get(annotation, "a list")


def _wrong(annotation: Any, value: Any, name: str) -> OptionsError:
    return OptionsError(f"{name} must be {_name_of(annotation)}; got {value!r}")
