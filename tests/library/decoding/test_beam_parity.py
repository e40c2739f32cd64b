"""Beam search's bookkeeping, padding and adapters against ``generate``; see also test_mixed_parity."""

from itertools import product

import pytest
import torch

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import BeamSearch, ColumnRequest, Greedy
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS
from tests.support.reference import generate
from tests.support.tiny_decoders import (
    DECODERS,
    EmbeddedPrompt,
    decode,
    engine_of,
    prompt_of,
    random_stack,
)

EOS_SETS = [(3,), (3, 11, 27), (5, 13, 24, 29)]


def assert_beams_equal(model, prompt, strategy, eos, max_new_tokens) -> tuple[int, int]:
    """Compare one setting; returns how many candidates ended early, and whether the whole search did."""
    column = ColumnRequest("beam", BASE_ROW, strategy)
    decoded = decode(engine_of(model, None, eos), prompt, [column], max_new_tokens)
    candidates = decoded.columns["beam"]
    tokens, scores = generate(
        model,
        prompt,
        eos,
        max_new_tokens,
        DEFAULT_LOGITS_OPTIONS,
        num_beams=strategy.num_beams,
        num_return_sequences=strategy.num_return_sequences or strategy.num_beams,
        length_penalty=strategy.length_penalty,
        early_stopping=strategy.early_stopping,
    )
    assert [list(candidate.tokens) for candidate in candidates] == tokens
    assert [candidate.score for candidate in candidates] == pytest.approx(scores, abs=1e-4)
    assert all(candidate.finished for candidate in candidates)
    return sum(len(c.tokens) < max_new_tokens for c in candidates), int(decoded.steps < max_new_tokens)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0, -0.5])
def test_beam_search_equals_generate(length_penalty, early_stopping):
    ended = ended_early = 0
    for seed, num_beams, eos in product((0, 1), (2, 3, 5), EOS_SETS):
        model = DECODERS["llama"](seed)
        strategy = BeamSearch(num_beams, length_penalty=length_penalty, early_stopping=early_stopping)
        some, all_ = assert_beams_equal(model, prompt_of(model, 6, seed=seed), strategy, eos, max_new_tokens=14)
        ended += some
        ended_early += all_
    # The table must exercise the bookkeeping of finished beams, not only the cut at max_new_tokens. (A length
    # penalty of 2 so favours length that beams end only where the first to finish are taken.)
    if length_penalty < 2 or early_stopping is True:
        assert ended > 10
    if early_stopping is True:
        assert ended_early > 0


@pytest.mark.parametrize("num_ends", [4, 5])
def test_beam_search_equals_generate_where_the_likeliest_tokens_all_end_it(num_ends):
    for seed in range(3):
        model = DECODERS["llama"](seed)
        prompt = prompt_of(model, 6, seed=seed)
        with torch.no_grad():
            likeliest = model(inputs_embeds=prompt.inputs_embeds).logits[0, -1].topk(num_ends).indices
        strategy = BeamSearch(2, length_penalty=2.0, early_stopping="never")
        assert_beams_equal(model, prompt, strategy, tuple(likeliest.tolist()), 10)


@pytest.mark.parametrize("eos", [(), (3,)])
@pytest.mark.parametrize("max_new_tokens", [1, 2])
def test_beam_search_equals_generate_at_the_edges(eos, max_new_tokens):
    model = DECODERS["llama"](0)
    assert_beams_equal(model, prompt_of(model, 5), BeamSearch(4), eos, max_new_tokens)


def test_a_left_padded_prompt_equals_generate():
    model = DECODERS["gpt2"](1)
    prompt = prompt_of(model, 4, 9, seed=2)
    padded = EmbeddedPrompt(prompt.inputs_embeds[:1], prompt.attention_mask[:1])
    assert int(padded.attention_mask.sum()) == 4 and padded.attention_mask.shape[1] == 9
    assert_beams_equal(model, padded, BeamSearch(3), (3, 11), 10)


@pytest.mark.parametrize("name", ["llava-next", "qwen2-audio", "qwen2-sliding"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_each_adapter_equals_generate_under_that_adapter(num_beams, name):
    model = DECODERS[name](0)
    stack = random_stack(model, ranks=(2, 4, 3))
    prompt = prompt_of(model, 7)
    strategy = Greedy() if num_beams == 1 else BeamSearch(num_beams)
    columns = [ColumnRequest(str(adapter), adapter, strategy) for adapter in (BASE_ROW, 0, 1, 2)]
    decoded = decode(engine_of(model, stack), prompt, columns, 10)
    answers = set()
    for column in columns:
        with stack.rows(torch.full((num_beams,), column.adapter)):
            tokens, scores = generate(
                model, prompt, (3,), 10, DEFAULT_LOGITS_OPTIONS, num_beams=num_beams, num_return_sequences=num_beams
            )
        candidates = decoded.columns[column.id]
        assert [list(candidate.tokens) for candidate in candidates] == tokens
        if num_beams > 1:
            assert [candidate.score for candidate in candidates] == pytest.approx(scores, abs=1e-4)
        answers.add(tuple(candidates[0].tokens))
    assert len(answers) == 4  # the adapters do differ
