"""What a decoding strategy is: frozen options that start a search, which moves on the scores of its rows.

There is no model here. The engine shows a search the next-token scores of its rows; the search answers with
the tokens to append and the row that each continuation extends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lora_mcl.decoding.rules import BoundRules


@dataclass(frozen=True)
class Candidate:
    """One generated sequence.

    Attributes:
        tokens: generated token ids, without the end-of-sequence token.
        log_prob: sum of the model's own log-probabilities (nats) of the generated tokens, end-of-sequence
            included: no rule, penalty or length normalisation in it.
        score: what the strategy ranks its candidates by, higher is better.
        finished: nothing will be appended: the sequence ended, or reached ``max_new_tokens``.
        length: generated tokens, end-of-sequence included: what ``log_prob`` sums over.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool
    length: int

    @property
    def mean_log_prob(self) -> float:
        """``log_prob`` per generated token (nats); 0 before the first token."""
        return self.log_prob / self.length if self.length else 0.0


@dataclass(frozen=True)
class Move:
    """What a search does with its rows: row ``i`` becomes what row ``parents[i]`` was, then ``tokens[i]``.

    Rows that nobody names as parent are dropped; a finished search answers with no row at all.
    """

    tokens: Sequence[int]
    parents: Sequence[int]


@dataclass(frozen=True)
class SearchContext:
    """What a search needs to know of the model and of the request.

    Attributes:
        rules: applied to the scores before tokens are chosen.
        eos_token_ids: tokens that end a sequence.
        pad_token_id: what a finished sequence is padded with.
        max_new_tokens: sequences are cut at this many tokens.
    """

    rules: BoundRules
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    max_new_tokens: int


class Search(Protocol):
    """A strategy at work on one prompt. It starts with one row, the prompt's."""

    @property
    def finished(self) -> bool:
        """Whether the candidates are final."""

    def advance(self, logits: Tensor, log_probs: Tensor) -> Move:
        """Choose the next tokens from ``logits`` and their log-softmax ``log_probs``, both fp32 [rows, V]."""

    def candidates(self) -> tuple[Candidate, ...]:
        """The candidates, best first where the strategy ranks them: provisional until ``finished``."""


class Strategy(Protocol):
    """Frozen options of a way of decoding."""

    @property
    def num_rows(self) -> int:
        """The most rows a search has at a time."""

    def search(self, context: SearchContext) -> Search:
        """Start a search."""


def strip_eos(tokens: tuple[int, ...], eos_token_ids: tuple[int, ...]) -> tuple[int, ...]:
    """``tokens`` without the end-of-sequence token that closes them, if one does."""
    return tokens[:-1] if tokens and tokens[-1] in eos_token_ids else tokens
