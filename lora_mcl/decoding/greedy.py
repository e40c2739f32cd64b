"""Greedy decoding: the most probable next token, always."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lora_mcl.decoding.strategy import Candidate, Move, SearchContext, strip_eos


@dataclass(frozen=True)
class Greedy:
    """Take the best token at each step, as transformers' ``generate(do_sample=False)`` does.

    The rules apply to the logits. The score is the log-probability.
    """

    @property
    def num_rows(self) -> int:
        """The most rows a search has."""
        return 1

    def search(self, context: SearchContext) -> GreedySearch:
        """Start a search."""
        return GreedySearch(context)


class GreedySearch:
    """Greedy decoding at work: one row."""

    def __init__(self, context: SearchContext) -> None:
        self._context = context
        self._tokens: tuple[int, ...] = ()
        self._log_prob = 0.0
        self.finished = False

    def advance(self, logits: Tensor, log_probs: Tensor) -> Move:
        """Append the best token; logits and log_probs are [1, V]."""
        token = int(self._context.rules(logits, [self._tokens])[0].argmax())
        self._tokens += (token,)
        self._log_prob += float(log_probs[0, token])
        ended = token in self._context.eos_token_ids
        self.finished = ended or len(self._tokens) == self._context.max_new_tokens
        return Move((), ()) if self.finished else Move((token,), (0,))

    def candidates(self) -> tuple[Candidate, ...]:
        """The sequence so far."""
        tokens = strip_eos(self._tokens, self._context.eos_token_ids)
        return (Candidate(tokens, self._log_prob, self._log_prob, self.finished, len(self._tokens)),)
