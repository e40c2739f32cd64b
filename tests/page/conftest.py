"""What the tests of both captioning tabs use."""

from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def pace(captioner) -> Iterator[Callable[[float], None]]:
    """Set the fake captioner's pace for one test."""

    def set_pace(seconds_per_token: float) -> None:
        captioner.seconds_per_token = seconds_per_token

    yield set_pace
    captioner.seconds_per_token = 0.0
