"""Markov mixtures: their statistics, and the exact reference values against tables, enumeration and samples."""

import itertools
import math

import pytest
import torch

from lora_mcl.errors import OptionsError
from lora_mcl.markov import (
    TRANSITION1,
    TRANSITION2,
    MarkovMixture,
    binary_mixture,
    random_mixture,
    theory_of,
    visible_nll,
)
from lora_mcl.markov.chains import transition_counts
from lora_mcl.markov.theory import binary_types, true_matrices_nll, visible_predictor_nll

# Values computed independently (Monte Carlo over 40,000 sequences for the losses), to the digits given.
TABLE = {
    "transition1": {
        "stationary": ((0.8182, 0.1818), (0.2381, 0.7619)),
        "entropy_rates": (0.4685, 0.5476),
        "average_matrix": ((0.6648, 0.3352), (0.3752, 0.6248)),
        "plain_average": ((0.5, 0.5), (0.575, 0.425)),
        "mean_entropy_rate": 0.5081,
        "order1_nll": 0.6491,
        "mixture_nll": {"stationary": 0.5246, "uniform": 0.5293},
        "lower_bound": {"stationary": 0.5022, "uniform": 0.5070},
        "wta_nll": {"stationary": 0.5081, "uniform": 0.5070},
        "winner_accuracy": 1.000,
        "visible": {1: 0.650, 5: 0.556, 9: 0.536},
    },
    "transition2": {
        "stationary": ((0.5333, 0.4667), (0.2381, 0.7619)),
        "entropy_rates": (0.5593, 0.5476),
        "average_matrix": ((0.2691, 0.7309), (0.4589, 0.5411)),
        "plain_average": ((0.25, 0.75), (0.525, 0.475)),
        "mean_entropy_rate": 0.5535,
        "order1_nll": 0.6484,
        "mixture_nll": {"stationary": 0.5739, "uniform": 0.5751},
        "lower_bound": {"stationary": 0.5515, "uniform": 0.5527},
        "wta_nll": {"stationary": 0.5532, "uniform": 0.5529},
        "winner_accuracy": 0.995,
        "visible": {1: 0.648, 5: 0.603, 9: 0.587},
    },
}
MIXTURES = {mixture.name: mixture for mixture in (TRANSITION1, TRANSITION2)}


def flat(matrix):
    return list(itertools.chain.from_iterable(matrix))


@pytest.mark.parametrize("name", TABLE)
def test_reference_values(name):
    expected, mixture = TABLE[name], MIXTURES[name]
    for start in ("stationary", "uniform"):
        known = theory_of(mixture, 32, start)
        assert known.exact
        for field in ("stationary", "average_matrix", "plain_average"):
            assert flat(getattr(known, field)) == pytest.approx(flat(expected[field]), abs=6e-5)
        assert known.entropy_rates == pytest.approx(expected["entropy_rates"], abs=6e-5)
        assert known.mean_entropy_rate == pytest.approx(expected["mean_entropy_rate"], abs=6e-5)
        assert known.order1_nll == pytest.approx(expected["order1_nll"], abs=6e-5)
        # The others come from a sample: a standard error or two.
        assert known.mixture_nll == pytest.approx(expected["mixture_nll"][start], abs=4e-4)
        assert known.lower_bound(2) == pytest.approx(expected["lower_bound"][start], abs=4e-4)
        assert known.wta_nll == pytest.approx(expected["wta_nll"][start], abs=4e-4)
        assert known.winner_accuracy == pytest.approx(expected["winner_accuracy"], abs=6e-4)
        assert known.lower_bound(2) <= known.wta_nll <= known.chain_nll <= known.mixture_nll
    for visible, value in expected["visible"].items():
        assert visible_nll(mixture, 32, visible) == pytest.approx(value, abs=1e-3)


MATRICES = {
    "transition1": (((0.8, 0.2), (0.9, 0.1)), ((0.2, 0.8), (0.25, 0.75))),
    "transition2": (((0.3, 0.7), (0.8, 0.2)), ((0.2, 0.8), (0.25, 0.75))),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_papers_matrices(name):
    assert MIXTURES[name].matrices == MATRICES[name]


def enumerated(mixture, length):
    """H(x after the first | first), best visible losses and true winners, by listing every sequence."""
    tokens = torch.tensor(list(itertools.product(range(mixture.num_states), repeat=length)))
    counts = transition_counts(tokens, mixture.num_states)
    likelihood = mixture.tensor()[:, None].pow(counts[None]).prod(-1).prod(-1)  # [Z, N]
    law = likelihood.mean(0) / mixture.num_states
    mixture_nll = -torch.xlogy(law, likelihood.mean(0)).sum() / (length - 1)
    wta_nll = -torch.xlogy(law, likelihood.amax(0)).sum() / (length - 1)
    winner = likelihood.amax(0).sum() / mixture.num_states / mixture.num_chains
    full = [float(mixture_nll), float(wta_nll), float(winner)]
    visible = []
    for seen in range(1, length):
        total = 0.0
        for t in range(1, length):
            groups = {}
            for row, weight in zip(tokens[:, max(0, t - seen) : t + 1].tolist(), law.tolist(), strict=True):
                groups.setdefault(tuple(row[:-1]), {}).setdefault(row[-1], []).append(weight)
            for followers in groups.values():
                weights = [sum(values) for values in followers.values()]
                total -= sum(w * math.log(w / sum(weights)) for w in weights if w)
        visible.append(total / (length - 1))
    return full, visible


@pytest.mark.parametrize("mixture", [TRANSITION1, TRANSITION2, binary_mixture("three", (0.1, 0.3), (0.5, 0.5), (1, 0))])
def test_exact_sums_are_those_over_all_sequences(mixture):
    full, visible = enumerated(mixture, 6)
    known = theory_of(mixture, 6) if mixture.name != "three" else None
    if known:  # a chain that is stuck has no single stationary law
        assert [known.mixture_nll, known.wta_nll, known.winner_accuracy] == pytest.approx(full, abs=1e-12)
        assert visible[-1] == pytest.approx(known.mixture_nll, abs=1e-12)
    assert [visible_nll(mixture, 6, seen) for seen in range(1, 6)] == pytest.approx(visible, abs=1e-12)
    assert visible_nll(mixture, 6, 50) == pytest.approx(visible[-1], abs=1e-12)


def test_the_best_visible_predictor_loses_what_it_must():
    for mixture, length in ((TRANSITION2, 7), (random_mixture(3, 2, seed=1), 5)):
        tokens = torch.tensor(list(itertools.product(range(mixture.num_states), repeat=length)))
        counts = transition_counts(tokens, mixture.num_states)
        law = mixture.tensor()[:, None].pow(counts[None]).prod(-1).prod(-1).mean(0) / mixture.num_states
        for visible in (1, 3, length):
            loss = visible_predictor_nll(mixture, tokens, visible)
            assert (law * loss).sum().item() == pytest.approx(visible_nll(mixture, length, visible), abs=1e-12)
    # By hand: one visible token, second step of transition1 from 0: chains .8/.2 and .2/.8 are equally likely.
    loss = visible_predictor_nll(TRANSITION1, torch.tensor([[0, 0]]), 1)
    assert loss.item() == pytest.approx(-math.log(0.5))


def test_types_of_binary_sequences_are_all_sequences():
    length = 9
    tokens = torch.tensor(list(itertools.product((0, 1), repeat=length)))
    keys = torch.cat([tokens[:, :1], transition_counts(tokens, 2).long().flatten(1)], 1).tolist()
    first, counts, log_ways = binary_types(length)
    listed = {
        (f, *c): round(math.exp(w))
        for f, c, w in zip(first.tolist(), counts.long().flatten(1).tolist(), log_ways.tolist(), strict=True)
    }
    assert listed == {tuple(key): keys.count(key) for key in keys}


def test_sampled_values_agree_with_exact_ones():
    # The same two chains, and a third state where sequences may start but to which none returns.
    padded = tuple((*((*row, 0.0) for row in matrix), (0.5, 0.5, 0.0)) for matrix in TRANSITION2.matrices)
    mixture = MarkovMixture("padded", padded)
    sampled, listed = theory_of(mixture, 6, sample_size=40_000), enumerated(mixture, 6)[0]
    assert not sampled.exact
    assert sampled.mixture_nll == pytest.approx(listed[0], abs=2e-3)
    assert sampled.wta_nll == pytest.approx(listed[1], abs=5e-3)
    assert sampled.winner_accuracy == pytest.approx(listed[2], abs=5e-3)


def test_sequences_have_the_statistics_of_their_chain():
    mixture = random_mixture(3, 2, seed=1)
    tokens, chains = mixture.sample(4000, 32, torch.Generator().manual_seed(0))
    assert tokens.shape == (4000, 32) and tokens.min() == 0 and tokens.max() == 2
    assert chains.bincount().tolist() == pytest.approx([2000, 2000], abs=150)
    assert tokens[:, 0].bincount().tolist() == pytest.approx([4000 / 3] * 3, abs=130)
    for z, matrix in enumerate(mixture.tensor()):
        counts = transition_counts(tokens[chains == z], 3).sum(0)
        assert (counts / counts.sum(1, keepdim=True) - matrix).abs().max() < 0.015
    # And losses under the true matrices are the entropies.
    nll = true_matrices_nll(TRANSITION1, TRANSITION1.sample(8000, 32, torch.Generator().manual_seed(0)).tokens)
    assert nll.min(0).values.mean().item() == pytest.approx(theory_of(TRANSITION1, 32).wta_nll, abs=4e-3)


def test_the_same_seed_gives_the_same_sequences():
    draws = [TRANSITION2.sample(5, 9, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert draws[0].tokens.equal(draws[1].tokens) and draws[0].chains.equal(draws[1].chains)


def test_steps_that_never_happen_do_not_happen():
    mixture = MarkovMixture("cycle", (((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),))
    tokens = mixture.sample(50, 8, torch.Generator().manual_seed(0)).tokens
    assert ((tokens[:, 1:] - tokens[:, :-1]) % 3 == 1).all()
    known = theory_of(mixture, 8, sample_size=1000)
    assert known.mixture_nll == known.wta_nll == known.mean_entropy_rate == 0


def test_random_mixtures_are_rounded_distributions():
    mixture = random_mixture(5, 3, seed=4)
    assert (mixture.num_states, mixture.num_chains) == (5, 3)
    assert mixture == random_mixture(5, 3, seed=4) != random_mixture(5, 3, seed=5)
    for matrix in mixture.matrices:
        for row in matrix:
            assert sum(row) == pytest.approx(1) and all(p == round(p, 3) >= 0 for p in row)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ((), "at least one chain"),
        ((((1.0,),),), "two states"),
        ((((0.5, 0.5), (0.5, 0.5)), ((1.0, 0.0),)), "matrix 1 must be 2 x 2"),
        ((((0.5, 0.6), (0.5, 0.5)),), "row 0 of matrix 0 is no distribution"),
        ((((0.5, 0.5), (1.5, -0.5)),), "row 1 of matrix 0 is no distribution"),
    ],
)
def test_what_is_no_mixture_is_refused(matrices, message):
    with pytest.raises(OptionsError, match=message):
        MarkovMixture("bad", matrices)


def test_bad_arguments_are_refused():
    with pytest.raises(OptionsError, match="count and length"):
        TRANSITION1.sample(0, 3, torch.Generator())
    with pytest.raises(OptionsError, match="at least 2"):
        theory_of(TRANSITION1, 1)
    with pytest.raises(OptionsError, match="visible"):
        visible_nll(TRANSITION1, 5, 0)
    with pytest.raises(OptionsError, match="too many contexts"):
        visible_nll(random_mixture(10, 2, seed=0), 32, 9)
    with pytest.raises(OptionsError, match="states must be"):
        random_mixture(1, 2, seed=0)
    with pytest.raises(OptionsError, match="concentration"):
        random_mixture(2, 2, seed=0, concentration=0)
