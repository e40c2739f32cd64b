"""Constraints and penalties on the next token: repetition, repeated n-grams, minimum length, forbidden tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_mcl.decoding.options import REPETITION_PENALTY, check_finite, check_token_ids, check_whole
from lora_mcl.errors import OptionsError


@dataclass(frozen=True)
class LogitsOptions:
    """Constraints and penalties that all columns of a request share.

    Attributes:
        repetition_penalty: divides the positive scores, multiplies the negative ones, of tokens already
            generated (CTRL, Keskar et al. 2019); 1 is off. The prompt is not penalised: it is embeddings.
        min_new_tokens: no end-of-sequence token before this many tokens.
        forbidden_token_ids: tokens never generated, such as image or audio placeholders.
        no_repeat_ngram_size: no sequence of so many tokens is generated twice; 0 is off, and the prompt does not count.

    Raises:
        OptionsError: a value is out of range.
    """

    repetition_penalty: float = 1.0
    min_new_tokens: int = 0
    forbidden_token_ids: tuple[int, ...] = ()
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        check_finite("repetition_penalty", self.repetition_penalty)
        if self.repetition_penalty <= 0:
            raise OptionsError(f"repetition_penalty must be above 0, not {self.repetition_penalty!r}.")
        least, most = REPETITION_PENALTY
        check_finite("repetition_penalty", self.repetition_penalty, least=least, most=most)
        check_whole("min_new_tokens", self.min_new_tokens, least=0)
        check_token_ids("forbidden_token_ids", self.forbidden_token_ids)
        check_whole("no_repeat_ngram_size", self.no_repeat_ngram_size, least=0)


DEFAULT_LOGITS_OPTIONS = LogitsOptions()


class LogitsProcessor:
    """LogitsOptions with a model's end-of-sequence tokens and device, applied at every step."""

    def __init__(self, options: LogitsOptions, eos_token_ids: Sequence[int], device: torch.device) -> None:
        self._penalty = options.repetition_penalty
        self._ngram_size = options.no_repeat_ngram_size
        self._min_new_tokens = options.min_new_tokens
        forbidden = torch.tensor(options.forbidden_token_ids, dtype=torch.long, device=device)
        eos = torch.tensor(eos_token_ids, dtype=torch.long, device=device)
        self._forbidden = forbidden
        self._forbidden_or_eos = torch.cat([forbidden, eos])

    def __call__(self, scores: Tensor, tokens: Sequence[tuple[int, ...]]) -> Tensor:
        """Apply the options.

        Args:
            scores: [R, V] scores of the next token: logits, or log-probabilities (beams), as the strategy
                has them. The repetition penalty depends on which, as in transformers.
            tokens: the tokens that each of the R rows has generated so far; all rows have the same length.

        Returns:
            [R, V] new scores, minus infinity where a token may not come next; ``scores`` is not changed.
        """
        length = len(tokens[0])
        if self._penalty != 1.0:
            seen = torch.tensor(tokens, dtype=torch.long, device=scores.device)  # [R, length]
            picked = scores.gather(1, seen)
            # A token that was generated twice is written twice with the same value: it is penalised once.
            scores = scores.scatter(1, seen, torch.where(picked < 0, picked * self._penalty, picked / self._penalty))
        if self._ngram_size and length >= self._ngram_size:
            repeated = [(row, token) for row, seen in enumerate(tokens) for token in ngram_ends(seen, self._ngram_size)]
            if repeated:
                rows, ends = torch.tensor(repeated, device=scores.device).unbind(1)
                scores = scores.index_put((rows, ends), scores.new_tensor(-torch.inf))
        banned = self._forbidden_or_eos if length < self._min_new_tokens else self._forbidden
        return scores.index_fill(1, banned, -torch.inf) if banned.numel() else scores


def ngram_ends(tokens: tuple[int, ...], size: int) -> set[int]:
    """The tokens that, if one came next, would repeat an n-gram of ``size`` tokens that ``tokens`` already hold."""
    start = tokens[len(tokens) - size + 1 :]
    return {tokens[i + size - 1] for i in range(len(tokens) - size + 1) if tokens[i : i + size - 1] == start}
