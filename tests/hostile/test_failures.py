"""A request that fails in the middle, or whose visitor leaves, costs the next one nothing: neither turn nor answer."""

import threading
from contextlib import contextmanager

import pytest
import torch

from lora_mcl.types import CompareOptions
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.hostile_page import PATIENCE, QUICK, UNFORESEEN, HostilePage

pytestmark = GRADIO_WARNINGS
OPTIONS = CompareOptions(max_new_tokens=8, num_beams=2, num_beam_groups=2)


@contextmanager
def at_forward(captioner, number, act):
    """``act`` at the ``number``-th forward of the language model from now on."""
    calls = [0]

    def count(module, args, kwargs):
        calls[0] += 1
        if calls[0] == number:
            act()

    handle = captioner._model.model.get_decoder().register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def fail(error):
    def act():
        raise error

    return act


def captions(captioner, media):
    *_, last = captioner.compare(media, OPTIONS)
    return [column["captions"] for column in last.to_dict()["columns"]]


FAILURES = {
    "out of memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "no memory on the CPU": MemoryError(),
    "in decoding": RuntimeError("probability tensor contains either inf, nan or element < 0"),
    "of an index": IndexError("index out of range in self"),
}
# Ctrl-C interrupts a script that uses the library; the page's requests run in threads, which no signal reaches.
INTERRUPTED = {"interrupted": KeyboardInterrupt()}


@pytest.mark.parametrize("number", [1, 2, 5], ids=lambda n: f"forward-{n}")
@pytest.mark.parametrize("error", (FAILURES | INTERRUPTED).values(), ids=FAILURES | INTERRUPTED)
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_next_request_gets_the_same_answer(request, picture, clip, modality, error, number):
    name, media = ("tiny_captioner", picture) if modality == "image" else ("tiny_audio_captioner", clip)
    captioner = request.getfixturevalue(name)
    expected = captions(captioner, media)
    with at_forward(captioner, number, fail(error)), pytest.raises(type(error)):
        captions(captioner, media)
    assert captions(captioner, media) == expected


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
def test_on_the_page_too(page, picture, tiny_captioner, error):
    """The visitor gets a message without the machine's inside, and the turn is free when it arrives."""
    with at_forward(tiny_captioner, 2, fail(error)), pytest.raises(AssertionError, match=UNFORESEEN) as raised:
        page.ask("image", picture)
    assert "GiB" not in str(raised.value) and "tensor" not in str(raised.value)
    page.check_good_requests()


def test_a_failed_request_frees_its_turn_while_its_client_is_still_there(page: HostilePage, picture, tiny_captioner):
    """Another request, which waits, is answered although the failed one's connection is not closed."""
    reached, go_on = threading.Event(), threading.Event()

    def hold_and_fail():
        reached.set()
        go_on.wait(60)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with at_forward(tiny_captioner, 2, hold_and_fail), page.connected("image", picture) as lines:
        assert reached.wait(60)
        waiting = page.client.submit(image=page.file(picture), **QUICK, api_name="/compare_image")
        go_on.set()
        failed = next(line for line in lines if "process_completed" in line)
        assert '"success":false' in failed.replace(" ", "")
        assert waiting.result(timeout=PATIENCE)["columns"][0]["captions"]


def test_an_answer_that_nobody_reads_to_its_end(tiny_captioner, picture):
    expected = captions(tiny_captioner, picture)
    for read in range(4):
        snapshots = tiny_captioner.compare(picture, OPTIONS)
        for _ in range(read):
            next(snapshots)
        snapshots.close()
        assert captions(tiny_captioner, picture) == expected


def test_a_visitor_who_leaves_in_the_middle(page: HostilePage, picture, tiny_captioner):
    """While the model is at work: it stops at the next token, and others have their turn."""
    reached, go_on = threading.Event(), threading.Event()

    def hold():
        reached.set()
        go_on.wait(60)

    values = {"max_new_tokens": 128, "num_beams": 1, "num_beam_groups": 1}
    with at_forward(tiny_captioner, 3, hold) as calls:
        job = page.client.submit(**{"image": page.file(picture)}, **values, api_name="/compare_image")
        assert reached.wait(60)
        # Gradio's answer to this waits for the step that the model is at.
        threading.Timer(3, go_on.set).start()
        job.cancel()
        # The others' turn: this would wait for as long as the model works for nobody.
        page.check_good_requests()
        assert calls[0] < 100
