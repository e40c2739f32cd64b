"""Beam search, and the parts that diverse beam search shares with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor

from lora_mcl.decoding.greedy import GreedyDecoder
from lora_mcl.decoding.options import EarlyStopping, check_beams
from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, NextTokens, strip_eos


@dataclass(frozen=True)
class BeamSearch:
    """Beam search with the semantics of transformers 5's ``generate(num_beams=B, num_return_sequences=B)``.

    The logits processor applies to the log-probabilities; beams are ranked by the sum of the processed ones, over
    the generated length to the power ``length_penalty``.

    Attributes:
        num_beams: beams kept at each step. One beam is greedy decoding, as in ``generate``: the logits processor then
            applies to the logits.
        num_return_sequences: candidates to return, best first; all ``num_beams`` if None.
        length_penalty: above 0 favours long sequences, below 0 short ones.
        early_stopping: once ``num_beams`` sequences are finished, True ends the search; False ends it when
            the best open beam, at its present length, does not beat the worst of them; "never" when no open
            beam could, at any length.

    Raises:
        OptionsError: a value is out of range.
    """

    num_beams: int
    num_return_sequences: int | None = None
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False

    def __post_init__(self) -> None:
        check_beams(self.num_beams, self.num_return_sequences, self.length_penalty, self.early_stopping)

    @property
    def num_rows(self) -> int:
        """The most rows that its decoder has at a time."""
        return self.num_beams

    def token_decoder(self, context: DecodeContext) -> BeamSearchDecoder | GreedyDecoder:
        """A new decoder with these options."""
        if self.num_beams == 1:
            return GreedyDecoder(context, self.length_penalty)
        return BeamSearchDecoder(self, context)


@dataclass(frozen=True)
class Beam:
    """An open sequence: its tokens, the sum of its ranking scores and of its log-probabilities (nats)."""

    tokens: tuple[int, ...] = ()
    total: float = 0.0
    log_prob: float = 0.0


@dataclass(frozen=True)
class Continuation:
    """A beam one token longer, and the row it extends."""

    beam: Beam
    parent: int

    @property
    def token(self) -> int:
        """The token just appended."""
        return self.beam.tokens[-1]


@dataclass(frozen=True)
class Ranking:
    """How finished sequences are ranked, and when a beam search may end."""

    length_penalty: float
    early_stopping: EarlyStopping
    max_new_tokens: int
    eos_token_ids: tuple[int, ...]

    def candidate(self, beam: Beam, *, finished: bool) -> Candidate:
        """A beam with its length-normalised score."""
        length = len(beam.tokens)
        tokens = strip_eos(beam.tokens, self.eos_token_ids)
        return Candidate(tokens, beam.log_prob, beam.total / length**self.length_penalty, finished, length)

    def is_settled(self, best: BestCandidates, open_total: float, length: int) -> bool:
        """Whether a beam of ``length`` tokens summing to ``open_total`` can no longer matter to ``best``."""
        if not best.is_full:
            return False
        if self.early_stopping is True:
            return True
        # The sum is negative: with a positive length penalty it looks best at the greatest length.
        to_the_end = self.early_stopping == "never" and self.length_penalty > 0
        reachable_length = self.max_new_tokens if to_the_end else length
        return best.worst >= open_total / reachable_length**self.length_penalty


class BestCandidates:
    """The ``size`` best finished candidates so far, best first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.items: list[Candidate] = []

    @property
    def is_full(self) -> bool:
        """Whether it holds ``size`` candidates."""
        return len(self.items) == self._size

    @property
    def worst(self) -> float:
        """The lowest score kept."""
        return self.items[-1].score

    def add(self, candidate: Candidate) -> None:
        """Keep the candidate if it is among the best."""
        self.items = by_score([*self.items, candidate])[: self._size]


def by_score(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first; equal scores keep their order."""
    return sorted(candidates, key=attrgetter("score"), reverse=True)


def num_continuations(num_beams: int, eos_token_ids: tuple[int, ...]) -> int:
    """Number of continuations of which ``num_beams`` do not end, even if each beam may end with each EOS token."""
    return max(2, 1 + len(eos_token_ids)) * num_beams


def expand(beams: Sequence[Beam], scores: Tensor, log_probs: Tensor, keep: int) -> list[Continuation]:
    """The ``keep`` best one-token continuations of ``beams``, best first; impossible ones are left out.

    Args:
        beams: R open beams.
        scores: fp32 [R, V] ranking scores of the next token.
        log_probs: fp32 [R, V] the model's log-probabilities of the next token.
        keep: how many to return at most.
    """
    vocab_size = scores.shape[-1]
    # [R, V] + [R, 1]: the score of each beam with each next token.
    totals = scores + torch.tensor([[beam.total] for beam in beams], dtype=scores.dtype, device=scores.device)
    # All beams compete: the best of R * V, both [keep]; flat index = row * V + token.
    best, flat = totals.flatten().topk(min(keep, totals.numel()))
    chosen = zip(best.tolist(), flat.tolist(), log_probs.flatten()[flat].tolist(), strict=True)
    continuations = []
    for total, index, log_prob in chosen:
        if total == -torch.inf:
            break
        parent, token = divmod(index, vocab_size)
        before = beams[parent]
        beam = Beam((*before.tokens, token), total, before.log_prob + log_prob)
        continuations.append(Continuation(beam, parent))
    return continuations


class BeamSearchDecoder:
    """A beam search in progress: one row per open beam."""

    def __init__(self, options: BeamSearch, context: DecodeContext) -> None:
        self._context = context
        self._num_beams = options.num_beams
        self._num_return_sequences = options.num_return_sequences or options.num_beams
        self._ranking = Ranking(
            options.length_penalty, options.early_stopping, context.max_new_tokens, context.eos_token_ids
        )
        self._open = [Beam()]
        self._best = BestCandidates(options.num_beams)
        self._length = 0
        self.finished = False

    def update(self, logits: Tensor, log_probs: Tensor) -> NextTokens:
        """Extend the beams by one token; logits and log_probs are [open beams, V]."""
        context = self._context
        scores = context.logits_processor(log_probs, [beam.tokens for beam in self._open])
        keep = num_continuations(self._num_beams, context.eos_token_ids)
        continuations = expand(self._open, scores, log_probs, keep)
        self._length += 1
        at_the_end = self._length == context.max_new_tokens

        still_open: list[Continuation] = []
        for rank, continuation in enumerate(continuations):
            if at_the_end or continuation.token in context.eos_token_ids:
                # The others are only there to keep enough beams open: they must not count as results.
                if rank < self._num_beams:
                    self._best.add(self._ranking.candidate(continuation.beam, finished=True))
            elif len(still_open) < self._num_beams:
                still_open.append(continuation)

        self._open = [continuation.beam for continuation in still_open]
        self.finished = not still_open or self._ranking.is_settled(self._best, self._open[0].total, self._length)
        if self.finished:
            return NextTokens((), ())
        # A parent may have several children or none: the cache's rows are copied in this order before the next step.
        return NextTokens([c.token for c in still_open], [c.parent for c in still_open])

    def candidates(self) -> tuple[Candidate, ...]:
        """The finished candidates; until the search is finished, the open beams compete with them."""
        ranked = self._best.items
        if not self.finished and self._length:
            still_open = [self._ranking.candidate(beam, finished=False) for beam in self._open]
            ranked = by_score([*ranked, *still_open])
        return tuple(ranked[: self._num_return_sequences])
