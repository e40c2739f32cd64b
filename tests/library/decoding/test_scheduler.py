"""Continuous batching: whoever comes and goes, each request gets what it gets alone, and hurts nobody else."""

import random
import threading
import weakref
from dataclasses import replace

import pytest
import torch

from lora_mcl.decoding import (
    ColumnRequest,
    EngineOptions,
    Greedy,
    LogitsOptions,
    Sampling,
    Scheduler,
    SchedulerOptions,
)
from lora_mcl.errors import OptionsError
from tests.support.tiny_decoders import (
    DECODERS,
    assert_same,
    prompt_of,
)
from tests.support.visitors import COLUMNS, Visitor, adapted, visitor


@pytest.mark.parametrize("share_prompts", [True, False])
@pytest.mark.parametrize("name", DECODERS)
def test_each_request_gets_what_it_gets_alone(name, share_prompts):
    """Random arrivals, cancels, prompts, columns and options; GQA, sliding windows, learned positions."""
    model, engine = adapted(name)
    scheduler = Scheduler(replace(engine, options=EngineOptions(share_prompts=share_prompts)))
    chance = random.Random(7)
    coming = [visitor(model, index, chance) for index in range(9)]
    here, gone, shared = [], [], 0
    while coming or here:
        if coming and (not here or chance.random() < 0.5):
            here.append(coming.pop().start(scheduler))
        someone = chance.choice(here)
        shared = max(shared, len(scheduler._running))
        if chance.random() < 0.06:
            someone.events.close()
            here.remove(someone)
        elif not someone.advance():
            here.remove(someone)
            gone.append(someone)
    assert shared > 2 and len(gone) > 4
    for one in gone:
        one.assert_right(engine)
    assert not scheduler._batch.requests and not scheduler._running and not scheduler._waiting


def test_requests_of_many_threads_share_their_steps():
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    chance = random.Random(3)
    visitors = [visitor(model, index, chance) for index in range(8)]
    alone = [one.alone(engine) for one in visitors]
    forwards = []
    model.register_forward_hook(lambda *_: forwards.append(1))
    ready = threading.Barrier(len(visitors))

    def visit(one: Visitor) -> None:
        one.start(scheduler)
        ready.wait()
        while one.advance():
            pass

    threads = [threading.Thread(target=visit, args=(one,)) for one in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    for one, expected in zip(visitors, alone, strict=True):
        assert one.found.keys() == expected.keys()
        for id, candidates in expected.items():
            assert_same(one.found[id], candidates)
    together = len(forwards)
    for one in visitors:
        one.alone(engine)
    assert together < len(forwards) - together


def test_newcomers_join_at_the_next_step_with_one_prefill():
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    shapes = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append((kwargs.get("input_ids", kwargs.get("inputs_embeds"))).shape[:2]),
        with_kwargs=True,
    )
    columns = list(COLUMNS[0])
    first, *others = (
        Visitor(prompt_of(model, length, seed=length), columns, 12, LogitsOptions()).start(scheduler)
        for length in (6, 9, 4)
    )
    first.advance()
    assert shapes == [(2, 6)]  # two prefixes: adapters 0 and 2
    waiting = [threading.Thread(target=other.advance) for other in others]
    with scheduler._changed:
        scheduler._has_turn = True
    for thread in waiting:
        thread.start()
    while len(scheduler._waiting) < 2:
        pass
    scheduler._end_turn()
    for thread in waiting:
        thread.join(timeout=60)
    # The live rows' forward, then one prefill of four prefixes, padded to the longer prompt.
    assert shapes[1][1] == 1 and shapes[2] == (4, 9)


def test_bounds_admit_first_in_first_out():
    model, engine = adapted("llama")
    rows = 1 + 3 + 4
    scheduler = Scheduler(engine, SchedulerOptions(max_rows=2 * rows))
    columns = list(COLUMNS[0])
    visitors = [
        Visitor(prompt_of(model, 6, seed=seed), columns if seed != 2 else list(COLUMNS[2]), 12, LogitsOptions())
        for seed in range(4)
    ]
    for one in visitors:
        one.start(scheduler)
    threads = [threading.Thread(target=one.advance) for one in visitors]
    with scheduler._changed:
        scheduler._has_turn = True
    for count, thread in enumerate(threads, 1):
        thread.start()
        while len(scheduler._waiting) < count:
            pass
    scheduler._end_turn()
    threads[0].join(timeout=60)
    threads[1].join(timeout=60)
    # The third has one row, and waits: there is room for it only when one of the first two is done.
    assert [job.request.num_rows for job in scheduler._running][:2] == [rows, rows]
    for thread in threads:
        thread.join(timeout=60)
    for one in visitors:
        while one.advance():
            pass
        one.assert_right(engine)


def test_cache_bytes_bound_what_is_cached():
    model, engine = adapted("llama")
    requests = [engine.request(prompt_of(model, length), COLUMNS[0], max_new_tokens=12) for length in (6, 9)]
    # 2 layers, keys and values, 2 key heads of 8 floats; two prefixes a request, eight rows.
    per_position = 2 * 2 * 2 * 8 * 4
    assert engine.cache_bytes(requests[:1]) == per_position * (2 * 6 + 8 * 12)
    assert engine.cache_bytes(requests) == per_position * (4 * 9 + 16 * 12)
    copying = replace(engine, options=EngineOptions(share_prompts=False))
    assert copying.cache_bytes(requests) == per_position * 16 * (9 + 12)
    scheduler = Scheduler(engine, SchedulerOptions(max_cache_bytes=engine.cache_bytes(requests) - 1))
    one, two = (Visitor(prompt_of(model, length), list(COLUMNS[0]), 12, LogitsOptions()) for length in (6, 9))
    one.start(scheduler).advance()
    two.start(scheduler)
    second = threading.Thread(target=two.advance)
    second.start()
    second.join(timeout=60)  # runs the steps of the first until that is done
    assert not second.is_alive() and len(one.events.gi_frame.f_locals["job"].events) > 0
    while one.advance():
        pass
    one.assert_right(engine)


class Broken:
    """A strategy whose decoder fails at its third token."""

    num_rows = 1

    def token_decoder(self, context):
        decoder = Greedy().token_decoder(context)
        update, count = decoder.update, iter(range(10))

        def fail(logits, log_probs):
            if next(count) == 2:
                raise RuntimeError("a broken decoder")
            return update(logits, log_probs)

        decoder.update = fail
        return decoder


@pytest.mark.parametrize("share_prompts", [True, False])
@pytest.mark.parametrize("trouble", ["nan", "decoder", "encode", "stop", "length"])
def test_a_request_in_trouble_hurts_nobody_else(trouble, share_prompts):
    model, engine = adapted("llama")
    engine = replace(engine, options=EngineOptions(share_prompts=share_prompts))
    scheduler = Scheduler(engine)
    good = [Visitor(prompt_of(model, n, seed=n), list(COLUMNS[n % 2]), 12, LogitsOptions()) for n in (5, 8, 6)]
    bad = Visitor(prompt_of(model, 9, seed=4), [ColumnRequest("samples", 0, Sampling(2))], 12, LogitsOptions())

    def stop() -> bool:
        raise RuntimeError("a broken page")

    if trouble == "nan":
        bad.prompt.inputs_embeds.fill_(torch.nan)
    elif trouble == "decoder":
        bad.columns = [ColumnRequest("broken", 1, Broken())]
    elif trouble == "length":
        bad.max_new_tokens = 1000
    good[0].start(scheduler).advance()
    bad.start(scheduler, stop if trouble == "stop" else None)
    if trouble == "encode":
        bad.events = scheduler.decode(lambda: 1 / 0, bad.columns, max_new_tokens=3)
    good[1].start(scheduler).advance()
    expected = {
        "nan": (RuntimeError, "probability tensor"),
        "decoder": (RuntimeError, "a broken decoder"),
        "encode": (ZeroDivisionError, "zero"),
        "stop": (RuntimeError, "a broken page"),
        "length": (OptionsError, "max_new_tokens can be"),
    }[trouble]
    with pytest.raises(expected[0], match=expected[1]):
        while bad.advance():
            pass
    good[2].start(scheduler)
    for one in good:
        while one.advance():
            pass
        one.assert_right(engine)
    assert not scheduler._running and not scheduler._waiting and scheduler._batch._state is None


def test_a_failing_prefill_fails_only_its_own_request():
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    good = Visitor(prompt_of(model, 5), list(COLUMNS[0]), 8, LogitsOptions())
    bad = Visitor(prompt_of(model, 13), list(COLUMNS[2]), 8, LogitsOptions())

    def out_of_memory(module, args, kwargs):
        embeds = kwargs.get("inputs_embeds")
        if embeds is not None and embeds.shape[1] == 13:
            raise torch.OutOfMemoryError("too long")

    hook = model.register_forward_pre_hook(out_of_memory, with_kwargs=True)
    jobs = [one.start(scheduler) for one in (good, bad)]
    with scheduler._changed:
        scheduler._has_turn = True
    errors = []

    def visit(one: Visitor) -> None:
        try:
            while one.advance():
                pass
        except torch.OutOfMemoryError as error:
            errors.append((one, error))

    threads = [threading.Thread(target=visit, args=(one,)) for one in jobs]
    for thread in threads:
        thread.start()
    while len(scheduler._waiting) < 2:
        pass
    scheduler._end_turn()
    for thread in threads:
        thread.join(timeout=60)
    hook.remove()
    assert [one for one, _ in errors] == [bad]
    good.assert_right(engine)


def test_a_failing_forward_fails_those_who_run_and_nobody_after():
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    running = [Visitor(prompt_of(model, n), list(COLUMNS[0]), 8, LogitsOptions()).start(scheduler) for n in (5, 7)]
    for one in running:
        one.advance()

    def fail(module, args, kwargs):
        raise torch.OutOfMemoryError("no memory")

    hook = model.register_forward_pre_hook(fail, with_kwargs=True)
    for one in running:
        with pytest.raises(torch.OutOfMemoryError):
            while one.advance():
                pass
    hook.remove()
    later = Visitor(prompt_of(model, 6), list(COLUMNS[0]), 8, LogitsOptions()).start(scheduler)
    while later.advance():
        pass
    later.assert_right(engine)


def test_a_stop_takes_one_step_and_frees_the_rows():
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    stay = Visitor(prompt_of(model, 6), list(COLUMNS[0]), 14, LogitsOptions()).start(scheduler)
    stop = threading.Event()
    leave = Visitor(prompt_of(model, 11), list(COLUMNS[0]), 14, LogitsOptions()).start(scheduler, stop.is_set)
    stay.advance()
    leave.advance()
    rows = []
    model.register_forward_hook(lambda module, args, output: rows.append(len(output.logits)))
    assert stay.advance() and leave.advance()  # the first takes the event of the step that the other ran
    layer = scheduler._batch._state._kv.cache.layers[0]
    assert rows == [16] and layer.prompt_keys.shape == (4, 2, 11, 8)
    stop.set()
    stay.advance()
    stay.advance()
    assert rows == [16, 8] and layer.prompt_keys.shape == (2, 2, 6, 8)  # the longer prompt is gone, its padding too
    taken = []
    for event in leave.events:
        taken.append(event.stopped)
    assert taken[-1] and sum(taken) == 1
    while stay.advance():
        pass
    stay.assert_right(engine)


@pytest.mark.parametrize("end", ["done", "closed", "collected"])
def test_the_cache_is_freed_when_the_last_one_leaves(end):
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    one = Visitor(prompt_of(model, 6), list(COLUMNS[0]), 8, LogitsOptions()).start(scheduler)
    one.advance()
    one.advance()
    cached = weakref.ref(scheduler._batch._state._kv.cache.layers[0].prompt_keys)
    if end == "closed":
        one.events.close()
    elif end == "collected":
        del one.events
    else:
        while one.advance():
            pass
    assert cached() is None and scheduler._batch._state is None and not scheduler._running


def test_a_caller_that_does_not_come_back_holds_up_nobody():
    model, engine = adapted("llama")
    scheduler = Scheduler(engine, SchedulerOptions(max_rows=8))
    slow = Visitor(prompt_of(model, 6), list(COLUMNS[0]), 10, LogitsOptions()).start(scheduler)
    slow.advance()
    quick = Visitor(prompt_of(model, 7), list(COLUMNS[0]), 10, LogitsOptions()).start(scheduler)
    while quick.advance():
        pass
    quick.assert_right(engine)
    while slow.advance():  # its events have been kept
        pass
    slow.assert_right(engine)


def test_a_static_step_takes_turns_and_logs_the_reason(caplog):
    model, engine = adapted("llama")
    scheduler = Scheduler(replace(engine, options=EngineOptions(acceleration="static")))
    visitors = [Visitor(prompt_of(model, n), list(COLUMNS[0]), 8, LogitsOptions()).start(scheduler) for n in (5, 7, 6)]
    visitors[0].advance()
    for one in reversed(visitors):
        while one.advance():
            pass
        one.assert_right(engine)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("lora_mcl")] == [
        "Requests take turns: a step of fixed shapes has no rows for others."
    ]


def test_options_are_refused_with_the_reason():
    with pytest.raises(OptionsError, match="max_rows must be a whole number of at least 1, not 0"):
        SchedulerOptions(max_rows=0)
    with pytest.raises(OptionsError, match="max_cache_bytes must be a whole number of at least 1"):
        SchedulerOptions(max_cache_bytes=0.5)
