"""The settings of a run: every number is checked in one place."""

import math
from typing import Annotated, get_args, get_origin

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import annotations_of
from lora_mcl.trainer import StepOptions
from training.data import DataOptions
from training.run.options import AdapterOptions, GateOptions, TrainingOptions

SECTIONS = {
    TrainingOptions: {"learning_rate": 1e-3, "steps": 3},
    AdapterOptions: {},
    GateOptions: {},
    StepOptions: {},
    DataOptions: {"kind": "folder", "path": "photos"},
}


def holds_numbers(annotation) -> bool:
    if annotation in (int, float):
        return True
    return (get_origin(annotation) is not Annotated and any(map(holds_numbers, get_args(annotation)))) or (
        get_origin(annotation) is Annotated and holds_numbers(get_args(annotation)[0])
    )


NUMBERS = [
    pytest.param(section, name, id=f"{section.__name__}.{name}")
    for section in SECTIONS
    for name, annotation in annotations_of(section).items()
    if holds_numbers(annotation)
]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1, True, "many"])
@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_no_number_is_nan_infinite_negative_or_no_number(section, name, bad):
    shape = get_args(annotations_of(section)[name])
    value = (0.5, bad) if get_origin(annotations_of(section)[name]) is tuple and len(shape) == 2 else bad
    changes = {name: value} | ({"steps": None} if name == "epochs" else {})
    with pytest.raises(OptionsError, match=rf"{name}(\[1\])? must be"):
        section(**SECTIONS[section] | changes)


def test_every_section_was_looked_at():
    assert {"weight_decay", "gradient_clip", "betas", "seed", "alpha", "feature_dropout"} <= {
        parameter.values[1] for parameter in NUMBERS
    }
