"""Options of the scheduler: what they are by default, and what is refused."""

import pytest

from lora_mcl.decoding.options import SchedulerOptions
from lora_mcl.errors import OptionsError


def test_defaults():
    options = SchedulerOptions()
    assert (options.max_rows, options.max_cache_bytes) == (256, None)


@pytest.mark.parametrize("name", ["max_rows", "max_cache_bytes"])
def test_a_bound_is_a_whole_number_of_at_least_one(name):
    assert getattr(SchedulerOptions(**{name: 1}), name) == 1
    for value in (0, -1, True, 1.5, "8", float("nan")):
        with pytest.raises(OptionsError, match=f"^{name} must be a whole number of at least 1, not "):
            SchedulerOptions(**{name: value})
