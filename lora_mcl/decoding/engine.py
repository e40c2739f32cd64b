"""The lockstep engine: one model forward per token for all rows of all columns of all requests.

``Engine.decode`` is the loop for one request, ``DecodeBatch`` its three parts, which a Scheduler calls for many:

    join      prefill the prompts of new requests [S, T, D], one row per prefix (a prompt under one adapter);
              S rows join the R live ones                                           prefill.py, decode_state.py
    update    every column's token decoder chooses from the logits of its own rows  token_decoder.py
    forward   reorder the rows (beams move, a prefix fans out into beams, finished
              rows disappear), then one token per row [R] -> logits [R, V]          decode_state.py

One image [1, T, D] with K = 3 greedy hypotheses, and beam and diverse beam search of 3 beams on a baseline adapter:

    column          h0  h1  h2  beam       diverse
    prefix           0   1   2   3          3           S = 4: both searches continue one prefill row
    first beam_idx  [0,  1,  2,  3, 3, 3,   3, 3, 3]    after the prefill, S rows become R = 9
    later beam_idx  [0,  1,  2,  4, 3, 3,   6, 7, 8]    the best beam continues row 4, the two others row 3
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding.acceleration import Accelerator
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS, LogitsOptions, LogitsProcessor
from lora_mcl.decoding.options import EngineOptions, check_token_ids, check_whole
from lora_mcl.decoding.prefill import Prefix, pad_states, prefill
from lora_mcl.decoding.request import ColumnRequest, Prompt, StepEvent, check_columns, check_length, check_tokens
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.decoding.shared_prompt_cache import can_share_prompts
from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, NextTokens, TokenDecoder


@dataclass
class _Column:
    """A column being decoded; its rows are ``first_row`` to ``first_row + num_rows`` of the batch's rows."""

    id: str
    prefix: Prefix
    decoder: TokenDecoder
    first_row: int = 0
    num_rows: int = 1
    candidates: tuple[Candidate, ...] = ()


class DecodeRequest:
    """The columns of one caller on its prompts, in progress; made by ``Engine.request``.

    Attributes:
        prompt: B prompts [B, T, D]; None once their prefill is done.
        prompt_length: T.
        max_new_tokens: sequences are cut at this many tokens.
        prefixes: the S prefixes of the columns, which have a prefill row each.
        max_rows: [S] the most rows that will ever continue each.
    """

    def __init__(self, prompt: Prompt, columns: Sequence[ColumnRequest], context: DecodeContext) -> None:
        self.prompt: Prompt | None = prompt
        self.prompt_length = prompt.inputs_embeds.shape[1]
        self.max_new_tokens = context.max_new_tokens
        # Columns with the same prompt and adapter share a prefill row: S prefixes for C >= S columns.
        self.columns = [
            _Column(column.id, Prefix(column.prompt, column.adapter), column.strategy.token_decoder(context))
            for column in columns
        ]
        self.prefixes = list(dict.fromkeys(column.prefix for column in self.columns))
        self.max_rows = [0] * len(self.prefixes)
        for column, request in zip(self.columns, columns, strict=True):
            self.max_rows[self.prefixes.index(column.prefix)] += request.strategy.num_rows
        self._finished: frozenset[str] = frozenset()
        self._step = 0

    @property
    def num_rows(self) -> int:
        """The most rows that it will ever have."""
        return sum(self.max_rows)

    def update(self, logits: Tensor, log_probs: Tensor, chosen: NextTokens) -> StepEvent:
        """Choose each column's next tokens from the logits of its rows, and append them to ``chosen``.

        Args:
            logits: fp32 [R, V] of the whole batch, and ``log_probs`` their log-softmax. Columns of a new request may
                overlap: they share the rows of their prefixes.
        """
        changed: dict[str, tuple[Candidate, ...]] = {}
        for column in self.columns:
            rows = slice(column.first_row, column.first_row + column.num_rows)
            # [R, V] -> [rows of the column, V]; the decoder counts its rows from 0.
            own = column.decoder.update(logits[rows], log_probs[rows])
            column.num_rows = len(own.tokens)
            # From the column's rows to the batch's former rows; its new rows follow those of the columns before.
            beam_idx = [column.first_row + row for row in own.beam_idx]
            column.first_row = len(chosen.tokens)
            chosen.tokens.extend(own.tokens)
            chosen.beam_idx.extend(beam_idx)
            candidates = column.decoder.candidates()
            if candidates != column.candidates or column.decoder.finished:
                column.candidates = changed[column.id] = candidates
        self._finished |= {column.id for column in self.columns if column.decoder.finished}
        self.columns = [column for column in self.columns if not column.decoder.finished]
        event = StepEvent(self._step, changed, self._finished, done=not self.columns, stopped=False)
        self._step += 1
        return event

    def stop(self) -> StepEvent:
        """The last event of a request that was stopped."""
        return StepEvent(self._step, {}, self._finished, done=True, stopped=True)


class DecodeBatch:
    """The requests that decode together; call ``join`` or ``forward`` or both, then ``update``, and again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = None
        self._requests: list[DecodeRequest] = []
        # Logits of the next token of every row [R, V], between forward or join and update.
        self._logits: Tensor | None = None
        # What update chose, for forward: row i is the former row beam_idx[i] followed by tokens[i].
        self._chosen = NextTokens([], [])

    @property
    def requests(self) -> tuple[DecodeRequest, ...]:
        """Unfinished requests, in the order in which they joined."""
        return tuple(self._requests)

    @property
    def can_join(self) -> bool:
        """Whether other requests can join: not the fixed rows of a static step."""
        return self._state is None or self._state.can_join

    @torch.no_grad()
    def join(self, requests: Sequence[DecodeRequest]) -> None:
        """Prefill the prompts of new requests together; one row per prefix joins the live rows.

        Nothing has changed if this raises.
        """
        engine = self._engine
        # Prompts of all requests one after the other, [sum of B, longest T, D]; padded at their left.
        longest = max(request.prompt_length for request in requests)
        embeds = torch.cat([pad_states(request.prompt.inputs_embeds, longest) for request in requests])
        mask = torch.cat([pad_states(request.prompt.attention_mask[..., None], longest) for request in requests])[
            ..., 0
        ]
        prefixes, max_rows, offset = [], [], 0
        for request in requests:
            prefixes += [Prefix(offset + prefix.prompt, prefix.adapter) for prefix in request.prefixes]
            max_rows += request.max_rows
            offset += len(request.prompt.inputs_embeds)
        read = prefill(engine.model, engine.stack, embeds, mask, prefixes)

        if self._state is None:
            new_tokens = max(request.max_new_tokens for request in requests)
            self._state = engine.accelerator.start(read, max_rows, new_tokens)
        else:
            self._state.join(read)
        # The new rows come after the live ones: [R, V] and [S, V].
        first_row = 0 if self._logits is None else len(self._logits)
        self._logits = read.logits if self._logits is None else torch.cat([self._logits, read.logits])
        for request in requests:
            for column in request.columns:
                # A column starts with its prefix's row; its first NextTokens may fan that out into many.
                column.first_row = first_row + request.prefixes.index(column.prefix)
            first_row += len(request.prefixes)
            request.prompt = None
        self._requests += requests

    def forward(self) -> None:
        """One forward of the model for all live rows: tokens [R] -> logits [R, V]."""
        # One gather moves beams, fans prefixes out and drops the rows that no beam_idx names.
        self._logits = self._state.step(self._chosen.tokens, self._chosen.beam_idx)

    def update(self) -> Mapping[DecodeRequest, StepEvent | Exception]:
        """Choose the next tokens of every column, and remove finished requests.

        Returns:
            For each request what changed, or the error of one of its token decoders: it leaves too.
        """
        log_probs = self._logits.log_softmax(dim=-1)
        results: dict[DecodeRequest, StepEvent | Exception] = {}
        chosen = NextTokens([], [])
        for request in self._requests:
            before = len(chosen.tokens)
            try:
                results[request] = request.update(self._logits, log_probs, chosen)
            except Exception as error:
                results[request] = error
                del chosen.tokens[before:], chosen.beam_idx[before:]
        self._chosen, self._logits = chosen, None
        self._requests = [
            request for request in self._requests if isinstance(event := results[request], StepEvent) and not event.done
        ]
        if not self._requests:
            self.free()
        return results

    def remove(self, request: DecodeRequest) -> None:
        """Remove an unfinished request: its rows are dropped at the next forward, or at once if it is the last."""
        self._requests.remove(request)
        kept = NextTokens([], [])
        for column in (column for request in self._requests for column in request.columns):
            rows = slice(column.first_row, column.first_row + column.num_rows)
            column.first_row = len(kept.tokens)
            kept.tokens.extend(self._chosen.tokens[rows])
            kept.beam_idx.extend(self._chosen.beam_idx[rows])
        self._chosen = kept
        if not self._requests:
            self.free()

    def free(self) -> None:
        """Drop all requests and the cache."""
        if self._state is not None:
            self._state.free()
        self._state = self._logits = None
        self._requests = []
        self._chosen = NextTokens([], [])


@dataclass(frozen=True)
class Engine:
    """Decodes many columns in lockstep.

    Attributes:
        model: a causal language model that takes ``inputs_embeds`` and a cache, in eval mode.
        stack: its adapters; None if it has none, and all columns are of the base.
        eos_token_ids: tokens that end a sequence.
        pad_token_id: the padding token.
        options: how the model is run.
        accelerator: makes the state of a decode, with these options.
    """

    model: PreTrainedModel
    stack: AdapterStack | None
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    options: EngineOptions = field(default_factory=EngineOptions)
    accelerator: Accelerator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "accelerator", Accelerator(self.model, self.stack, self.options))
        check_token_ids("eos_token_ids", self.eos_token_ids)
        check_whole("pad_token_id", self.pad_token_id, least=0)

    def request(
        self,
        prompt: Prompt,
        columns: Sequence[ColumnRequest],
        *,
        max_new_tokens: int,
        logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS,
    ) -> DecodeRequest:
        """A checked request, for a DecodeBatch; see ``decode``.

        Raises:
            OptionsError: the request contradicts itself, or does not fit the model or the prompt.
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
        return DecodeRequest(prompt, columns, context)

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
        request = self.request(prompt, columns, max_new_tokens=max_new_tokens, logits_options=logits_options)
        return self._decode(request, should_stop)

    def cache_bytes(self, requests: Sequence[DecodeRequest]) -> int:
        """Bytes of keys and values that requests take together at most, decoded in one batch.

        Prompts and captions are padded to the longest. With shared prompts a prefix is held once, and each row holds
        its caption; otherwise each row holds both.
        """
        decoder = decoder_of(self.model)
        config = decoder.config
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        # Not every config has grouped-query attention; then every query head has its keys.
        key_heads = getattr(config, "num_key_value_heads", None) or heads
        per_position = 2 * config.num_hidden_layers * key_heads * size * self.model.dtype.itemsize
        prompt = max(request.prompt_length for request in requests)
        caption = max(request.max_new_tokens for request in requests)
        rows = sum(request.num_rows for request in requests)
        shares = self.options.share_prompts and can_share_prompts(decoder)
        prefixes = sum(len(request.prefixes) for request in requests) if shares else rows
        return per_position * (prefixes * prompt + rows * caption)

    def _decode(
        self, request: DecodeRequest, should_stop: Callable[[], bool] | None
    ) -> Generator[StepEvent, None, None]:
        batch = DecodeBatch(self)
        done = False
        try:
            while not done:
                if should_stop is not None and should_stop():
                    yield request.stop()
                    return
                # Logits of the next token: the prefill gives those of the first one, [S, V] ...
                if not batch.requests:
                    batch.join([request])
                # ... and from then on each forward those of all live rows, [R, V].
                else:
                    batch.forward()
                result = batch.update()[request]
                if isinstance(result, Exception):
                    raise result
                done = result.done
                yield result
        finally:
            batch.free()
