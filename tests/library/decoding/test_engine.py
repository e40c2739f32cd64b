"""The lockstep engine: columns as if alone, one forward a step, left-padded media, stopping, cleaning up."""

import weakref
from dataclasses import replace

import pytest
import torch

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import (
    BeamSearch,
    ColumnRequest,
    DiverseBeamSearch,
    Engine,
    EngineOptions,
    Greedy,
    LogitsOptions,
    Sampling,
)
from lora_mcl.decoding.engine import DecodeBatch
from lora_mcl.errors import OptionsError
from tests.support.fixtures.make_diverse_beam import VOCAB_SIZE
from tests.support.tiny_decoders import (
    DECODERS,
    EmbeddedPrompt,
    assert_same,
    decode,
    engine_of,
    prompt_of,
    random_stack,
    row_of,
)

EOS = (3, 11, 27)
PAGE = [
    ColumnRequest("hypothesis-0", 0, Greedy()),
    ColumnRequest("hypothesis-1", 1, Greedy()),
    ColumnRequest("hypothesis-2", 2, BeamSearch(2, num_return_sequences=1)),
    ColumnRequest("beam", 3, BeamSearch(3)),
    ColumnRequest("diverse-beam", 3, DiverseBeamSearch(3, 3, 0.8)),
    ColumnRequest("diverse-beam-2", 3, DiverseBeamSearch(4, 2, 0.5, length_penalty=0.0, early_stopping=True)),
    ColumnRequest("base", BASE_ROW, Greedy()),
    ColumnRequest("samples", 3, Sampling(2, temperature=0.8, top_p=0.9)),
    ColumnRequest("samples-0", 0, Sampling(3, typical_p=0.9, seed=1)),
]


def counted(model: torch.nn.Module) -> list[int]:
    """A list that grows by the batch size of every forward of the model."""
    batch_sizes: list[int] = []

    def count(module, args, kwargs):
        first = kwargs.get("input_ids") if kwargs.get("inputs_embeds") is None else kwargs["inputs_embeds"]
        batch_sizes.append(first.shape[0])

    model.register_forward_pre_hook(count, with_kwargs=True)
    return batch_sizes


@pytest.mark.parametrize("name", ["llama", "qwen2-sliding", "llava-next", "qwen2-audio"])
@pytest.mark.parametrize(
    "logits_options", [LogitsOptions(), LogitsOptions(1.3, 3, (1, 8))], ids=["free", "constrained"]
)
def test_each_column_of_a_mixed_request_is_what_it_is_alone(name, logits_options):
    model = DECODERS[name](2)
    engine = engine_of(model, random_stack(model, (2, 4, 3, 6)), EOS)
    prompt = prompt_of(model, 9)
    together = decode(engine, prompt, PAGE, 12, logits_options)
    for request in PAGE:
        alone = decode(engine, prompt, [request], 12, logits_options)
        assert_same(together.columns[request.id], alone.columns[request.id])
    assert len({together.columns[f"hypothesis-{k}"][0].tokens for k in range(3)}) == 3


def test_gpt2_without_adapters_mixes_too():
    model = DECODERS["gpt2"](1)
    engine = engine_of(model, None, EOS)
    columns = [ColumnRequest(r.id, BASE_ROW, r.strategy) for r in PAGE]
    together = decode(engine, prompt_of(model, 6), columns, 10)
    for request in columns:
        alone = decode(engine, prompt_of(model, 6), [request], 10)
        assert_same(together.columns[request.id], alone.columns[request.id])


def test_one_forward_per_step_over_the_rows_that_are_live():
    model = DECODERS["llama"](2)
    engine = engine_of(model, random_stack(model, (2, 4, 3, 6)), EOS)
    prompt = prompt_of(model, 6)
    longest = max(decode(engine, prompt, [request], 12).steps for request in PAGE)
    batch_sizes = counted(model)
    decoded = decode(engine, prompt, PAGE, 12)
    # The prefill gives the first token, so a decode of n steps takes n forwards with any columns.
    assert len(batch_sizes) == decoded.steps == longest
    assert batch_sizes[0] == 5  # four adapters and the base, each once
    assert max(batch_sizes) <= 2 + 2 + 3 + 3 + 4 + 1 + 2 + 3
    assert batch_sizes[-1] < max(batch_sizes[1:])  # rows of finished columns are gone


def test_rows_of_the_example_in_the_modules_docstring():
    """Three hypotheses and two searches on one baseline: four prefixes become nine rows."""
    model = DECODERS["llama"](2)
    engine = engine_of(model, random_stack(model, (2, 4, 3, 6)), ())
    searches = (ColumnRequest("beam", 3, BeamSearch(3)), ColumnRequest("diverse", 3, DiverseBeamSearch(3, 3, 0.8)))
    columns = [*(ColumnRequest(f"h{k}", k, Greedy()) for k in range(3)), *searches]
    request = engine.request(prompt_of(model, 6), columns, max_new_tokens=5)
    rows = counted(model)
    batch = DecodeBatch(engine)
    batch.join([request])
    batch.update()
    assert [column.first_row for column in request.columns] == [0, 1, 2, 3, 6]
    batch.forward()
    assert (len(request.prefixes), request.num_rows, rows) == (4, 9, [4, 9])


@pytest.mark.parametrize("name", DECODERS)
def test_only_the_last_position_of_a_prompt_is_scored(name):
    """A prompt has hundreds of positions and a vocabulary may have 156,032 tokens, as Qwen2-Audio's."""
    model = DECODERS[name](0)
    scored = []
    model.get_output_embeddings().register_forward_hook(lambda module, args, output: scored.append(output.shape[:2]))
    columns = [ColumnRequest(str(medium), BASE_ROW, Greedy(), medium) for medium in range(2)]
    decode(engine_of(model, None, ()), prompt_of(model, 9, 6), columns, 3)
    assert scored == [(2, 1)] * 3


def test_forty_five_rows_in_one_decode():
    """Five hypotheses greedily and with five beams; five beams, five groups, five samples of the baseline."""
    model = DECODERS["llama"](2)
    engine = engine_of(model, random_stack(model, (2, 4, 3, 6, 2, 5)), EOS)
    prompt = prompt_of(model, 8)
    columns = [
        *(ColumnRequest(f"greedy-{k}", k, Greedy()) for k in range(5)),
        *(ColumnRequest(f"beams-{k}", k, BeamSearch(5)) for k in range(5)),
        ColumnRequest("beam", 5, BeamSearch(5)),
        ColumnRequest("diverse-beam", 5, DiverseBeamSearch(5, 5, 0.8)),
        ColumnRequest("nucleus", 5, Sampling(5, top_p=0.95)),
    ]
    batch_sizes = counted(model)
    together = decode(engine, prompt, columns, 10)
    assert batch_sizes[0] == 6 and max(batch_sizes) <= 45
    assert len(batch_sizes) == together.steps <= 10
    for column in columns:
        assert_same(together.columns[column.id], decode(engine, prompt, [column], 10).columns[column.id])


@pytest.mark.parametrize("name", DECODERS)
def test_left_padded_media_in_one_call_are_captioned_as_one_by_one(name):
    model = DECODERS[name](1)
    engine = engine_of(model, None, EOS)
    prompt = prompt_of(model, 4, 9, 7)
    strategies = {"greedy": Greedy(), "beam": BeamSearch(3), "diverse": DiverseBeamSearch(4, 2, 0.7)}
    columns = [
        ColumnRequest(f"{kind}-{medium}", BASE_ROW, strategy, medium)
        for medium in range(3)
        for kind, strategy in strategies.items()
    ]
    together = decode(engine, prompt, columns, 10)
    for medium in range(3):
        own = [ColumnRequest(kind, BASE_ROW, strategy) for kind, strategy in strategies.items()]
        alone = decode(engine, row_of(prompt, medium), own, 10)
        for kind in strategies:
            assert_same(together.columns[f"{kind}-{medium}"], alone.columns[kind])


@pytest.mark.parametrize("name", DECODERS)
def test_in_bfloat16_columns_are_what_they_are_alone(name):
    """Adapters, media of unlike length, every strategy: a mixed request differs from one column by rounding only."""
    model = DECODERS[name](2).to(torch.bfloat16)
    stack = None if name == "gpt2" else random_stack(model, (2, 4, 3, 6))
    engine = engine_of(model, stack, EOS)
    prompt = prompt_of(model, 9, 5)
    columns = [replace(r, id=f"{r.id}-{m}", prompt=m, adapter=r.adapter if stack else -1) for m in (0, 1) for r in PAGE]
    together = decode(engine, prompt, columns, 8).columns
    same = []
    for column in columns:
        alone = decode(engine, row_of(prompt, column.prompt), [replace(column, prompt=0)], 8).columns[column.id]
        for ours, theirs in zip(together[column.id], alone, strict=True):
            same.append(ours.tokens == theirs.tokens)
            assert not same[-1] or ours.log_prob == pytest.approx(theirs.log_prob, abs=0.3)
    # All of them where this was written; kernels for other batches may round two near tokens the other way.
    assert sum(same) >= 0.9 * len(same)


def own_log_prob(model, prompt: EmbeddedPrompt, tokens: list[int]) -> float:
    """The model's own log-probabilities of these tokens, from one forward (nats)."""
    appended = torch.tensor(tokens)
    embeds = torch.cat([prompt.inputs_embeds, model.get_input_embeddings()(appended)[None]], dim=1)
    with torch.no_grad():
        logits = model(inputs_embeds=embeds).logits[0, -len(tokens) - 1 : -1].float()
    return float(logits.log_softmax(dim=-1).gather(1, appended[:, None]).sum())


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)], ids=str)
def test_log_prob_is_the_models_own_under_any_logits_options(name, dtype, tolerance):
    model = DECODERS[name](0).to(dtype)
    prompt = prompt_of(model, 6)
    columns = [ColumnRequest(r.id, BASE_ROW, r.strategy) for r in PAGE]
    logits_options = LogitsOptions(repetition_penalty=1.5, min_new_tokens=3, forbidden_token_ids=(2,))
    ended = 0
    for candidates in decode(engine_of(model, None, (3,)), prompt, columns, 10, logits_options).columns.values():
        for candidate in candidates:
            is_ended = candidate.length > len(candidate.tokens)
            ended += is_ended
            tokens = [*candidate.tokens, *([3] if is_ended else [])]
            assert len(tokens) == candidate.length
            assert candidate.log_prob == pytest.approx(own_log_prob(model, prompt, tokens), abs=tolerance)
    assert ended > 0 or name != "llama"


def test_events_hold_what_changed_and_whether_it_is_final():
    model = DECODERS["llama"](2)
    engine = engine_of(model, random_stack(model, (2, 4, 3, 6)), EOS)
    seen: dict[str, tuple] = {}
    finished: frozenset[str] = frozenset()
    events = list(engine.decode(prompt_of(model, 6), PAGE, max_new_tokens=12))
    for step, event in enumerate(events):
        assert event.step == step
        assert finished <= event.finished
        assert not finished & set(event.columns)  # a final column does not change
        for id, candidates in event.columns.items():
            assert seen.get(id) != candidates or id in event.finished
        for id in event.finished - finished:
            assert all(candidate.finished for candidate in event.columns[id])
        seen.update(event.columns)
        finished = event.finished
    assert set(events[0].columns) == {request.id for request in PAGE}
    assert [event.done for event in events] == [False] * (len(events) - 1) + [True]
    assert len(seen["hypothesis-2"]) == 1 and len(seen["beam"]) == 3 and len(seen["diverse-beam-2"]) == 4


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_stopping_ends_the_computation_at_once(stop_at):
    model = DECODERS["llama"](2)
    batch_sizes = counted(model)
    asked = iter(range(100))
    events = list(
        engine_of(model, None, ()).decode(
            prompt_of(model, 6),
            [ColumnRequest("greedy", BASE_ROW, Greedy()), ColumnRequest("beam", BASE_ROW, BeamSearch(3))],
            max_new_tokens=10,
            should_stop=lambda: next(asked) == stop_at,
        )
    )
    assert len(batch_sizes) == stop_at
    assert len(events) == stop_at + 1
    assert events[-1].done and events[-1].stopped
    assert not events[-1].finished and not events[-1].columns


@pytest.mark.parametrize("end", ["exhausted", "closed", "raised"])
@pytest.mark.parametrize("share_prompts", [True, False])
def test_the_cache_is_freed_and_the_adapter_rows_are_put_back(end, share_prompts):
    model = DECODERS["llama"](2)
    stack = random_stack(model, (2, 4, 3, 6))
    caches = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: caches.append(kwargs["past_key_values"]), with_kwargs=True
    )
    stack.routing.set(torch.tensor([1]))
    prompt = prompt_of(model, 6)
    with torch.no_grad():
        before = model(inputs_embeds=prompt.inputs_embeds, past_key_values=None).logits

    def stop() -> bool:
        if end == "raised" and len(caches) > 3:
            raise RuntimeError("the caller is in trouble")
        return False

    engine = replace(engine_of(model, stack, EOS), options=EngineOptions(share_prompts=share_prompts))
    events = engine.decode(prompt, PAGE, max_new_tokens=8, should_stop=stop)
    next(events)
    next(events)
    assert caches[-1].get_seq_length() == (1 if share_prompts else 7)
    states = [weakref.ref(layer.keys) for layer in caches[-1].layers]
    if share_prompts:
        states += [weakref.ref(layer.prompt_keys) for layer in caches[-1].layers]
    with torch.no_grad():  # between two steps the model is free for others
        assert torch.equal(before, model(inputs_embeds=prompt.inputs_embeds, past_key_values=None).logits)
    del caches[-1]
    if end == "closed":
        events.close()
    elif end == "raised":
        with pytest.raises(RuntimeError, match="in trouble"):
            list(events)
    else:
        list(events)
    assert caches[-1].get_seq_length() == 0
    assert all(state() is None for state in states)
    with torch.no_grad():
        assert torch.equal(before, model(inputs_embeds=prompt.inputs_embeds, past_key_values=None).logits)


def test_requests_that_do_not_fit_are_refused_before_anything_runs():
    model = DECODERS["llama"](0)
    stack = random_stack(model, (2, 4))
    prompt = prompt_of(model, 5, 3)
    greedy = Greedy()
    cases = [
        (stack, [], 5, LogitsOptions(), "at least one column"),
        (
            stack,
            [ColumnRequest("a", 0, greedy), ColumnRequest("a", 1, greedy)],
            5,
            LogitsOptions(),
            "distinct ids",
        ),
        (stack, [ColumnRequest("a", 2, greedy)], 5, LogitsOptions(), "asks for adapter 2, but there are 2"),
        (stack, [ColumnRequest("a", -2, greedy)], 5, LogitsOptions(), "asks for adapter -2"),
        (None, [ColumnRequest("a", 0, greedy)], 5, LogitsOptions(), "asks for adapter 0, but there are 0"),
        (
            stack,
            [ColumnRequest("a", 0, greedy, prompt=2)],
            5,
            LogitsOptions(),
            "asks for prompt 2, but there are 2",
        ),
        (stack, [ColumnRequest("a", 0, greedy)], 0, LogitsOptions(), "max_new_tokens must be"),
        (stack, [ColumnRequest("a", 0, greedy)], 5, LogitsOptions(min_new_tokens=6), "6 > 5"),
        (stack, [ColumnRequest("a", 0, greedy)], 5, LogitsOptions(forbidden_token_ids=(3,)), "end-of-sequence"),
        (
            stack,
            [ColumnRequest("a", 0, greedy)],
            5,
            LogitsOptions(forbidden_token_ids=(1, VOCAB_SIZE)),
            rf"which has {VOCAB_SIZE}: \[{VOCAB_SIZE}\] are not",
        ),
        (
            stack,
            [ColumnRequest("a", 0, greedy)],
            5,
            LogitsOptions(min_new_tokens=1, forbidden_token_ids=(*range(3), *range(4, VOCAB_SIZE))),
            "leave no token that may come next",
        ),
        (stack, [ColumnRequest("a", 0, greedy)], 125, LogitsOptions(), "5 positions and 125 new.*can be 124 at most"),
    ]
    for adapters, requests, max_new_tokens, logits_options, message in cases:
        with pytest.raises(OptionsError, match=message):
            engine_of(model, adapters).decode(
                prompt, requests, max_new_tokens=max_new_tokens, logits_options=logits_options
            )
    right_padded = EmbeddedPrompt(prompt.inputs_embeds, prompt.attention_mask.flip(1))
    with pytest.raises(OptionsError, match="padded at their left"):
        engine_of(model, stack).decode(right_padded, [ColumnRequest("a", 0, greedy)], max_new_tokens=5)
    with pytest.raises(OptionsError, match="eos_token_ids"):
        Engine(model, stack, [3], 0)
    with pytest.raises(OptionsError, match="eos_token_ids must be tokens of the model"):
        engine_of(model, stack, (VOCAB_SIZE,)).decode(prompt, [ColumnRequest("a", 0, greedy)], max_new_tokens=5)


@pytest.mark.parametrize("strategy", [Greedy(), BeamSearch(3), DiverseBeamSearch(4, 2, 0.7), Sampling(2)], ids=str)
def test_where_all_but_the_end_is_forbidden_captions_are_empty(strategy):
    model = DECODERS["llama"](0)
    logits_options = LogitsOptions(forbidden_token_ids=(*range(3), *range(4, VOCAB_SIZE)))
    column = ColumnRequest("a", BASE_ROW, strategy)
    candidates = decode(engine_of(model, None, (3,)), prompt_of(model, 5), [column], 6, logits_options).columns["a"]
    assert candidates and all(candidate.tokens == () and candidate.finished for candidate in candidates)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_a_caption_may_reach_the_models_last_position(name):
    model = DECODERS[name](0)
    prompt = prompt_of(model, 120, 117)
    column = ColumnRequest("a", BASE_ROW, Greedy(), prompt=1)
    (candidate,) = decode(engine_of(model, None, ()), prompt, [column], 12).columns["a"]
    assert candidate.length == 12
    with pytest.raises(OptionsError, match="can be 12 at most"):
        decode(engine_of(model, None, ()), prompt, [column], 13)
