"""Continuous batching: how callers join and leave while a step is computed."""

import threading

import pytest

from lora_mcl.decoding import ColumnRequest, LogitsOptions, Sampling, Scheduler, SchedulerOptions
from tests.support.tiny_decoders import prompt_of
from tests.support.visitors import COLUMNS, Visitor, adapted


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


def test_a_few_newcomers_join_at_a_step():
    """Of six who come at once, four are prefilled before the others' turn."""
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    columns = list(COLUMNS[0])
    visitors = [Visitor(prompt_of(model, 6, seed=seed), columns, 12, LogitsOptions()) for seed in range(6)]
    threads = [threading.Thread(target=one.start(scheduler).advance) for one in visitors]
    rows = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["inputs_embeds"])) if "inputs_embeds" in kwargs else None,
        with_kwargs=True,
    )
    with scheduler._changed:
        scheduler._has_turn = True
    for thread in threads:
        thread.start()
    while len(scheduler._waiting) < len(visitors):
        pass
    scheduler._end_turn()
    for thread in threads:
        thread.join(timeout=60)
    assert rows == [8, 4]  # two prefixes each: adapters 0 and 2
    for one in visitors:
        while one.advance():
            pass
        one.assert_right(engine)


@pytest.mark.parametrize("max_rows", [1, 256])
def test_a_caller_that_leaves_in_the_middle_of_a_step_frees_its_rows(max_rows):
    """The step is another caller's, who joins it or, where there is room for one, comes next."""
    model, engine = adapted("llama")
    scheduler = Scheduler(engine, SchedulerOptions(max_rows=max_rows))
    leave = Visitor(prompt_of(model, 6), list(COLUMNS[0]), 14, LogitsOptions()).start(scheduler)
    leave.advance()
    stay = Visitor(prompt_of(model, 9), list(COLUMNS[0]), 14, LogitsOptions()).start(scheduler)
    in_step, has_left = threading.Event(), threading.Event()

    def pause(*_) -> None:
        in_step.set()
        assert has_left.wait(60)

    hook = model.register_forward_hook(pause)
    thread = threading.Thread(target=stay.advance)
    thread.start()
    assert in_step.wait(60)
    leave.events.close()
    has_left.set()
    thread.join(timeout=60)
    hook.remove()
    (job,) = scheduler._running
    assert scheduler._batch.requests == (job.request,)
    while stay.advance():
        pass
    stay.assert_right(engine)
    assert scheduler._batch._state is None


def test_steps_of_several_callers_are_computed_in_one_thread():
    """Each thread that computes costs tens of megabytes; a single caller's own thread does it."""
    model, engine = adapted("llama")
    scheduler = Scheduler(engine)
    computing = []
    model.register_forward_hook(lambda *_: computing.append(threading.get_ident()))
    alone = Visitor(prompt_of(model, 6), list(COLUMNS[0]), 6, LogitsOptions()).start(scheduler)
    while alone.advance():
        pass
    assert set(computing) == {threading.get_ident()}

    computing.clear()
    visitors = [Visitor(prompt_of(model, n, seed=n), list(COLUMNS[0]), 12, LogitsOptions()) for n in (4, 6, 5, 7)]

    def visit(one: Visitor) -> None:
        while one.advance():
            pass

    threads = [threading.Thread(target=visit, args=(one.start(scheduler),)) for one in visitors]
    with scheduler._changed:
        scheduler._has_turn = True
    for thread in threads:
        thread.start()
    while len(scheduler._waiting) < len(visitors):
        pass
    scheduler._end_turn()
    for thread in threads:
        thread.join(timeout=60)
    own = {thread.ident for thread in threads}
    # The last one is alone at the end, and may compute for itself.
    assert len(set(computing) - own) == 1 and len(set(computing) & own) <= 1
    for one in visitors:
        one.assert_right(engine)
    assert scheduler.run(threading.get_ident) == threading.get_ident()


def test_the_turn_of_an_interrupted_caller_ends_with_its_step():
    _, engine = adapted("llama")
    scheduler = Scheduler(engine)
    order = []

    class Interrupt(BaseException):
        pass

    started, go_on = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        assert go_on.wait(60)
        order.append("computed")

    def interrupted() -> None:
        with pytest.raises(Interrupt):
            scheduler._compute(work, callers=2)
        order.append("turn ended")

    def interrupt():
        raise Interrupt

    submit = scheduler._thread.submit

    def submit_and_interrupt(work):
        future = submit(work)
        future.result = interrupt
        return future

    scheduler._thread.submit = submit_and_interrupt
    thread = threading.Thread(target=interrupted)
    thread.start()
    assert started.wait(60)
    go_on.set()
    thread.join(timeout=60)
    assert order == ["computed", "turn ended"]


def test_each_place_in_the_queue_costs_one_caption_at_most():
    """Long, wide and sampled requests wait and are waited for like short ones: there is room for one at a time."""
    model, engine = adapted("llama")
    scheduler = Scheduler(engine, SchedulerOptions(max_rows=1))
    longest = 14
    samples = [ColumnRequest("samples", 1, Sampling(5, seed=2))]
    kinds = [
        (samples, longest),
        (list(COLUMNS[2]), 2),
        (list(COLUMNS[0]), longest),
        (samples, 3),
        (list(COLUMNS[2]), 9),
    ]
    forwards, admitted = [], []
    model.register_forward_hook(lambda *_: forwards.append(1))

    def visit(place: int) -> None:
        columns, tokens = kinds[place]

        def encode():
            admitted.append((place, len(forwards)))
            return prompt_of(model, 4 + place, seed=place)

        for _ in scheduler.decode(encode, columns, max_new_tokens=tokens):
            pass

    threads = [threading.Thread(target=visit, args=(place,)) for place in range(len(kinds))]
    with scheduler._changed:
        scheduler._has_turn = True
    for count, thread in enumerate(threads, 1):
        thread.start()
        while len(scheduler._waiting) < count:
            pass
    scheduler._end_turn()
    for thread in threads:
        thread.join(timeout=60)
    # The next one is encoded as soon as it is first, and prefilled when there is room: one caption more.
    assert [place for place, _ in admitted] == list(range(len(kinds)))
    assert all(count <= place * longest for place, count in admitted)
    assert len(forwards) <= sum(tokens for _, tokens in kinds)
