"""Diverse beam search: groups of beams that are kept apart by a penalty on each other's tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_mcl.decoding.beam import (
    Beam,
    BeamSearch,
    BeamSearchDecoder,
    BestCandidates,
    Continuation,
    Ranking,
    by_score,
    expand,
    num_continuations,
)
from lora_mcl.decoding.greedy import GreedyDecoder
from lora_mcl.decoding.options import DIVERSITY_PENALTY, EarlyStopping, check_beams, check_finite, check_whole
from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, NextTokens
from lora_mcl.errors import OptionsError


@dataclass(frozen=True)
class DiverseBeamSearch:
    """Diverse beam search with Hamming diversity (Vijayakumar et al. 2018, "Diverse Beam Search", section 4).

    The beams are split into groups. At each step the groups choose one after the other, and a token's
    log-probability is lowered by ``diversity_penalty`` for every beam of an earlier group that has just
    chosen it. The penalties stay in the ranking score. The semantics are those of transformers 4.51.3
    (``generate(num_beam_groups=G)``; transformers 5 has no diverse beam search); one group is BeamSearch.

    Attributes:
        num_beams: beams of all groups together.
        num_beam_groups: groups; must divide ``num_beams``.
        diversity_penalty: nats per beam that chose the token; 0 makes all groups the same search.
        num_return_sequences: candidates to return, best first over all groups; all ``num_beams`` if None.
        length_penalty: as in BeamSearch.
        early_stopping: as in BeamSearch, for each group on its own.

    Raises:
        OptionsError: a value is out of range, or the groups do not divide the beams.
    """

    num_beams: int
    num_beam_groups: int
    diversity_penalty: float
    num_return_sequences: int | None = None
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False

    def __post_init__(self) -> None:
        check_beams(self.num_beams, self.num_return_sequences, self.length_penalty, self.early_stopping)
        check_whole("num_beam_groups", self.num_beam_groups, least=1)
        if self.num_beams % self.num_beam_groups:
            raise OptionsError(
                f"num_beam_groups must divide num_beams: {self.num_beam_groups} does not divide {self.num_beams}."
            )
        check_finite("diversity_penalty", self.diversity_penalty, least=DIVERSITY_PENALTY[0], most=DIVERSITY_PENALTY[1])

    @property
    def num_rows(self) -> int:
        """The most rows that its decoder has at a time."""
        return self.num_beams

    def token_decoder(self, context: DecodeContext) -> DiverseBeamSearchDecoder | BeamSearchDecoder | GreedyDecoder:
        """A new decoder with these options."""
        if self.num_beam_groups == 1:
            return BeamSearch(
                self.num_beams, self.num_return_sequences, self.length_penalty, self.early_stopping
            ).token_decoder(context)
        return DiverseBeamSearchDecoder(self, context)


class BeamGroup:
    """The beams of one group.

    Two details are those of transformers 4.51.3, not of 5 (BeamSearchDecoder): whether the group is done is
    judged by the best continuation, even one that has just ended; and the beams that ``max_new_tokens`` cuts
    are results only of a group that was not done at that very step.
    """

    def __init__(self, size: int, ranking: Ranking) -> None:
        self._size = size
        self._ranking = ranking
        self._best = BestCandidates(size)
        self.open = [Beam()]
        self.done = False

    def update(self, scores: Tensor, log_probs: Tensor) -> list[Continuation]:
        """Extend the open beams by one token; scores and log_probs are [open beams, V].

        Returns the continuations chosen, parents counted within the group.
        """
        eos_token_ids = self._ranking.eos_token_ids
        continuations = expand(self.open, scores, log_probs, num_continuations(self._size, eos_token_ids))
        for continuation in continuations[: self._size]:
            if continuation.token in eos_token_ids:
                self._best.add(self._ranking.candidate(continuation.beam, finished=True))
        still_open = [c for c in continuations if c.token not in eos_token_ids][: self._size]
        self.open = [continuation.beam for continuation in still_open]

        if not still_open or self._is_settled_by(continuations[0].beam):
            self.done = True
        elif len(self.open[0].tokens) == self._ranking.max_new_tokens:
            for beam in self.open:
                self._best.add(self._ranking.candidate(beam, finished=True))
            self.done = True
        return still_open

    def _is_settled_by(self, beam: Beam) -> bool:
        return self._ranking.is_settled(self._best, beam.total, len(beam.tokens))

    def candidates(self) -> list[Candidate]:
        """The finished candidates; until the group is done, the open beams compete with them. Best first."""
        if self.done:
            return self._best.items
        still_open = [self._ranking.candidate(beam, finished=False) for beam in self.open if beam.tokens]
        return by_score([*self._best.items, *still_open])[: self._size]


class DiverseBeamSearchDecoder:
    """A diverse beam search in progress: one row per open beam, group after group."""

    def __init__(self, options: DiverseBeamSearch, context: DecodeContext) -> None:
        self._context = context
        self._diversity_penalty = options.diversity_penalty
        self._num_return_sequences = options.num_return_sequences or options.num_beams
        self._group_size = options.num_beams // options.num_beam_groups
        ranking = Ranking(options.length_penalty, options.early_stopping, context.max_new_tokens, context.eos_token_ids)
        self._groups = [BeamGroup(self._group_size, ranking) for _ in range(options.num_beam_groups)]
        # First row of each group; all groups share the prompt's row until they have moved.
        self._first_rows = [0] * options.num_beam_groups

    @property
    def finished(self) -> bool:
        """Whether every group is done."""
        return all(group.done for group in self._groups)

    def update(self, logits: Tensor, log_probs: Tensor) -> NextTokens:
        """Extend every group by one token; logits and log_probs are [open beams of all groups, V]."""
        chosen: list[int] = []
        tokens: list[int] = []
        parents: list[int] = []
        for index, group in enumerate(self._groups):
            if group.done:
                # As in transformers 4.51.3, a group that is done goes on choosing the padding token.
                chosen += [self._context.pad_token_id] * self._group_size
                continue
            first = self._first_rows[index]
            rows = log_probs[first : first + len(group.open)]
            scores = self._context.logits_processor(self._penalised(rows, chosen), [beam.tokens for beam in group.open])
            continuations = group.update(scores, rows)
            chosen += [continuation.token for continuation in continuations]
            if not group.done:
                self._first_rows[index] = len(tokens)
                tokens += [continuation.token for continuation in continuations]
                parents += [first + continuation.parent for continuation in continuations]
        return NextTokens(tokens, parents)

    def candidates(self) -> tuple[Candidate, ...]:
        """The best candidates of all groups; provisional until the search is finished."""
        ranked = by_score([candidate for group in self._groups for candidate in group.candidates()])
        return tuple(ranked[: self._num_return_sequences])

    def _penalised(self, log_probs: Tensor, chosen: list[int]) -> Tensor:
        """[R, V] log-probabilities, less the penalty on the tokens ``chosen`` by the earlier groups."""
        if not chosen or self._diversity_penalty == 0:
            return log_probs
        vocab_size = log_probs.shape[-1]
        counts = torch.bincount(torch.tensor(chosen, device=log_probs.device), minlength=vocab_size)
        return log_probs - self._diversity_penalty * counts[:vocab_size]
