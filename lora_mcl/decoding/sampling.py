"""Sampling: captions drawn at random from the model's distribution, or from its likelier part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from lora_mcl.decoding.options import check_sampling
from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, NextTokens, strip_eos


@dataclass(frozen=True)
class Sampling:
    """Draw ``num_samples`` independent sequences, as transformers' ``generate(do_sample=True)`` draws each.

    The logits processor applies to the logits, then temperature, top-k, top-p and typical-p in this order. With the
    defaults this is ancestral sampling. Candidates come in the order they are drawn in; their score is the
    log-probability.

    Attributes:
        num_samples: sequences to draw.
        temperature: divides the logits; below 1 favours likely tokens.
        top_k: draw from the k likeliest tokens; None for all (Fan et al. 2018).
        top_p: draw from the likeliest tokens that together have this probability (nucleus sampling, Holtzman et
            al. 2020); 1 for all.
        typical_p: draw from the tokens whose surprise is nearest to the expected one and that together have this
            probability (locally typical sampling, Meister et al. 2023); 1 for all.
        seed: same seed, same draws, independent of the other columns; see ``sample_seeds``.

    Raises:
        OptionsError: a value is out of range.
    """

    num_samples: int = 1
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    typical_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_sampling(self.num_samples, self.temperature, self.top_k, self.top_p, self.typical_p, self.seed)

    @property
    def num_rows(self) -> int:
        """The most rows that its decoder has at a time."""
        return self.num_samples

    def token_decoder(self, context: DecodeContext) -> SamplingDecoder:
        """A new decoder with these options."""
        return SamplingDecoder(self, context)


def sample_seeds(seed: int, num_samples: int) -> list[int]:
    """Seeds of the samples' generators: a sample does not depend on how many others are drawn."""
    return [int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in range(num_samples)]


def warpers(options: Sampling) -> list[LogitsProcessor]:
    """Warpers of the scores [R, V] before a token is drawn, in transformers' order."""
    chosen: list[LogitsProcessor] = []
    if options.temperature != 1:
        chosen.append(TemperatureLogitsWarper(float(options.temperature)))
    if options.top_k is not None:
        chosen.append(TopKLogitsWarper(options.top_k))
    if options.top_p < 1:
        chosen.append(TopPLogitsWarper(options.top_p))
    if options.typical_p < 1:
        chosen.append(TypicalLogitsWarper(options.typical_p))
    return chosen


@dataclass(frozen=True)
class SampledSequence:
    """A sequence being drawn; ``log_prob`` (nats) is the model's own."""

    tokens: tuple[int, ...] = ()
    log_prob: float = 0.0
    finished: bool = False


class SamplingDecoder:
    """A sampling decode in progress: one row per unfinished sample."""

    def __init__(self, options: Sampling, context: DecodeContext) -> None:
        self._context = context
        self._warpers = warpers(options)
        # On the CPU, not on the model's device, so that the draws are the same everywhere.
        seeds = sample_seeds(options.seed, options.num_samples)
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._samples = [SampledSequence()] * options.num_samples
        # The samples that have a row, and that row: at first all have the prompt's.
        self._rows = dict.fromkeys(range(options.num_samples), 0)

    @property
    def finished(self) -> bool:
        """Whether every sample is."""
        return not self._rows

    def update(self, logits: Tensor, log_probs: Tensor) -> NextTokens:
        """Draw the next token of every unfinished sample; logits and log_probs are [unfinished samples, V]."""
        context = self._context
        probabilities = self._probabilities(logits).cpu()
        going_on: dict[int, int] = {}
        tokens: list[int] = []
        parents: list[int] = []
        drawn = [
            int(torch.multinomial(probabilities[row], 1, generator=self._generators[index]))
            for index, row in self._rows.items()
        ]
        rows = list(self._rows.values())
        gains = log_probs[rows, drawn].tolist()
        for (index, row), token, gain in zip(self._rows.items(), drawn, gains, strict=True):
            before = self._samples[index]
            written = (*before.tokens, token)
            ended = token in context.eos_token_ids or len(written) == context.max_new_tokens
            self._samples[index] = SampledSequence(written, before.log_prob + gain, ended)
            if not ended:
                going_on[index] = len(tokens)
                tokens.append(token)
                parents.append(row)
        self._rows = going_on
        return NextTokens(tokens, parents)

    def candidates(self) -> tuple[Candidate, ...]:
        """The samples as far as they are drawn, in order."""
        eos = self._context.eos_token_ids
        return tuple(
            Candidate(
                strip_eos(sample.tokens, eos), sample.log_prob, sample.log_prob, sample.finished, len(sample.tokens)
            )
            for sample in self._samples
        )

    def _probabilities(self, logits: Tensor) -> Tensor:
        """[rows, V] distribution of the next tokens."""
        tokens = {row: self._samples[index].tokens for index, row in self._rows.items()}
        scores = self._context.logits_processor(logits, [tokens[row] for row in range(len(logits))])
        for warper in self._warpers:
            # These do not look at the tokens before.
            scores = warper(None, scores)
        return scores.softmax(dim=-1)
