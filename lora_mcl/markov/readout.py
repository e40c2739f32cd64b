"""Read-out of trained hypotheses: their transition matrices, and the chain that each of them models."""

from typing import NamedTuple

import torch
from torch import Tensor

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.loss import mean_token_nll

_ROWS_AT_ONCE = 1024  # keeps activations in the processor's cache


class Scores(NamedTuple):
    """`nll` [K, B], nats per predicted token; `probabilities` [K, B, T - 1, S] of each next token."""

    nll: Tensor
    probabilities: Tensor


@torch.no_grad()
def score(stack: AdapterStack, tokens: Tensor) -> Scores:
    """Every sequence [B, T] under every hypothesis."""
    hypotheses = len(stack)
    parts = []
    for chunk in tokens.split(max(1, _ROWS_AT_ONCE // hypotheses)):
        rows = chunk.repeat(hypotheses, 1)
        with stack.rows(hypothesis_rows(hypotheses, len(chunk))):
            logits = stack.model(input_ids=rows).logits
        nll = mean_token_nll(logits, rows).mean.view(hypotheses, -1)
        next_tokens = logits[:, :-1].softmax(-1)
        parts.append(Scores(nll, next_tokens.view(hypotheses, len(chunk), *next_tokens.shape[1:])))
    return Scores(torch.cat([part.nll for part in parts], 1), torch.cat([part.probabilities for part in parts], 1))


@torch.no_grad()
def first_position_matrices(stack: AdapterStack, num_states: int) -> Tensor:
    """Distribution after each state when it is the whole input: [K, S, S]; the paper's read-out.

    At the first position one model can only guess the chain, so its best answer is the chains' plain mean.
    """
    hypotheses = len(stack)
    states = torch.arange(num_states)[:, None]
    with stack.rows(hypothesis_rows(hypotheses, num_states)):
        logits = stack.model(input_ids=states.repeat(hypotheses, 1)).logits
    return logits[:, -1].softmax(-1).view(hypotheses, num_states, num_states)


def later_matrices(scores: Scores, tokens: Tensor, visible: int) -> Tensor:
    """Mean prediction after each state where the whole visible context lies behind it: [K, S, S].

    Each hypothesis is read on the sequences that it wins (on all of them if it wins none). For one model the
    ideal is the chains' visit-weighted average; a state that never occurs gives a uniform row.

    Args:
        scores: of `tokens` [B, T].
        visible: tokens that a prediction depends on; positions with less behind them are left out, unless
            the sequences are shorter than that.
    """
    hypotheses, _, steps, states = scores.probabilities.shape
    begin = min(visible, steps) - 1
    before, predicted = tokens[:, begin:-1], scores.probabilities[:, :, begin:]
    winners = scores.nll.argmin(0)
    matrices = torch.empty(hypotheses, states, states)
    for k in range(hypotheses):
        won = winners == k
        won = won if won.any() else torch.ones_like(won)
        at, given = before[won].flatten(), predicted[k, won].flatten(0, 1)
        sums = torch.zeros(states, states).index_add_(0, at, given)
        counts = torch.bincount(at, minlength=states)[:, None]
        matrices[k] = torch.where(counts > 0, sums / counts.clamp_min(1), 1 / states)
    return matrices


def win_shares(nll: Tensor, chains: Tensor, num_chains: int) -> Tensor:
    """Share of each chain's sequences won by each hypothesis: nll [K, B], chains [B] -> [Z, K]."""
    hypotheses = len(nll)
    pairs = chains * hypotheses + nll.argmin(0)
    counts = torch.bincount(pairs, minlength=num_chains * hypotheses).view(num_chains, hypotheses).double()
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


class Matching(NamedTuple):
    """`chain_of` [K]: the chain that each hypothesis wins most of. `accuracy`: share of sequences whose winner
    models the chain that wrote them. `covered`: whether every chain has a hypothesis."""

    chain_of: tuple[int, ...]
    accuracy: float
    covered: bool


def match(shares: Tensor) -> Matching:
    """Which chain each hypothesis models, from `win_shares` [Z, K], all chains being equally likely."""
    chain_of = shares.argmax(0)
    accuracy = shares.gather(0, chain_of[None]).sum() / len(shares)
    return Matching(tuple(chain_of.tolist()), float(accuracy), len(set(chain_of.tolist())) == len(shares))
