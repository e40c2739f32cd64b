"""The order of visits: everything once an epoch, the same from the same seed, like lengths together."""

import numpy as np
import pytest

from lora_mcl.errors import OptionsError
from training.data.plan import BLOCKS_SORTED, VisitPlan


def lengths(examples: int, captions: int = 3) -> list[list[int]]:
    draws = np.random.default_rng(5).integers(1, 1000, examples)
    return [[int(own) + k for k in range(captions)] for own in draws]


def epoch(plan: VisitPlan, number: int) -> list[tuple[int, int]]:
    return [plan.visit(number * plan.epoch_length + position) for position in range(plan.epoch_length)]


@pytest.mark.parametrize("bucket", [True, False])
def test_one_caption_a_visit(bucket):
    plan = VisitPlan(lengths(101), "one", block=8, seed=3, bucket=bucket)
    epochs = [epoch(plan, number) for number in range(30)]
    assert plan.epoch_length == 101
    assert all(sorted(example for example, _ in visits) == list(range(101)) for visits in epochs)
    assert epochs[0] != epochs[1]
    # Each caption gets its turn: of 30 draws, 10 on average.
    drawn = np.array([caption for visits in epochs for example, caption in visits if example == 7])
    assert sorted(set(drawn)) == [0, 1, 2]
    assert epoch(VisitPlan(lengths(101), "one", block=8, seed=3, bucket=bucket), 4) == epochs[4]
    assert epoch(VisitPlan(lengths(101), "one", block=8, seed=4, bucket=bucket), 4) != epochs[4]


@pytest.mark.parametrize("bucket", [True, False])
def test_all_captions(bucket):
    plan = VisitPlan([[4], [1, 2, 3], [9, 9]], "all", block=2, seed=0, bucket=bucket)
    everything = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert plan.epoch_length == 6
    assert all(sorted(epoch(plan, number)) == everything for number in range(4))


def test_blocks_are_of_like_length_in_every_epoch_also_where_epochs_are_no_whole_number_of_blocks():
    own = lengths(403, captions=1)
    plan = VisitPlan(own, "one", block=8, seed=1)
    mixed = VisitPlan(own, "one", block=8, seed=1, bucket=False)

    def padding(plan: VisitPlan, block: int) -> int:
        costs = [own[plan.visit(8 * block + k)[0]][0] for k in range(8)]
        return 8 * max(costs) - sum(costs)

    blocks = range(3 * 403 // 8)
    inside = [block for block in blocks if 8 * block // 403 == (8 * block + 7) // 403]
    assert BLOCKS_SORTED * 8 < 403
    assert sum(padding(plan, block) for block in inside) < 0.1 * sum(padding(mixed, block) for block in inside)
    # Short and long batches are mixed: the first ones are not all short.
    firsts = [own[plan.visit(8 * block)[0]][0] for block in range(16)]
    assert max(firsts) > 600 and min(firsts) < 400


def test_validation_has_one_order_by_length():
    plan = VisitPlan([[5, 1], [3], [2, 9]], "all", block=1, seed=None)
    assert epoch(plan, 0) == [(0, 1), (2, 0), (1, 0), (0, 0), (2, 1)] == epoch(plan, 1)
    plain = VisitPlan([[5, 1], [3], [2, 9]], "all", block=1, seed=None, bucket=False)
    assert epoch(plain, 0) == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]


def test_fewer_examples_than_a_block():
    plan = VisitPlan([[1], [2], [3]], "one", block=8, seed=0)
    for number in range(5):
        assert sorted(epoch(plan, number)) == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize(("own", "block"), [([], 4), ([[1]], 0)])
def test_refused(own, block):
    with pytest.raises(OptionsError, match="at least one example"):
        VisitPlan(own, "one", block=block, seed=0)
