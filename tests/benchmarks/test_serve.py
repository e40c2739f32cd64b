"""The serving benchmark: visitors against a served page and the server it is compared with, and its figures by hand."""

import asyncio
import json
import random
import threading
from pathlib import Path

import httpx
import pytest

from benchmarks import serve
from benchmarks.serve_clients import QUEUE_FULL, LinesApi, Load, MediaFile, Mix, ServerError, Visit, visit
from benchmarks.serve_ways import PeftColumns, peft_server, serving
from tests.support.comparisons import last, texts
from training.embedded.common.tables import filled


class Answers:
    """A server that gives these updates, and counts cancels."""

    def __init__(self, *updates):
        self.updates, self.cancelled, self.closed = updates, 0, 0

    async def visit(self, http, medium):
        try:
            for update in self.updates:
                if isinstance(update, Exception):
                    raise update
                yield update
        finally:
            self.closed += 1

    async def cancel(self, http):
        self.cancelled += 1


MEDIUM = MediaFile(Path("a.png"), "image", {"beam": ["a dog", "a cat"], "hypothesis-0": ["one dog"]})
FINAL = {"beam": ["a dog", "a cat"], "hypothesis-0": ["one dog"]}


def test_a_visit_counts_wrong_columns_and_keeps_what_went_wrong():
    def of(*updates, end="done"):
        return asyncio.run(visit(Answers(*updates), None, MEDIUM, end))

    right = of({"beam": ["a"]}, FINAL, None)
    assert (right.columns, right.wrong, right.error) == (2, 0, "") and 0 < right.first <= right.total
    assert of({**FINAL, "beam": ["a cat", "a dog"]}, None).wrong == 1
    assert of({"beam": ["a dog", "a cat"]}, None).wrong == 1 and of(None).wrong == 2
    failed = of({"beam": ["a"]}, ServerError("the model failed"))
    assert failed.error == "the model failed" and failed.total is None and failed.first > 0
    assert of(httpx.ReadTimeout("")).error == "ReadTimeout"


@pytest.mark.parametrize(("end", "cancelled"), [("cancel", 1), ("vanish", 0)])
def test_those_who_leave_leave_at_the_first_words(end, cancelled):
    server = Answers({"beam": ["a"]}, ServerError("nobody reads this"))
    found = asyncio.run(visit(server, None, MEDIUM, end))
    assert found.error == "" and found.total is None and (server.cancelled, server.closed) == (cancelled, 1)


class Slow(Answers):
    """A server whose answers take 10 seconds but for the first."""

    async def visit(self, http, medium):
        is_first, self.updates = not self.updates, (FINAL, None)
        await asyncio.sleep(0 if is_first else 10)
        async for update in super().visit(http, medium):
            yield update


def test_visits_that_last_too_long_are_broken_off():
    server = Slow()
    found = asyncio.run(Load(lambda: server, [MEDIUM], Mix(0, 0)).run(2, 0.2))
    assert [(one.end, one.columns) for one in found] == [("done", 2)] and server.closed == 1


def test_there_is_always_one_visit():
    found = asyncio.run(Load(lambda: Answers(FINAL, None), [MEDIUM], Mix(0, 0)).run(1, 0.0))
    assert found and found[0].wrong == 0


def test_the_mix_by_counting():
    chance = random.Random(1)
    ends = [Mix(0.2, 0.1).end(chance) for _ in range(5000)]
    assert ends.count("cancel") == pytest.approx(1000, abs=120) and ends.count("vanish") == pytest.approx(500, abs=100)


def test_figures_by_hand():
    assert serve.percentiles([]) is None
    assert serve.percentiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p95": 3.0}
    assert serve.percentiles([float(n) for n in range(1, 101)]) == {"p50": 50.5, "p95": 95.0}
    visits = [Visit("done", 0.5, 2.0, 5, 1), Visit("done", 0.7, 4.0, 5, 0), Visit("cancel", 0.1), Visit("vanish", 0.2)]
    visits += [Visit("done", error=QUEUE_FULL), Visit("done", error="status 500"), Visit("cancel", error="status 500")]
    cell = serve.summary(visits, 10.0, 3.0, [100.0, 110.0, 120.0, 120.0, 130.0, 132.0])
    assert cell == {
        "seconds": 10.0,
        "comparisons": 2,
        "comparisons_per_second": 0.2,
        "cancelled": 1,
        "vanished": 1,
        "first_seconds": {"p50": 0.35, "p95": 0.7},
        "total_seconds": {"p50": 3.0, "p95": 4.0},
        "columns": 10,
        "wrong_columns": 1,
        "queue_full": 1,
        "errors": {"status 500": 2},
        "cpu_per_comparison": 1.5,
        "memory_mib": {"least": 100, "most": 132},
        "memory_growth": round(131 / 120, 3),
    }


def cell(per_second=1.0, p50=1.0, p95=2.0, growth=1.0, wrong=0, errors=0, **more):
    total = {"p50": p50, "p95": p95}
    found = {"comparisons_per_second": per_second, "first_seconds": total, "total_seconds": total, "seconds": 180.0}
    found |= {"memory_growth": growth, "wrong_columns": wrong, "columns": 10, "errors": {"x": errors} if errors else {}}
    found |= {"visitors_cpu_per_comparison": 0.1}
    return found | {"cpu_per_comparison": 0.5, "memory_mib": {"least": 1, "most": 2}, "load_before": 0.5} | more


def test_what_is_aimed_at_and_reached():
    def reached(visitors):
        return [line.split(" | ")[1:] for line in serve.targets(visitors).splitlines()[2:]]

    good = {"1": {"page": cell()}, "4": {"page": cell(p95=2.5)}, "8": {"page": cell(3.0), "turns": cell(1.0)}}
    assert reached({**good, "32": {"page": cell(growth=1.05)}}) == [
        ["3.00", "yes |"],
        ["2.50", "yes |"],
        ["5.0%", "yes |"],
        ["0 of 40", "yes |"],
        ["0", "yes |"],
    ]
    bad = {"1": {"page": cell()}, "4": {"page": cell(p95=2.51)}, "8": {"page": cell(2.9), "turns": cell(1.0)}}
    bad["32"] = {"page": cell(growth=1.2, wrong=1, errors=2)}
    assert [row[1] for row in reached(bad)] == ["no |"] * 5
    assert reached({"1": {"page": cell()}}) == [["0 of 10", "yes |"], ["0", "yes |"]]


def test_what_the_cores_allow_by_hand():
    visitors = {"1": {"page": cell(p50=0.5)}, "4": {"page": cell()}, "8": {"page": cell(), "turns": cell(2.0)}}
    visitors["8"]["page"]["cpu_per_comparison"] = 0.4
    # 2 / (0.4 + 0.1) a second; 4 * (0.5 + 0.1) / 2 seconds.
    found = serve.bound(visitors, 2)
    assert "0.60 s of CPU with one visitor and 0.50 s with 8" in found
    assert "4.0 comparisons a second at most, 2.0 times" in found and "1.20 s on average at least, 2.4 times" in found
    assert serve.bound({"1": {"page": cell()}}, 2) == ""


def test_the_threaded_server_writes_what_the_library_writes(
    tiny_captioner, tiny_audio_captioner, picture, clip, tmp_path
):
    bundles = {captioner.bundle.modality: captioner.bundle for captioner in (tiny_captioner, tiny_audio_captioner)}
    ways = {modality: PeftColumns(str(bundle.folder)) for modality, bundle in bundles.items()}
    server = peft_server(ways, 0, tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        api = LinesApi(f"http://127.0.0.1:{server.server_port}")
        media = [
            MediaFile(file, captioner.bundle.modality, texts(last(captioner.compare(file))))
            for file, captioner in ((picture, tiny_captioner), (clip, tiny_audio_captioner))
        ]
        for medium in media:
            found = asyncio.run(Load(lambda: api, [medium], Mix(0, 0)).run(1, 1.0))
            assert {(one.error, one.wrong, one.columns) for one in found} == {("", 0, 5)}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_quick_run_of_the_page(tiny_bundle, tiny_audio_bundle, tmp_path):
    """The real page in a process of its own, with cancels and visitors who vanish; then the whole command."""
    models = ["--image-model", str(tiny_bundle), "--audio-model", str(tiny_audio_bundle), "--threads", "1"]
    result = tmp_path / "serve.json"
    assert serve.main([*models, "--quick", "--ways", "page", "turns", "--out", str(result)]) == 0
    found = json.loads(result.read_text())
    assert set(found["visitors"]) == {"2"}
    for by_way in found["visitors"].values():
        assert set(by_way) == {"page", "turns"}
        for one in by_way.values():
            assert one["comparisons"] > 0 and one["wrong_columns"] == 0 and one["errors"] == {}
            assert one["cpu_per_comparison"] > 0 and one["memory_mib"]["least"] > 50


def test_a_server_that_does_not_start_gives_the_reason(tmp_path):
    with (
        pytest.raises(RuntimeError, match="no-such-bundle"),
        serving("page", "no-such-bundle", "none", 1, tmp_path / "log"),
    ):
        pass


def test_every_figure_of_the_guide_comes_from_the_results():
    guide = serve.GUIDE.read_text(encoding="utf-8")
    if serve.RESULTS.exists():
        results = json.loads(serve.RESULTS.read_text(encoding="utf-8"))
        assert filled(guide, {"serve": serve.passage(results)}) == guide, "python -m benchmarks.serve --save"
    else:
        assert "<!-- serve -->\n<!-- /serve -->" in guide
