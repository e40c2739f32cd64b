"""The lockstep engine: one prefill, then one model forward per token for all rows of all columns.

``Engine._decode`` is the whole loop:

    prefill         [S, T, D] -> logits [S, V], one row per prefix (a prompt as one adapter reads it)   prefill.py
    share           the S prompts' keys and values with the R rows that continue them                   decode_state.py
    loop:
        update      every column's token decoder chooses tokens from the logits of its own rows         token_decoder.py
        reorder     rows: beams move, new beams start from their prompt, finished rows disappear        decode_state.py
        step        one token per row [R] -> logits [R, V]                                              decode_state.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding.acceleration import Accelerator
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS, LogitsOptions, LogitsProcessor
from lora_mcl.decoding.options import EngineOptions, check_token_ids, check_whole
from lora_mcl.decoding.prefill import Prefix, prefill
from lora_mcl.decoding.request import ColumnRequest, Prompt, StepEvent, check_columns, check_length, check_tokens
from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, NextTokens, TokenDecoder


@dataclass
class _Column:
    """A column being decoded; its rows are ``first_row`` to ``first_row + num_rows`` of the live rows."""

    id: str
    decoder: TokenDecoder
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
    stack: AdapterStack | None
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
        columns: Sequence[ColumnRequest],
        *,
        max_new_tokens: int,
        logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS,
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[StepEvent, None, None]:
        """Decode all columns together; each gives what it would give alone.

        The iterator may be closed at any time; the cache is freed.

        Args:
            prompt: B prompts [B, T, D], left-padded; each column continues one of them.
            columns: the columns, with distinct ids.
            max_new_tokens: sequences are cut at this many tokens.
            logits_options: constraints and penalties on the tokens of all columns.
            should_stop: called before every forward; true ends the decode. None never stops it.

        Yields:
            One event per step; the last has ``done`` set.

        Raises:
            OptionsError: the request contradicts itself, or does not fit the model or the prompt. Raised by
                the call, before the first event.
        """
        check_whole("max_new_tokens", max_new_tokens, least=1)
        check_tokens(logits_options, self.eos_token_ids, max_new_tokens, self.model)
        check_columns(columns, self.stack, prompt)
        check_length(columns, prompt, max_new_tokens, self.model)
        context = DecodeContext(
            logits_processor=LogitsProcessor(logits_options, self.eos_token_ids, prompt.inputs_embeds.device),
            eos_token_ids=self.eos_token_ids,
            pad_token_id=self.pad_token_id,
            max_new_tokens=max_new_tokens,
        )
        return self._decode(prompt, columns, context, should_stop)

    def _decode(
        self,
        prompt: Prompt,
        requests: Sequence[ColumnRequest],
        context: DecodeContext,
        should_stop: Callable[[], bool] | None,
    ) -> Generator[StepEvent, None, None]:
        # Columns with the same prompt and adapter share a prefill row: S prefixes for C >= S columns.
        prefix_of = [Prefix(request.prompt, request.adapter) for request in requests]
        prefixes = list(dict.fromkeys(prefix_of))
        columns = [
            # A column starts with one row, its prefix's; its first NextTokens may fan that out into many.
            _Column(request.id, request.strategy.token_decoder(context), prefixes.index(prefix))
            for request, prefix in zip(requests, prefix_of, strict=True)
        ]
        # [S] the most rows that will ever continue each prefix: only fixed shapes need to know.
        max_rows: Counter[Prefix] = Counter()
        for request, prefix in zip(requests, prefix_of, strict=True):
            max_rows[prefix] += request.strategy.num_rows

        state = None
        chosen = NextTokens((), ())
        finished: frozenset[str] = frozenset()
        step = 0
        try:
            while columns:
                if should_stop is not None and should_stop():
                    yield StepEvent(step, {}, finished, done=True, stopped=True)
                    return

                # 1. Logits of the next token. The prefill gives those of the first one, [S, V], one row per prefix...
                if state is None:
                    read = prefill(self.model, self.stack, prompt.inputs_embeds, prompt.attention_mask, prefixes)
                    state = self._accelerator.start(
                        read, prefixes, [max_rows[prefix] for prefix in prefixes], context.max_new_tokens
                    )
                    logits = read.logits
                # ... and from then on one forward for all live rows: [R] tokens -> [R, V]. Row i continues row
                # beam_idx[i] of the step before, so one gather moves beams, fans out prefixes, drops finished rows.
                else:
                    logits = state.step(chosen.tokens, chosen.beam_idx)

                # 2. Every column's token decoder looks at its own rows and chooses its next tokens.
                chosen, changed = _update(columns, logits)

                # 3. Columns that are done leave; their rows are in nobody's beam_idx any more.
                finished |= {column.id for column in columns if column.decoder.finished}
                columns = [column for column in columns if not column.decoder.finished]
                yield StepEvent(step, changed, finished, done=not columns, stopped=False)
                step += 1
        finally:
            if state is not None:
                state.free()


def _update(columns: Sequence[_Column], logits: Tensor) -> tuple[NextTokens, dict[str, tuple[Candidate, ...]]]:
    """Let every column's decoder choose from the logits of its rows.

    Args:
        columns: the live columns; their rows and candidates are updated.
        logits: fp32 [R, V]. Columns may overlap at first, when they share the rows of their prefixes.

    Returns:
        The next tokens of all rows, columns in order, and the candidates of the columns where they changed.
    """
    log_probs = logits.log_softmax(dim=-1)
    tokens: list[int] = []
    beam_idx: list[int] = []
    changed: dict[str, tuple[Candidate, ...]] = {}
    for column in columns:
        rows = slice(column.first_row, column.first_row + column.num_rows)
        chosen = column.decoder.update(logits[rows], log_probs[rows])
        # From rows of the column to rows of the batch.
        beam_idx += [column.first_row + row for row in chosen.beam_idx]
        column.first_row, column.num_rows = len(tokens), len(chosen.tokens)
        tokens += chosen.tokens
        candidates = column.decoder.candidates()
        if candidates != column.candidates or column.decoder.finished:
            column.candidates = changed[column.id] = candidates
    return NextTokens(tokens, beam_idx), changed
