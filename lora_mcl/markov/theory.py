"""Exact theory of mixtures of Markov chains, without training.

All losses are in nats per predicted token: a sequence of T tokens has T - 1 of them, the first being given.
With two states everything is exact: sequences are summed over by their type (first token and transition
counts), of which there are few. With more states the sums over sequences are averages over a large sample.

The bounds (LoRA-MCL, arXiv 2507.10419): min L_MLE - log K / (T - 1) <= min L_WTA <= H(x | z), where the best
MLE loss is H(x) if the model sees everything before, and more if it sees less (`visible_nll`).
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lora_mcl.errors import OptionsError
from lora_mcl.markov.chains import MarkovMixture, transition_counts

Start = Literal["uniform", "stationary"]
"""The law of the first token: uniform as the data have it, or each chain's stationary law."""

SAMPLE_SIZE, SAMPLE_SEED = 200_000, 7
_WIDEST_ENUMERATION = 1 << 24


@dataclass(frozen=True)
class Theory:
    """Reference values of one mixture, sequence length and start.

    Attributes:
        stationary: [Z][S], the chains' stationary laws.
        entropy_rates: [Z], each chain's loss in the long run under its own matrix.
        average_matrix: [S][S], the chains' matrices averaged by how often each visits a state: what one
            predictor that sees one token converges to.
        plain_average: [S][S], their plain mean: the best single answer at the first position.
        order1_nll: loss of `average_matrix` on stationary sequences.
        chain_nll: H(x | z) of these sequences, finite T.
        mixture_nll: H(x), the best loss of one model that sees everything before.
        wta_nll: loss of the best of the true matrices for each sequence.
        winner_accuracy: how often that best one is the chain which wrote the sequence.
        length: T.
        exact: whether `mixture_nll`, `wta_nll` and `winner_accuracy` are exact sums or sample averages.
    """

    stationary: tuple[tuple[float, ...], ...]
    entropy_rates: tuple[float, ...]
    average_matrix: tuple[tuple[float, ...], ...]
    plain_average: tuple[tuple[float, ...], ...]
    order1_nll: float
    chain_nll: float
    mixture_nll: float
    wta_nll: float
    winner_accuracy: float
    length: int
    exact: bool

    @property
    def mean_entropy_rate(self) -> float:
        """Mean over chains; the paper's upper bound of the best winner-takes-all loss."""
        return sum(self.entropy_rates) / len(self.entropy_rates)

    def lower_bound(self, hypotheses: int) -> float:
        """No K hypotheses have a winner-takes-all loss below this."""
        return self.mixture_nll - math.log(hypotheses) / (self.length - 1)


def theory_of(mixture: MarkovMixture, length: int, start: Start = "uniform", sample_size: int = SAMPLE_SIZE) -> Theory:
    """Reference values for sequences of `length` tokens.

    Args:
        sample_size: sequences to average over with more than two states.

    Raises:
        OptionsError: `length` is below 2.
    """
    _check_length(length)
    matrices = mixture.tensor()
    stationary = stationary_laws(matrices)
    rates = (stationary * _row_entropies(matrices)).sum(-1)
    visits = stationary.mean(0)  # [S], of the mixture
    average = torch.einsum("zi,zij->ij", stationary, matrices) / stationary.sum(0)[:, None]
    chain_nll = _chain_nll(matrices, _start_laws(stationary, start), length)
    known = _sequence_sums(mixture, length, start, stationary, sample_size)
    return Theory(
        stationary=_rows(stationary),
        entropy_rates=tuple(rates.tolist()),
        average_matrix=_rows(average),
        plain_average=_rows(matrices.mean(0)),
        order1_nll=float((visits * _row_entropies(average)).sum()),
        chain_nll=chain_nll,
        mixture_nll=chain_nll + known.information / (length - 1),
        wta_nll=known.wta_nll,
        winner_accuracy=known.winner_accuracy,
        length=length,
        exact=mixture.num_states == 2,
    )


def visible_nll(mixture: MarkovMixture, length: int, visible: int, start: Start = "uniform") -> float:
    """The best loss of one model that sees the last `visible` tokens and knows its position; exact.

    Raises:
        OptionsError: `length` is below 2, `visible` below 1, or there are too many contexts to enumerate.
    """
    _check_length(length)
    if visible < 1:
        raise OptionsError(f"visible must be at least 1; got {visible}")
    visible = min(visible, length - 1)
    if mixture.num_chains * mixture.num_states ** (visible + 1) > _WIDEST_ENUMERATION:
        raise OptionsError(f"{mixture.num_states} states have too many contexts of {visible} tokens to enumerate")
    matrices = mixture.tensor()
    law = _start_laws(stationary_laws(matrices), start)  # [Z, S], of the first visible token
    # paths [Z, S, ...]: chance of the tokens after the first visible one, given that one.
    paths = matrices
    total = 0.0
    for t in range(1, length):
        if t > visible:
            law = torch.einsum("zi,zij->zj", law, matrices)
        elif t > 1:
            last = matrices.view(mixture.num_chains, *[1] * (t - 1), *matrices.shape[1:])
            paths = paths.unsqueeze(-1) * last
        joint = (law.view(*law.shape, *[1] * (paths.ndim - 2)) * paths).mean(0)
        total += float(_entropy(joint) - _entropy(joint.sum(-1)))
    return total / (length - 1)


def visible_predictor_nll(mixture: MarkovMixture, tokens: Tensor, visible: int) -> Tensor:
    """Loss of each sequence under the best model that sees the last `visible` tokens: tokens [B, T] -> [B].

    It weighs the chains' predictions by how well each explains what is visible. The expected value is
    `visible_nll`; on given sequences this is what could be reached on those.
    """
    matrices = mixture.tensor()
    steps = matrices.log()[:, tokens[:, :-1], tokens[:, 1:]]  # [Z, B, T - 1]
    law = torch.full(matrices.shape[:2], 1 / mixture.num_states, dtype=matrices.dtype)  # of the first visible token
    total = torch.zeros(len(tokens), dtype=matrices.dtype)
    for t in range(tokens.shape[1] - 1):
        begin = max(0, t - visible + 1)
        if begin:
            law = torch.einsum("zi,zij->zj", law, matrices)
        seen = law.log()[:, tokens[:, begin]] + steps[:, :, begin:t].sum(-1)
        total += seen.logsumexp(0) - (seen + steps[:, :, t]).logsumexp(0)
    return total / (tokens.shape[1] - 1)


def true_matrices_nll(mixture: MarkovMixture, tokens: Tensor) -> Tensor:
    """Loss of each sequence under each chain's own matrix: tokens [B, T] -> [Z, B]."""
    counts = transition_counts(tokens, mixture.num_states)
    return -_log_likelihoods(mixture.tensor(), counts).T / (tokens.shape[1] - 1)


def stationary_laws(matrices: Tensor) -> Tensor:
    """[Z, S, S] -> [Z, S], the stationary distribution of each chain, which must be unique."""
    states = matrices.shape[-1]
    # pi (P - I) = 0 with one equation, which is redundant, replaced by sum(pi) = 1.
    equations = (matrices - torch.eye(states, dtype=matrices.dtype)).mT.clone()
    equations[:, -1] = 1.0
    constants = torch.zeros(len(matrices), states, 1, dtype=matrices.dtype)
    constants[:, -1] = 1.0
    return torch.linalg.solve(equations, constants)[..., 0]


class _SequenceSums(NamedTuple):
    information: float
    wta_nll: float
    winner_accuracy: float


def _sequence_sums(mixture: MarkovMixture, length: int, start: Start, stationary: Tensor, size: int) -> _SequenceSums:
    """Quantities that need a sum over whole sequences.

    `information` is I(z; x | first token), in nats per sequence: H(z | first) - H(z | x). The sample average
    of the posterior's entropy has far less spread than that of a loss.
    """
    log_start = _start_laws(stationary, start).log()  # [Z, S]
    if mixture.num_states == 2:
        first, counts, log_ways = binary_types(length)
    else:
        tokens = _sample(mixture, length, start, size)
        first, counts, log_ways = tokens[:, 0], transition_counts(tokens, mixture.num_states), None
    log_likelihood = _log_likelihoods(mixture.tensor(), counts)  # [N, Z]
    log_joint = log_start.T[first] + log_likelihood - math.log(mixture.num_chains)
    log_marginal = log_joint.logsumexp(1)
    if log_ways is None:
        weight = torch.full_like(log_marginal, 1 / len(log_marginal))
    else:
        weight = (log_ways + log_marginal).exp()
    posterior = (log_joint - log_marginal[:, None]).exp()
    after_first = log_start.T.softmax(1)  # [S, Z], p(z | first token)
    first_law = log_start.exp().mean(0)
    uncertainty = float((first_law * _row_entropies(after_first)).sum())
    return _SequenceSums(
        information=uncertainty - float((weight * _row_entropies(posterior)).sum()),
        wta_nll=-float((weight * log_likelihood.amax(1)).sum()) / (length - 1),
        winner_accuracy=float((weight * posterior.gather(1, log_likelihood.argmax(1, keepdim=True))[:, 0]).sum()),
    )


def binary_types(length: int) -> tuple[Tensor, Tensor, Tensor]:
    """All types of binary sequences: first tokens [N], transition counts [N, 2, 2], log of how many each has [N].

    A sequence is alternating runs; its type fixes how many runs of each token there are and how many
    repetitions they share out.
    """
    _check_length(length)
    types = []
    for first in (0, 1):
        for changes in range(length):
            other_runs = (changes + 1) // 2
            own_runs = changes + 1 - other_runs
            repetitions = length - 1 - changes
            for own_repeats in range(repetitions + 1):
                other_repeats = repetitions - own_repeats
                if other_runs == 0 and other_repeats:
                    continue
                ways = math.comb(own_repeats + own_runs - 1, own_runs - 1)
                if other_runs:
                    ways *= math.comb(other_repeats + other_runs - 1, other_runs - 1)
                own = (own_repeats, other_runs)  # repeated, left for the other token
                other = (other_repeats, own_runs - 1)
                counts = (own, other[::-1]) if first == 0 else (other, own[::-1])
                types.append((first, counts, math.log(ways)))
    firsts, counts, log_ways = zip(*types, strict=True)
    as_double = {"dtype": torch.float64}
    return torch.tensor(firsts), torch.tensor(counts, **as_double), torch.tensor(log_ways, **as_double)


def _sample(mixture: MarkovMixture, length: int, start: Start, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    if start == "uniform":
        return mixture.sample(size, length, generator).tokens
    # Stationary: let the uniform start fade first.
    return mixture.sample(size, length + 200, generator).tokens[:, -length:]


def _start_laws(stationary: Tensor, start: Start) -> Tensor:
    return stationary if start == "stationary" else torch.full_like(stationary, 1 / stationary.shape[1])


def _chain_nll(matrices: Tensor, law: Tensor, length: int) -> float:
    """Mean over chains and positions of the entropy of the next token; law [Z, S] of the first."""
    total = 0.0
    for _ in range(length - 1):
        total += float((law * _row_entropies(matrices)).sum(-1).mean())
        law = torch.einsum("zi,zij->zj", law, matrices)
    return total / (length - 1)


def _log_likelihoods(matrices: Tensor, counts: Tensor) -> Tensor:
    """counts [N, S, S] -> log p(tokens after the first | first, z) [N, Z]."""
    # xlogy: a step that never happens costs nothing, even where it is impossible.
    return torch.xlogy(counts[:, None], matrices[None]).sum((-2, -1))


def _row_entropies(rows: Tensor) -> Tensor:
    return -torch.xlogy(rows, rows).sum(-1)


def _entropy(law: Tensor) -> Tensor:
    return -torch.xlogy(law, law).sum()


def _rows(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _check_length(length: int) -> None:
    if length < 2:
        raise OptionsError(f"length must be at least 2, one token to see and one to predict; got {length}")
