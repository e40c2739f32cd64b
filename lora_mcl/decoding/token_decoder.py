"""The interface of a decoding strategy: frozen options that start a TokenDecoder, which chooses the next tokens.

There is no model here. At each step the engine passes the next-token logits of a decoder's rows; the decoder returns
the tokens to append and, for each, the row that it continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lora_mcl.decoding.logits_processor import LogitsProcessor


@dataclass(frozen=True)
class Candidate:
    """One generated sequence.

    Attributes:
        tokens: generated token ids, without the end-of-sequence token.
        log_prob: sum of the model's own log-probabilities (nats) of the generated tokens, end-of-sequence
            included: without logits processing, penalties or length normalisation.
        score: the strategy's ranking score, higher is better.
        finished: nothing will be appended: the sequence ended, or reached ``max_new_tokens``.
        length: generated tokens, end-of-sequence included: the number of terms of ``log_prob``.
        least_log_prob: the smallest of these terms, where the strategy keeps it (greedy decoding does).
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool
    length: int
    least_log_prob: float | None = field(default=None, compare=False)

    @property
    def mean_log_prob(self) -> float:
        """``log_prob`` per generated token (nats); 0 before the first token."""
        return self.log_prob / self.length if self.length else 0.0


@dataclass(frozen=True)
class NextTokens:
    """The next rows of a decoder: row ``i`` is the former row ``beam_idx[i]`` followed by ``tokens[i]``.

    Rows that are not in ``beam_idx`` are dropped; a finished decoder returns no rows.
    """

    tokens: Sequence[int]
    beam_idx: Sequence[int]


@dataclass(frozen=True)
class DecodeContext:
    """Properties of the model and the request that a decoder needs.

    Attributes:
        logits_processor: applied to the scores before tokens are chosen.
        eos_token_ids: tokens that end a sequence.
        pad_token_id: padding of finished sequences.
        max_new_tokens: sequences are cut at this many tokens.
    """

    logits_processor: LogitsProcessor
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    max_new_tokens: int


class TokenDecoder(Protocol):
    """A decode of one column in progress. It starts with one row, the prompt's."""

    @property
    def finished(self) -> bool:
        """Whether the candidates are final."""

    def update(self, logits: Tensor, log_probs: Tensor) -> NextTokens:
        """Choose the next tokens from ``logits`` and their log-softmax ``log_probs``, both fp32 [rows, V]."""

    def candidates(self) -> tuple[Candidate, ...]:
        """The candidates, best first where the strategy ranks them: provisional until ``finished``."""


class DecodingStrategy(Protocol):
    """Frozen options of a decoding strategy."""

    @property
    def num_rows(self) -> int:
        """The most rows that its decoder has at a time."""

    def token_decoder(self, context: DecodeContext) -> TokenDecoder:
        """A new decoder with these options."""


def strip_eos(tokens: tuple[int, ...], eos_token_ids: tuple[int, ...]) -> tuple[int, ...]:
    """``tokens`` without the end-of-sequence token that closes them, if one does."""
    return tokens[:-1] if tokens and tokens[-1] in eos_token_ids else tokens
