"""NLL of references under K hypotheses, by hand."""

import math

import pytest
import torch

from lora_mcl.metrics.likelihood import likelihood

# [K = 2, examples, references]
NLL = torch.tensor([[[1.0, 2.0], [3.0, 1.0]], [[2.0, 1.0], [2.0, 2.0]]])
ONE_TOKEN = torch.ones(2, 2)


def test_best_is_chosen_for_each_reference():
    found = likelihood(NLL, ONE_TOKEN)
    assert found.best == 1.25
    assert found.perplexity == pytest.approx(3.490343, abs=1e-6)
    assert found.mean == 1.75


@pytest.mark.parametrize("k", [0, 1])
def test_one_hypothesis_is_its_own_mixture(k):
    found = likelihood(NLL[k : k + 1], ONE_TOKEN * 7)
    assert (found.best, found.mean) == (1.75, 1.75)
    assert found.mixture == pytest.approx(1.75)
    assert found.perplexity == pytest.approx(5.754603, abs=1e-6)


def test_mixture_is_of_whole_references():
    """Of 4 tokens with 1 and 2 nats each: -(log (e^-4 + e^-8) / 2) / 4."""
    found = likelihood(torch.tensor([[1.0], [2.0]]), torch.tensor([4]))
    assert found.mixture == pytest.approx(-math.log((math.exp(-4) + math.exp(-8)) / 2) / 4)
    assert found.best <= found.mixture <= found.best + math.log(2) / 4


def test_mixture_of_equal_hypotheses_is_any_of_them():
    assert likelihood(torch.full((5, 3), 0.7), torch.tensor([1, 10, 100])).mixture == pytest.approx(0.7)


def test_long_references_do_not_underflow():
    assert likelihood(torch.tensor([[50.0], [60.0]]), torch.tensor([1000])).mixture == pytest.approx(50, abs=1e-3)


@pytest.mark.parametrize(
    ("nll", "tokens", "message"),
    [
        (torch.ones(2, 3), torch.ones(2), r"nll must be \[K, ...\]"),
        (torch.ones(2, 0), torch.ones(0), r"nll must be \[K, ...\]"),
        (torch.ones(2, 1), torch.zeros(1), "at least one token"),
    ],
)
def test_bad_shapes_are_refused(nll, tokens, message):
    with pytest.raises(ValueError, match=message):
        likelihood(nll, tokens)
