"""Fields against their annotations: what fits, and the message where one does not."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import (
    Count,
    NonNegative,
    NonNegativeInt,
    Positive,
    Range,
    Seed,
    Share,
    check_fields,
    check_values,
)


@dataclass(frozen=True)
class Options:
    count: Count = 1
    rate: Positive | None = None
    share: Share = 0.5
    betas: tuple[Share, Share] = (0.1, 0.2)
    names: str | tuple[str, ...] = "all"
    seed: Seed = 0
    quick: bool = False
    kind: Literal["one", "other"] = "one"
    folder: Path = Path()

    def __post_init__(self):
        check_fields(self)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"count": 1, "rate": 1e-30, "share": 0, "seed": 2**32 - 1},
        {"share": math.nextafter(1, 0), "betas": (0.0, 0.999), "names": ("a", "b"), "kind": "other"},
        {"rate": 3, "betas": [0, 0.5]},
    ],
)
def test_values_at_their_bounds_fit(values):
    Options(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count must be at least 1; got 0"),
        ({"count": True}, "count must be a whole number; got True"),
        ({"count": 1.0}, "count must be a whole number; got 1.0"),
        ({"rate": 0.0}, "rate must be positive; got 0.0"),
        ({"rate": "fast"}, "rate must be a number; got 'fast'"),
        ({"share": 1.0}, r"share must be in \[0, 1\); got 1.0"),
        ({"share": -1e-9}, r"share must be in \[0, 1\); got -1e-09"),
        ({"betas": (0.1, 1.0)}, r"betas\[1\] must be in \[0, 1\); got 1.0"),
        ({"betas": (0.1,)}, "betas must be a list of 2; got 1"),
        ({"names": 3}, "names must be a text or a list; got 3"),
        ({"names": ("a", 3)}, r"names\[1\] must be a text; got 3"),
        ({"seed": -1}, "seed must be in "),
        ({"seed": 2**32}, "seed must be in "),
        ({"quick": 1}, "quick must be true or false; got 1"),
        ({"kind": "otter"}, "kind must be one of one, other; got 'otter'; did you mean other?"),
        ({"kind": None}, "kind must be one of one, other; got None"),
        ({"folder": "text"}, "folder must be a path; got 'text'"),
        *(({name: value}, f"{name} must be a finite number; got") for name in ("rate", "share") for value in
          (math.nan, math.inf, -math.inf)),
        ({"betas": (math.nan, 0.1)}, r"betas\[0\] must be a finite number; got nan"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(OptionsError, match=message):
        Options(**values)


def test_bounds_read_as_text():
    assert [str(bounds) for bounds in (Range(above=0), Range(above=2), Range(least=2), Range(above=0, below=1))] == [
        "positive",
        "above 2",
        "at least 2",
        "in (0, 1)",
    ]


@dataclass(frozen=True)
class Bounded:
    count: Count = 1
    non_negative_int: NonNegativeInt = 0
    seed: Seed = 0
    positive: Positive = 1.0
    non_negative: NonNegative = 0.0
    share: Share = 0.0
    several: Positive | tuple[Positive, ...] | None = None


SMALLEST = 5e-324


@pytest.mark.parametrize(
    ("name", "fits", "refused", "message"),
    [
        ("count", [1, 10**9], [0, -1], "at least 1"),
        ("non_negative_int", [0, 10**9], [-1], "at least 0"),
        ("seed", [0, 2**32 - 1], [-1, 2**32], r"in \[0, 4.29497e\+09\)"),
        ("positive", [SMALLEST, 1e300], [0, 0.0, -SMALLEST], "positive"),
        ("non_negative", [0, 0.0, 1e300], [-SMALLEST], "at least 0"),
        ("share", [0, 1 - 2**-53], [-SMALLEST, 1, 1.0], r"in \[0, 1\)"),
        ("several", [SMALLEST, (SMALLEST,), (), None], [0.0], "positive"),
        ("several", [], ["1", b"1"], "a number or a list or null"),
    ],
)
def test_each_kind_of_bounds_at_them(name, fits, refused, message):
    for value in fits:
        check_values(Bounded, {name: value})
    for value in refused:
        with pytest.raises(OptionsError, match=f"^its {name} must be {message}; got "):
            check_values(Bounded, {name: value}, "its ")


@dataclass(frozen=True)
class Others:
    size: Literal["auto", 3] | None = None
    table: dict[str, int] | None = None
    anything: Any = None


def test_choices_of_several_types_and_types_that_are_not_looked_at():
    for size in ("auto", 3, None):
        check_values(Others, {"size": size, "table": "no table", "anything": {3}})
    for size in ("3", 4, True):
        with pytest.raises(OptionsError, match=f"size must be one of auto, 3; got {size!r}"):
            check_values(Others, {"size": size})
    with pytest.raises(OptionsError, match="size must be one of auto, 3; got 0.5"):
        check_values(Others, {"size": 0.5})
