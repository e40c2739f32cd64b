"""Assignment statistics by hand: sums over steps, examples without targets, and warnings of dead hypotheses."""

import logging
import math

import pytest
import torch
from accelerate import Accelerator

from lora_mcl.trainer import MultipleChoiceOutput
from lora_mcl.trainer.assignment_stats import AssignmentStats


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def output(winners, nll=None, valid=None) -> MultipleChoiceOutput:
    """One step of two hypotheses in which example b is won by ``winners[b]``."""
    weights = torch.nn.functional.one_hot(torch.tensor(winners), 2).T.float()
    scores = torch.tensor(nll) if nll is not None else torch.ones(2, len(winners))
    valid = torch.tensor(valid) if valid is not None else torch.ones(len(winners), dtype=torch.bool)
    return MultipleChoiceOutput(scores.mean(), scores, weights, valid)


def test_figures_over_two_steps(accelerator):
    stats = AssignmentStats(2)
    assert stats.compute_and_reset(accelerator) == {}
    stats.update(output([0, 1], [[1.0, 4.0], [3.0, 2.0]]))
    stats.update(output([0, 0], [[2.0, 9.0], [4.0, 9.0]], [True, False]))
    expected = {"wins_0": 2, "wins_1": 1, "nll_0": 7 / 3, "nll_1": 3, "best_nll": 5 / 3, "skipped": 1}
    assert stats.compute_and_reset(accelerator) == pytest.approx(expected | {"assignment_entropy": 0})
    assert stats.compute_and_reset(accelerator) == {}


def test_figures_of_one_example(accelerator):
    """Weights of 3/4 and 1/4 have an entropy of ln 4 - 3/4 ln 3."""
    stats = AssignmentStats(2)
    stats.update(
        MultipleChoiceOutput(
            torch.tensor(0.0), torch.tensor([[1.0], [3.0]]), torch.tensor([[0.75], [0.25]]), torch.tensor([True])
        )
    )
    expected = {"wins_0": 1, "wins_1": 0, "nll_0": 1, "nll_1": 3, "best_nll": 1, "skipped": 0}
    entropy = {"assignment_entropy": math.log(4) - 0.75 * math.log(3)}
    assert stats.compute_and_reset(accelerator) == pytest.approx(expected | entropy)


def test_the_entropy_is_the_mean_of_all_examples(accelerator):
    """Of two certain ones and, in another step, two that are undecided."""
    stats = AssignmentStats(2)
    stats.update(output([0, 1]))
    half, valid = torch.full((2, 2), 0.5), torch.ones(2, dtype=torch.bool)
    stats.update(MultipleChoiceOutput(torch.tensor(0.0), torch.ones(2, 2), half, valid))
    assert stats.compute_and_reset(accelerator)["assignment_entropy"] == pytest.approx(math.log(2) / 2)


def test_skipped_examples_are_warned_of_once(accelerator, caplog):
    stats = AssignmentStats(2)
    with caplog.at_level(logging.WARNING, logger="lora_mcl.trainer"):
        for valid in ([True, True, True], [True, False, True], [False, False, True]):
            stats.update(output([0, 1, 0], valid=valid))
            stats.compute_and_reset(accelerator)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("lora_mcl.trainer")]
    assert [message.partition(" had")[0] for message in messages] == ["1 of 3 examples"]


def test_examples_without_targets_alone(accelerator):
    stats = AssignmentStats(2)
    stats.update(output([0, 1], [[float("nan")] * 2] * 2, [False, False]))
    figures = stats.compute_and_reset(accelerator)
    assert figures["skipped"] == 2 and figures["wins_0"] == figures["wins_1"] == 0
    # There is no mean of no examples: 0 would be the best of all losses.
    means = {name: value for name, value in figures.items() if name.startswith(("best", "nll", "assignment"))}
    assert len(means) == 4 and all(math.isnan(value) for value in means.values())


def test_a_hypothesis_is_warned_of_when_it_dies_again(accelerator, caplog):
    stats = AssignmentStats(2, dead_after=4)

    def steps(*winners) -> int:
        for winner in winners:
            stats.update(output([winner, winner]))
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="lora_mcl.trainer"):
            stats.compute_and_reset(accelerator)
        return sum("may be dead" in record.getMessage() for record in caplog.records)

    assert steps(0) == 0  # hypothesis 1 won none of 2 examples
    assert steps(0) == 1  # of 4: the limit
    assert steps(0) == 0  # it is known
    assert steps(1) == 0  # it lives again
    assert steps(0, 0) == 1  # and dies again
