"""Inputs and outputs of the engine, with their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import BASE_ROW, AdapterStack
from lora_mcl.decoding.logits_processor import LogitsOptions
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.decoding.token_decoder import Candidate, DecodingStrategy
from lora_mcl.errors import OptionsError


class Prompt(Protocol):
    """B encoded prompts, left-padded to T positions."""

    @property
    def inputs_embeds(self) -> Tensor:
        """[B, T, D] input of the language model: text and media."""

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
        prompt: index of its prompt among the B prompts.
    """

    id: str
    adapter: int
    strategy: DecodingStrategy
    prompt: int = 0


@dataclass(frozen=True)
class StepEvent:
    """The changes of one step.

    Attributes:
        step: 0 for the first token of every column.
        columns: the candidates, best first, of the columns that changed or became final; those of an
            unfinished column are provisional.
        finished: all columns that are final by now.
        done: nothing follows.
        stopped: ``should_stop`` ended the decode; unfinished columns keep their last candidates.
    """

    step: int
    columns: Mapping[str, tuple[Candidate, ...]]
    finished: frozenset[str]
    done: bool
    stopped: bool


def check_columns(columns: Sequence[ColumnRequest], stack: AdapterStack | None, prompt: Prompt) -> None:
    """Require distinct columns whose adapters and prompts exist, and left-padded prompts.

    Raises:
        OptionsError: with the reason.
    """
    if not columns:
        raise OptionsError("There must be at least one column to decode.")
    ids = [column.id for column in columns]
    if len(set(ids)) != len(ids):
        raise OptionsError(f"The columns must have distinct ids, not {ids}.")
    num_adapters = 0 if stack is None else len(stack)
    num_prompts = len(prompt.inputs_embeds)
    for column in columns:
        if column.adapter != BASE_ROW and not 0 <= column.adapter < num_adapters:
            raise OptionsError(f"Column {column.id!r} asks for adapter {column.adapter}, but there are {num_adapters}.")
        if not 0 <= column.prompt < num_prompts:
            raise OptionsError(f"Column {column.id!r} asks for prompt {column.prompt}, but there are {num_prompts}.")
    if not bool(prompt.attention_mask[:, -1].all()):
        raise OptionsError("The prompts must be padded at their left: a prompt ends with padding.")


def check_tokens(
    options: LogitsOptions, eos_token_ids: tuple[int, ...], max_new_tokens: int, model: PreTrainedModel
) -> None:
    """Require that the logits options fit the vocabulary and leave a token that may come next.

    Raises:
        OptionsError: with the reason.
    """
    if options.min_new_tokens > max_new_tokens:
        raise OptionsError(
            f"min_new_tokens must be at most max_new_tokens: {options.min_new_tokens} > {max_new_tokens}."
        )
    both = sorted(set(options.forbidden_token_ids) & set(eos_token_ids))
    if both:
        raise OptionsError(f"forbidden_token_ids must leave the end-of-sequence tokens free: {both} are both.")
    vocab_size = decoder_of(model).config.vocab_size
    for name, token_ids in (("forbidden_token_ids", options.forbidden_token_ids), ("eos_token_ids", eos_token_ids)):
        beyond = [token_id for token_id in token_ids if token_id >= vocab_size]
        if beyond:
            raise OptionsError(f"{name} must be tokens of the model, which has {vocab_size}: {beyond} are not.")
    # Until min_new_tokens the end-of-sequence tokens are out too.
    never_next = {*options.forbidden_token_ids, *(eos_token_ids if options.min_new_tokens else ())}
    if len(never_next) == vocab_size:
        raise OptionsError("forbidden_token_ids and min_new_tokens leave no token that may come next.")


def check_length(columns: Sequence[ColumnRequest], prompt: Prompt, max_new_tokens: int, model: PreTrainedModel) -> None:
    """Require that prompt and answer fit into the model's positions.

    Raises:
        OptionsError: with the largest ``max_new_tokens`` that fits.
    """
    # Not every model has a last position; beyond it some would compute nonsense, others read outside a table.
    positions = getattr(decoder_of(model).config, "max_position_embeddings", None)
    used = sorted({column.prompt for column in columns})
    longest = int(prompt.attention_mask[used].sum(dim=1).max())
    # The last generated token is never an input, so it needs no position.
    if positions is not None and longest + max_new_tokens - 1 > positions:
        raise OptionsError(
            f"A prompt of {longest} positions and {max_new_tokens} new tokens are too long for the model, which "
            f"has {positions} positions: max_new_tokens can be {positions - longest + 1} at most."
        )
