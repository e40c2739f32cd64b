"""Sampling: tokens that may be drawn; the draws of ``generate(do_sample=True)`` with the same seeds."""

from collections import Counter

import pytest
import torch

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import BeamSearch, ColumnRequest, DecodeContext, Greedy, LogitsOptions, Sampling
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS, LogitsProcessor
from lora_mcl.decoding.sampling import sample_seeds
from lora_mcl.errors import OptionsError
from tests.support.reference import generate
from tests.support.tiny_decoders import (
    DECODERS,
    assert_same,
    decode,
    engine_of,
    prompt_of,
    random_stack,
)

A, B, C, D, EOS = range(5)


def context(max_new_tokens: int = 1, logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS) -> DecodeContext:
    return DecodeContext(LogitsProcessor(logits_options, (EOS,), torch.device("cpu")), (EOS,), 9, max_new_tokens)


def first_tokens(
    options: dict, probabilities: list[float], count: int = 400, logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS
) -> Counter:
    """How often each token comes first in ``count`` samples."""
    log_probs = torch.tensor([probabilities]).log()
    decoder = Sampling(count, **options).token_decoder(context(logits_options=logits_options))
    assert decoder.update(log_probs, log_probs).tokens == []
    return Counter(sample.tokens[0] for sample in decoder.candidates())


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {A: 0.45, B: 0.3, C: 0.15, D: 0.1}),
        ({"top_k": 2}, {A: 0.6, B: 0.4}),
        ({"top_p": 0.8}, {A: 0.5, B: 1 / 3, C: 1 / 6}),
        ({"top_p": 0.74}, {A: 0.6, B: 0.4}),
        ({"top_p": 0.01}, {A: 1.0}),
        # Surprise 0.80, 1.20, 1.90, 2.30 nats; 1.24 is expected: B is nearest, then A, then C.
        ({"typical_p": 0.2}, {B: 1.0}),
        ({"typical_p": 0.7}, {A: 0.6, B: 0.4}),
        ({"typical_p": 0.8}, {A: 0.5, B: 1 / 3, C: 1 / 6}),
        # The squares of the probabilities; the nucleus is chosen among these.
        ({"temperature": 0.5}, {A: 0.623, B: 0.277, C: 0.069, D: 0.031}),
        ({"temperature": 0.5, "top_p": 0.74}, {A: 0.692, B: 0.308}),
        ({"top_k": 3, "top_p": 0.6}, {A: 0.6, B: 0.4}),
    ],
    ids=str,
)
def test_what_is_drawn_and_how_often(options, kept):
    drawn = first_tokens(options, [0.45, 0.3, 0.15, 0.1])
    assert set(drawn) == set(kept)
    for token, probability in kept.items():
        # Four standard deviations of a share of 400.
        assert drawn[token] / 400 == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 400) ** 0.5)


def test_the_rules_come_before_the_draw():
    drawn = first_tokens({"top_k": 1}, [0.45, 0.3, 0.15, 0.1], logits_options=LogitsOptions(forbidden_token_ids=(A,)))
    assert set(drawn) == {B}


def test_log_prob_is_the_models_own_and_samples_end_one_by_one():
    decoder = Sampling(6, temperature=3.0, seed=5).token_decoder(context(max_new_tokens=4))
    probabilities = torch.tensor([[0.4, 0.1, 0.1, 0.1, 0.3]])
    rows = 1
    for _ in range(4):
        table = probabilities.expand(rows, -1).log()
        chosen = decoder.update(table, table)
        assert all(parent < rows for parent in chosen.beam_idx)
        rows = len(chosen.tokens)
    assert decoder.finished and rows == 0
    lengths = {candidate.length for candidate in decoder.candidates()}
    assert 4 in lengths and len(lengths) > 1
    for candidate in decoder.candidates():
        tokens = [*candidate.tokens, *([EOS] if candidate.length > len(candidate.tokens) else [])]
        assert candidate.finished and candidate.score == candidate.log_prob
        assert candidate.log_prob == pytest.approx(float(probabilities.log()[0, tokens].sum()), abs=1e-5)


def test_a_sample_does_not_depend_on_the_others():
    assert sample_seeds(7, 2) == sample_seeds(7, 5)[:2]
    assert len({seed for start in range(20) for seed in sample_seeds(start, 20)}) == 400
    model = DECODERS["llama"](1)
    engine = engine_of(model, None, (3, 11))
    prompt = prompt_of(model, 6)
    few = decode(engine, prompt, [ColumnRequest("s", BASE_ROW, Sampling(2, seed=4))], 10).columns["s"]
    many = decode(
        engine,
        prompt,
        [
            ColumnRequest("greedy", BASE_ROW, Greedy()),
            ColumnRequest("s", BASE_ROW, Sampling(5, seed=4)),
            ColumnRequest("other", BASE_ROW, Sampling(3, seed=5)),
        ],
        10,
    ).columns
    assert_same(few, many["s"][:2])
    assert len({c.tokens for c in (*many["s"], *many["other"])}) == 8


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2-sliding"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 6},
        {"top_p": 0.7},
        {"typical_p": 0.6},
        {"temperature": 0.9, "top_k": 20, "top_p": 0.9, "typical_p": 0.9},
    ],
    ids=str,
)
def test_samples_equal_generate(name, options):
    """Next to beams, with logits options and several end tokens: every sample is what generate draws with its seed."""
    model = DECODERS[name](2)
    prompt = prompt_of(model, 6)
    logits_options = LogitsOptions(
        repetition_penalty=1.2, no_repeat_ngram_size=2, min_new_tokens=2, forbidden_token_ids=(1, 8)
    )
    columns = [
        ColumnRequest("beam", BASE_ROW, BeamSearch(3)),
        ColumnRequest("samples", BASE_ROW, Sampling(4, seed=3, **options)),
    ]
    samples = decode(engine_of(model, None, (3, 11)), prompt, columns, 12, logits_options).columns["samples"]
    for candidate, seed in zip(samples, sample_seeds(3, 4), strict=True):
        torch.manual_seed(seed)
        drawn, _ = generate(model, prompt, (3, 11), 12, logits_options, do_sample=True, **{"top_k": 0, **options})
        assert [list(candidate.tokens)] == drawn
    assert len({candidate.tokens for candidate in samples}) > 1


def test_the_same_seed_under_another_adapter_draws_from_its_distribution():
    model = DECODERS["llama"](0)
    engine = engine_of(model, random_stack(model, (2, 4)), ())
    columns = [ColumnRequest(str(adapter), adapter, Sampling(2, seed=1)) for adapter in (BASE_ROW, 0, 1)]
    decoded = decode(engine, prompt_of(model, 5), columns, 8).columns
    assert len({candidate.tokens for candidates in decoded.values() for candidate in candidates}) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1, not 0"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0: for the likeliest token always, use Greedy"),
        ({"temperature": float("inf")}, "temperature must be a finite number"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, not 0"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, not 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5"),
        ({"typical_p": -0.5}, "typical_p must be above 0 and at most 1"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"seed": 1.0}, "seed must be a whole number"),
    ],
    ids=str,
)
def test_options_are_refused_with_the_reason(options, message):
    with pytest.raises(OptionsError, match=message):
        Sampling(**options)
