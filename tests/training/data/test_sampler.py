"""The order of visits: everything once an epoch, the same from the same seed, like lengths together."""

import numpy as np
import pytest

from lora_mcl.errors import OptionsError
from training.data.sampler import BATCHES_PER_SORT, LengthGroupedSampler


def lengths(examples: int, captions: int = 3) -> list[list[int]]:
    draws = np.random.default_rng(5).integers(1, 1000, examples)
    return [[int(own) + k for k in range(captions)] for own in draws]


def epoch(sampler: LengthGroupedSampler, number: int) -> list[tuple[int, int]]:
    return [
        sampler.example_and_caption(number * sampler.epoch_length + position)
        for position in range(sampler.epoch_length)
    ]


@pytest.mark.parametrize("bucket", [True, False])
def test_one_caption_a_visit(bucket):
    sampler = LengthGroupedSampler(lengths(101), "one", batch_size=8, seed=3, group_by_length=bucket)
    epochs = [epoch(sampler, number) for number in range(30)]
    assert sampler.epoch_length == 101
    assert all(sorted(example for example, _ in visits) == list(range(101)) for visits in epochs)
    assert epochs[0] != epochs[1]
    # Each caption gets its turn: of 30 draws, 10 on average.
    drawn = np.array([caption for visits in epochs for example, caption in visits if example == 7])
    assert sorted(set(drawn)) == [0, 1, 2]
    assert (
        epoch(LengthGroupedSampler(lengths(101), "one", batch_size=8, seed=3, group_by_length=bucket), 4) == epochs[4]
    )
    assert (
        epoch(LengthGroupedSampler(lengths(101), "one", batch_size=8, seed=4, group_by_length=bucket), 4) != epochs[4]
    )


@pytest.mark.parametrize("bucket", [True, False])
def test_all_captions(bucket):
    sampler = LengthGroupedSampler([[4], [1, 2, 3], [9, 9]], "all", batch_size=2, seed=0, group_by_length=bucket)
    everything = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert sampler.epoch_length == 6
    assert all(sorted(epoch(sampler, number)) == everything for number in range(4))


def test_blocks_are_of_like_length_in_every_epoch_also_where_epochs_are_no_whole_number_of_blocks():
    own = lengths(403, captions=1)
    sampler = LengthGroupedSampler(own, "one", batch_size=8, seed=1)
    mixed = LengthGroupedSampler(own, "one", batch_size=8, seed=1, group_by_length=False)

    def padding(sampler: LengthGroupedSampler, block: int) -> int:
        costs = [own[sampler.example_and_caption(8 * block + k)[0]][0] for k in range(8)]
        return 8 * max(costs) - sum(costs)

    blocks = range(3 * 403 // 8)
    inside = [block for block in blocks if 8 * block // 403 == (8 * block + 7) // 403]
    assert BATCHES_PER_SORT * 8 < 403
    assert sum(padding(sampler, block) for block in inside) < 0.1 * sum(padding(mixed, block) for block in inside)
    # Short and long batches are mixed: the first ones are not all short.
    firsts = [own[sampler.example_and_caption(8 * block)[0]][0] for block in range(16)]
    assert max(firsts) > 600 and min(firsts) < 400


def test_validation_has_one_order_by_length():
    sampler = LengthGroupedSampler([[5, 1], [3], [2, 9]], "all", batch_size=1, seed=None)
    assert epoch(sampler, 0) == [(0, 1), (2, 0), (1, 0), (0, 0), (2, 1)] == epoch(sampler, 1)
    plain = LengthGroupedSampler([[5, 1], [3], [2, 9]], "all", batch_size=1, seed=None, group_by_length=False)
    assert epoch(plain, 0) == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]


def test_fewer_examples_than_a_block():
    sampler = LengthGroupedSampler([[1], [2], [3]], "one", batch_size=8, seed=0)
    for number in range(5):
        assert sorted(epoch(sampler, number)) == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize(("own", "block"), [([], 4), ([[1]], 0)])
def test_refused(own, block):
    with pytest.raises(OptionsError, match="at least one example"):
        LengthGroupedSampler(own, "one", batch_size=block, seed=0)


@pytest.mark.parametrize(
    ("captions", "batch_size", "visits"),
    [
        ("one", 1, {0: (60, 0), 1: (62, 0), 49: (22, 0), 50: (54, 1), 51: (94, 0), 119: (75, 0), 500: (21, 1)}),
        ("all", 1, {0: (115, 0), 1: (90, 1), 49: (11, 0), 50: (88, 0), 119: (111, 1), 120: (92, 1), 500: (15, 1)}),
        ("one", 7, {0: (8, 0), 1: (109, 0), 119: (30, 1), 120: (101, 0), 121: (71, 0), 500: (64, 1)}),
    ],
)
def test_the_order_of_a_seed_stays_the_same(captions, batch_size, visits):
    """An interrupted run goes on in it, also with a later version."""
    own = [[k * 37 % 101 + caption for caption in range(2)] for k in range(120)]
    sampler = LengthGroupedSampler(own, captions, batch_size=batch_size, seed=7)
    assert {index: sampler.example_and_caption(index) for index in visits} == visits


def test_equal_lengths_stay_in_their_order():
    sampler = LengthGroupedSampler([[3]] * 100, "one", batch_size=1, seed=None)
    assert epoch(sampler, 0) == [(number, 0) for number in range(100)]


def test_the_captions_of_validation_are_drawn_once_for_all():
    own = [[k * 37 % 101 + caption for caption in range(2)] for k in range(12)]
    for grouped, visits in (
        (True, [(0, 1), (11, 1), (3, 0), (6, 0), (9, 1), (1, 1), (4, 0), (7, 0), (10, 1), (2, 1), (5, 0), (8, 0)]),
        (
            False,
            [*((number, 1) for number in range(3)), *((number, 0) for number in range(3, 9)), (9, 1), (10, 1), (11, 1)],
        ),
    ):
        sampler = LengthGroupedSampler(own, "one", batch_size=1, seed=None, group_by_length=grouped)
        assert epoch(sampler, 0) == epoch(sampler, 1) == visits
