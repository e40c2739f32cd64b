"""Greedy decoding: always the most probable next token."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, NextTokens, strip_eos


@dataclass(frozen=True)
class Greedy:
    """Take the best token at each step, as transformers' ``generate(do_sample=False)`` does.

    The logits processor applies to the logits. The score is the log-probability.
    """

    @property
    def num_rows(self) -> int:
        """The most rows that its decoder has at a time."""
        return 1

    def token_decoder(self, context: DecodeContext) -> GreedyDecoder:
        """A new decoder with these options."""
        return GreedyDecoder(context)


class GreedyDecoder:
    """A greedy decode in progress: one row. Its score is the log-probability over length ** ``length_penalty``."""

    def __init__(self, context: DecodeContext, length_penalty: float = 0.0) -> None:
        self._context = context
        self._length_penalty = length_penalty
        self._tokens: tuple[int, ...] = ()
        self._log_prob = self._least = 0.0
        self.finished = False

    def update(self, logits: Tensor, log_probs: Tensor) -> NextTokens:
        """Append the best token; logits and log_probs are [1, V]."""
        token = int(self._context.logits_processor(logits, [self._tokens])[0].argmax())
        self._tokens += (token,)
        log_prob = float(log_probs[0, token])
        self._log_prob += log_prob
        self._least = min(self._least, log_prob)
        ended = token in self._context.eos_token_ids
        self.finished = ended or len(self._tokens) == self._context.max_new_tokens
        return NextTokens((), ()) if self.finished else NextTokens((token,), (0,))

    def candidates(self) -> tuple[Candidate, ...]:
        """The sequence so far."""
        tokens = strip_eos(self._tokens, self._context.eos_token_ids)
        length = len(self._tokens)
        score = self._log_prob / max(1, length) ** self._length_penalty
        return (Candidate(tokens, self._log_prob, score, self.finished, length, self._least),)
