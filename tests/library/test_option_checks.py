"""Fields against their annotations: what fits, and the message where one does not."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import Count, Positive, Range, Seed, Share, check_fields


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
