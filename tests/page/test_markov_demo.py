"""The "How it works" tab: its recorded runs, its drawings, its endpoints, and what a visitor does with it."""

import json
import re
import threading
import time
from dataclasses import dataclass, replace

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

from lora_mcl.markov import LearningOptions
from tests.support.browsing import (
    expect_no_sideways_scroll,
    screenshot,
    set_number,
    wait_until,
)
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from training.experiments.markov.__main__ import run_setup
from training.experiments.markov.setups import PAPER_SETUPS
from ui.markov_live import LIVE
from ui.markov_runs import MarkovDemo, load_demos
from ui.markov_view import board_html, figures_html, recipes_html

pytestmark = GRADIO_WARNINGS

TINY = LearningOptions(
    steps=6, batch_size=4, length=12, learning_rate=1e-2, evaluate_every=2, dense_steps=0, evaluation_size=20
)


@dataclass(frozen=True)
class Watched(MarkovDemo):
    """A demo whose live training waits for a permit at each moment; ``ends``: after how many each run ended."""

    permits: threading.Semaphore = None
    ends: list[int] = None

    def live(self, seed):
        shown = 0
        try:
            for run in super().live(seed):
                self.permits.acquire(timeout=60)
                shown = len(run.frames)
                yield run
        finally:
            self.ends.append(shown)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of both set-ups, trained for six steps."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, setup in PAPER_SETUPS.items():
        run_setup(name, setup, "tuned", TINY, 1, folder / name, folder / "runs" / name, test_size=60)
    return folder


@pytest.fixture(scope="module")
def demos(recordings):
    live = replace(TINY, watched=8)
    return tuple(replace(demo, live_options=live) for demo in load_demos(recordings))


@pytest.fixture(scope="module")
def watched(demos):
    """The first demo, whose live training can be held up."""
    fields = {name: getattr(demos[0], name) for name in MarkovDemo.__dataclass_fields__}
    fields["live_options"] = replace(demos[0].live_options, steps=12, evaluate_every=1)
    return Watched(**fields, permits=threading.Semaphore(0), ends=[])


@pytest.fixture(scope="module")
def address(serve, demos, watched):
    return serve(image_tab(), demos=(watched, demos[1]))


def test_recordings_are_read(recordings, demos, tmp_path):
    assert [demo.name for demo in demos] == ["transition1", "transition2"]
    first = demos[0]
    assert first.matrices == PAPER_SETUPS["transition1"].mixture.matrices
    assert (demos[1].objective, demos[1].epsilon) == ("relaxed", 0.1)
    assert [frame.step for frame in first.recorded.frames] == [0, 2, 4, 6] and first.recorded.steps == 6
    assert len(first.recorded.tokens) == len(first.recorded.chains) == len(first.recorded.frames[0].two.winners) == 8
    assert [first.recorded.at(step) for step in (0, 1, 2, 3.9, 6, 99)] == [0, 0, 1, 1, 3, 3]
    assert load_demos(tmp_path) == ()
    bad = tmp_path / "transition1" / "result.json"
    bad.parent.mkdir()
    bad.write_text(json.dumps({"runs": []}))
    with pytest.raises(ValueError, match="is not a result of training.experiments.markov"):
        load_demos(tmp_path)


def test_a_live_run_grows_and_can_be_closed(demos):
    runs = demos[0].live(seed=3)
    first, second = next(runs), next(runs)
    assert [frame.step for frame in second.frames] == [0, 2] and second.frames[0] == first.frames[0]
    assert first.steps == 6 and first.frames[0].one.nll == pytest.approx(first.frames[0].two.nll[:1])
    runs.close()
    assert next(runs, None) is None
    assert LIVE.steps * LIVE.batch_size < 5000, "visitors wait for it"


def test_the_drawings_show_what_was_measured(demos):
    demo, run = demos[0], demos[0].recorded
    last = replace(run.frames[-1].two, later=(((0.8, 0.2), (0.9, 0.1)), ((0.2, 0.8), (0.25, 0.75))), winners=(1, 0) * 4)
    shown = board_html(demo, replace(run, frames=(*run.frames[:-1], replace(run.frames[-1], two=last))), 6)
    assert 'data-step="6"' in shown
    targets = re.findall(r'class="target" cx="([\d.]+)" cy="([\d.]+)"', shown)
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="7"', shown)
    assert dots == targets and len(dots) == 2, "hypotheses that have found the recipes lie in their rings"
    assert "Hypothesis 1: ● after ○ 20%, after ● 10%." in shown
    assert re.findall(r'badge accent-\d">(\d)<', shown) == ["2", "1"] * 4
    assert "nothing to win yet" in board_html(demo, run, 0)
    beads = re.findall(r'aria-label="([●○]+)"', shown)
    assert beads == ["".join("○●"[token] for token in tokens) for tokens in run.tokens]
    assert "after ○ comes ● in 20% of cases" in recipes_html(demo)
    one = demo.measured["1"]["loss"]["mean"]
    assert f"{one:.3f} nats per bead" in figures_html(demo) and "mean of 1 runs" not in figures_html(demo)


def test_other_programs_can_ask(address, watched):
    client = Client(address, verbose=False)
    names = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/markov_step", "/markov_train"} <= names.keys()
    answer = client.predict(setup="transition2", step=5, api_name="/markov_step")
    assert (answer["setup"], answer["step"], answer["steps"]) == ("transition2", 4, 6)
    assert len(answer["two_hypotheses"]["later"]) == 2 and len(answer["one_model"]["later"]) == 1
    job = client.submit(setup="transition2", seed=5, api_name="/markov_train")
    assert job.result(timeout=60)["step"] == 6
    assert [moment["step"] for moment in job.outputs()] == [0, 2, 4, 6]
    for arguments in ({"setup": "other", "step": 1}, {"setup": "transition1", "step": "soon"}):
        with pytest.raises(AppError, match="must be"):
            client.predict(**arguments, api_name="/markov_step")


@pytest.mark.browser
def test_a_visitor_watches_and_trains(visit, address, watched, tmp_path):
    page = visit(address, width=390)
    page.get_by_role("tab", name="How it works").click()
    board = page.locator(".demo")
    expect(board).to_have_attribute("data-step", "6")
    set_number(page, "#markov-step", 0)
    expect(board).to_have_attribute("data-step", "0")
    page.click("#markov-play")
    expect(board).to_have_attribute("data-step", "6")
    expect(page.locator("#markov-play")).to_be_enabled()
    page.get_by_label("Two similar recipes").check()
    expect(page.locator(".recipes")).to_contain_text("in 70% of cases")
    page.get_by_label("Two very different recipes").check()
    expect(page.locator(".recipes")).to_contain_text("in 20% of cases")
    expect_no_sideways_scroll(page)

    watched.permits.release(3)
    page.click("#markov-train")
    expect(board).to_have_attribute("data-step", "2")
    expect(page.locator("#markov-status")).to_contain_text("Training")
    expect(page.locator("#markov-train")).to_be_disabled()
    page.click("#markov-stop")
    expect(page.locator("#markov-status")).to_contain_text("Stopped after step 2")
    watched.permits.release()  # what was being computed comes to nothing
    wait_until(lambda: len(watched.ends) == 1)
    expect(board).to_have_attribute("data-step", "2")

    watched.permits.release(13)
    page.click("#markov-train")
    expect(page.locator("#markov-status")).to_contain_text("Trained in")
    expect(board).to_have_attribute("data-step", "12")
    screenshot(page, "how-it-works", tmp_path)

    watched.permits.release(1)
    page.click("#markov-train")
    expect(board).to_have_attribute("data-step", "0")
    page.close()

    def left() -> bool:
        watched.permits.release()
        time.sleep(2)
        return len(watched.ends) == 3

    wait_until(left)
    assert watched.ends[1] == 13 > watched.ends[2], "nobody watches: it does not go on to the end"
