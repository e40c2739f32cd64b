"""The lockstep engine: one prefill, then one model forward per token for all rows of all columns.

Prefill has one row per distinct medium and adapter. Each column's search then works on its own rows. Between two
steps the rows are gathered once for all of them, which at once reorders beams, gives new beams their prompt and drops
the rows that ended.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding.acceleration import Accelerator
from lora_mcl.decoding.options import EngineOptions, check_token_ids, check_whole
from lora_mcl.decoding.prefill import AdapterRows, Source, prefill
from lora_mcl.decoding.rows import LiveRows
from lora_mcl.decoding.rules import NO_RULES, BoundRules, LogitRules
from lora_mcl.decoding.static import StaticRows
from lora_mcl.decoding.strategy import Candidate, Move, Search, SearchContext, Strategy
from lora_mcl.decoding.trunk import decoder_of
from lora_mcl.errors import OptionsError


class Prompt(Protocol):
    """B encoded prompts, left-padded to T positions."""

    @property
    def inputs_embeds(self) -> Tensor:
        """[B, T, D] what the language model reads: text and media."""

    @property
    def attention_mask(self) -> Tensor:
        """[B, T] 1 where there is a prompt, 0 on the padding at its left."""


@dataclass(frozen=True)
class ColumnRequest:
    """One column to decode.

    Attributes:
        id: its name in the events.
        adapter: index in the adapter stack, or BASE_ROW for the bare base.
        strategy: how it is decoded.
        medium: which of the B prompts it captions.
    """

    id: str
    adapter: int
    strategy: Strategy
    medium: int = 0


@dataclass(frozen=True)
class StepEvent:
    """What one step changed.

    Attributes:
        step: 0 for the first token of every column.
        columns: the candidates, best first, of the columns that changed or became final; those of an
            unfinished column are provisional.
        finished: all columns that are final by now.
        done: nothing follows.
        stopped: the decode was told to stop; unfinished columns keep their last candidates.
    """

    step: int
    columns: Mapping[str, tuple[Candidate, ...]]
    finished: frozenset[str]
    done: bool
    stopped: bool


def never() -> bool:
    """The ``should_stop`` of a caller that does not stop."""
    return False


@dataclass
class _Column:
    """A column at work: its rows are ``first_row`` to ``first_row + num_rows`` of the live rows."""

    id: str
    search: Search
    first_row: int
    num_rows: int = 1
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Engine:
    """Decodes many columns in lockstep.

    Attributes:
        model: a causal language model that takes ``inputs_embeds`` and a cache, in eval mode.
        stack: its adapters; None if it has none, and all columns are of the base.
        eos_token_ids: tokens that end a sequence.
        pad_token_id: the padding token.
        options: how the model is run.
    """

    model: PreTrainedModel
    stack: AdapterRows | None
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    options: EngineOptions = field(default_factory=EngineOptions)
    _accelerator: Accelerator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_accelerator", Accelerator(self.model, self.stack, self.options))
        check_token_ids("eos_token_ids", self.eos_token_ids)
        check_whole("pad_token_id", self.pad_token_id, least=0)

    def decode(
        self,
        prompt: Prompt,
        requests: Sequence[ColumnRequest],
        *,
        max_new_tokens: int,
        rules: LogitRules = NO_RULES,
        should_stop: Callable[[], bool] = never,
    ) -> Generator[StepEvent, None, None]:
        """Decode all columns together; each gives what it would give alone.

        The iterator may be closed at any time; the cache is freed.

        Args:
            prompt: B prompts; a column captions one of them.
            requests: the columns, with distinct ids.
            max_new_tokens: sequences are cut at this many tokens.
            rules: what the columns may generate.
            should_stop: asked before every forward.

        Yields:
            One event per step; the last has ``done`` set.

        Raises:
            OptionsError: the request contradicts itself, or does not fit the model or the prompt. Raised by
                the call, before the first event.
        """
        check_whole("max_new_tokens", max_new_tokens, least=1)
        self._check_rules(rules, max_new_tokens)
        self._check_requests(requests, num_prompts=prompt.inputs_embeds.shape[0])
        if not bool(prompt.attention_mask[:, -1].all()):
            raise OptionsError("The prompts must be padded at their left: a prompt ends with padding.")
        self._check_length(prompt, requests, max_new_tokens)
        context = SearchContext(
            rules=BoundRules(rules, self.eos_token_ids, prompt.inputs_embeds.device),
            eos_token_ids=self.eos_token_ids,
            pad_token_id=self.pad_token_id,
            max_new_tokens=max_new_tokens,
        )
        return self._decode(prompt, requests, context, should_stop)

    def _decode(
        self,
        prompt: Prompt,
        requests: Sequence[ColumnRequest],
        context: SearchContext,
        should_stop: Callable[[], bool],
    ) -> Generator[StepEvent, None, None]:
        # Columns with the same medium and adapter share a prefill row: only their searches differ.
        source_of = [Source(request.medium, request.adapter) for request in requests]
        sources = list(dict.fromkeys(source_of))
        columns = [
            _Column(request.id, request.strategy.search(context), sources.index(source))
            for request, source in zip(requests, source_of, strict=True)
        ]
        num_rows = [0] * len(sources)
        for request, source in zip(requests, source_of, strict=True):
            num_rows[sources.index(source)] += request.strategy.num_rows
        rows: LiveRows | StaticRows | None = None
        finished: frozenset[str] = frozenset()
        step = 0
        move = Move((), ())
        try:
            while columns:
                if should_stop():
                    yield StepEvent(step, {}, finished, done=True, stopped=True)
                    return
                if rows is None:
                    read = prefill(self.model, self.stack, prompt.inputs_embeds, prompt.attention_mask, sources)
                    rows = self._accelerator.rows(read, sources, num_rows, context.max_new_tokens)
                    logits = read.logits
                else:
                    logits = rows.step(move.tokens, move.parents)
                move, changed = _advance(columns, logits)
                finished |= {column.id for column in columns if column.search.finished}
                columns = [column for column in columns if not column.search.finished]
                yield StepEvent(step, changed, finished, done=not columns, stopped=False)
                step += 1
        finally:
            if rows is not None:
                rows.free()

    def _check_rules(self, rules: LogitRules, max_new_tokens: int) -> None:
        if rules.min_new_tokens > max_new_tokens:
            raise OptionsError(
                f"min_new_tokens must be at most max_new_tokens: {rules.min_new_tokens} > {max_new_tokens}."
            )
        both = sorted(set(rules.forbidden_token_ids) & set(self.eos_token_ids))
        if both:
            raise OptionsError(f"forbidden_token_ids must leave the end-of-sequence tokens free: {both} are both.")
        vocab_size = decoder_of(self.model).config.vocab_size
        for name, token_ids in (
            ("forbidden_token_ids", rules.forbidden_token_ids),
            ("eos_token_ids", self.eos_token_ids),
        ):
            beyond = [token_id for token_id in token_ids if token_id >= vocab_size]
            if beyond:
                raise OptionsError(f"{name} must be tokens of the model, which has {vocab_size}: {beyond} are not.")
        # A caption's end is no way to go on while it is too short.
        never_next = {*rules.forbidden_token_ids, *(self.eos_token_ids if rules.min_new_tokens else ())}
        if len(never_next) == vocab_size:
            raise OptionsError("forbidden_token_ids and min_new_tokens leave no token that may come next.")

    def _check_length(self, prompt: Prompt, requests: Sequence[ColumnRequest], max_new_tokens: int) -> None:
        # Not every model has a last position; beyond it some would compute nonsense, others read outside a table.
        positions = getattr(decoder_of(self.model).config, "max_position_embeddings", None)
        media = sorted({request.medium for request in requests})
        longest = int(prompt.attention_mask[media].sum(dim=1).max())
        # The last token is written and never read.
        if positions is not None and longest + max_new_tokens - 1 > positions:
            raise OptionsError(
                f"A prompt of {longest} positions and {max_new_tokens} new tokens are too long for the model, which "
                f"has {positions} positions: max_new_tokens can be {positions - longest + 1} at most."
            )

    def _check_requests(self, requests: Sequence[ColumnRequest], num_prompts: int) -> None:
        if not requests:
            raise OptionsError("There must be at least one column to decode.")
        ids = [request.id for request in requests]
        if len(set(ids)) != len(ids):
            raise OptionsError(f"The columns must have distinct ids, not {ids}.")
        num_adapters = 0 if self.stack is None else len(self.stack.names)
        for request in requests:
            if request.adapter != BASE_ROW and not 0 <= request.adapter < num_adapters:
                raise OptionsError(
                    f"Column {request.id!r} asks for adapter {request.adapter}, but there are {num_adapters}."
                )
            if not 0 <= request.medium < num_prompts:
                raise OptionsError(
                    f"Column {request.id!r} asks for medium {request.medium}, but there are {num_prompts}."
                )


def _advance(columns: Sequence[_Column], logits: Tensor) -> tuple[Move, dict[str, tuple[Candidate, ...]]]:
    """Let every column's search move on the scores of its rows.

    Args:
        columns: the live columns; their rows and candidates are updated.
        logits: fp32 [live rows, V].

    Returns:
        The move of all rows together, and the candidates of the columns where they changed.
    """
    log_probs = logits.log_softmax(dim=-1)
    tokens: list[int] = []
    parents: list[int] = []
    changed: dict[str, tuple[Candidate, ...]] = {}
    for column in columns:
        own = slice(column.first_row, column.first_row + column.num_rows)
        move = column.search.advance(logits[own], log_probs[own])
        parents += [column.first_row + parent for parent in move.parents]
        column.first_row, column.num_rows = len(tokens), len(move.tokens)
        tokens += move.tokens
        candidates = column.search.candidates()
        if candidates != column.candidates or column.search.finished:
            column.candidates = changed[column.id] = candidates
    return Move(tokens, parents), changed
