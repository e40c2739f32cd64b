"""The decoding benchmarks run at tiny sizes; their clocks and bounds by hand."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import decode
from benchmarks.decode_ways import LlamaShape
from benchmarks.measuring import Stopwatch, median_and_range, peak_memory

TINY = LlamaShape(32, 64, 2, 2, vocab_size=48, prompt_tokens=10, max_new_tokens=5, rank=2)


def test_median_and_range():
    assert median_and_range([3.0, 1.0, 2.0, 10.0]) == {"median": 2.5, "least": 1.0, "most": 10.0}


def test_the_stopwatch_stops_for_what_is_inside(monkeypatch):
    now = [0.0]

    def pass_by(seconds):
        now[0] += seconds

    monkeypatch.setattr("benchmarks.measuring.time", SimpleNamespace(perf_counter=lambda: now[0]))
    watch, model = Stopwatch(), nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    model[0].register_forward_hook(lambda *_: pass_by(16))
    with watch.watching(model, lambda name, module: name or "whole"), watch.part("outside"):
        pass_by(2)
        # After the watch's own hooks: while the whole, and the ReLU in it, are running.
        model.register_forward_pre_hook(lambda *_: pass_by(1))
        model[1][0].register_forward_pre_hook(lambda *_: pass_by(4))
        model(torch.zeros(1, 2))
        pass_by(8)
    assert watch.seconds == {"outside": 10, "whole": 1, "0": 16, "1": 0, "1.0": 4}
    model(torch.zeros(1, 2))
    assert sum(watch.seconds.values()) == 31


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_peak_memory_is_that_of_the_call():
    above, peak = peak_memory(lambda: torch.zeros(64 * 2**20, dtype=torch.uint8).add_(1))
    assert 60 < above / 2**20 < 200
    assert peak > above


def test_the_ways_write_the_same_and_are_compared_round_by_round(tmp_path):
    ways = decode.ways_of(lambda: TINY.subject(3, tmp_path))
    assert list(ways) == list(decode.WAYS)
    answers = {way: run() for way, run in ways.items()}
    columns = answers["lockstep"].columns
    assert set(columns) == {"hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam"}
    assert len({tuple(rows[0]) for rows in columns.values()}) > 2
    assert all(len(row) == 5 for rows in columns.values() for row in rows)
    for answer in answers.values():
        assert answer.columns == columns and 0 < answer.first < answer.total
    found = decode.compare(ways, rounds=2)
    assert found["sequential"]["total_times_faster"] == {"median": 1.0, "least": 1.0, "most": 1.0}
    least, most = (found["lockstep"]["total_times_faster"][key] for key in ("least", "most"))
    assert 0 < least <= found["lockstep"]["total_times_faster"]["median"] <= most
    with pytest.raises(AssertionError, match="do not write the same"):
        decode.compare({"sequential": ways["sequential"], "lockstep": ways_of_another_model(tmp_path)}, rounds=1)


@pytest.mark.parametrize(
    ("way", "readings", "forwards"), [("sequential", 3 + 3 + 1, 5), ("mixed batch", 3 + 3 + 1, 3), ("lockstep", 4, 1)]
)
def test_how_often_each_way_reads_the_prompt_and_the_weights(way, readings, forwards, tmp_path):
    """As the guide says: K + 4 readings against K + 1, and K + 2 forwards a token against one."""
    subject = TINY.subject(3, tmp_path)
    shapes = []
    layer = subject.model.model.layers[0]
    layer.register_forward_pre_hook(lambda module, args: shapes.append(args[0].shape[:2]))
    decode.ways_of(lambda: subject, (way,))[way]()
    assert sum(rows for rows, positions in shapes if positions == 10) == readings
    assert len(shapes) == forwards * 5


def case_of(faster, prefill=4.0, steps=1.0, base=0.7):
    shares = {"layers of the base": base, "attention": 1 - base}
    stages = {"prefill": {"seconds": prefill, "shares": shares}, "steps": {"seconds": steps, "shares": shares}}
    return {"3": {"ways": {"lockstep": {"total_times_faster": {"median": faster}}}, "lockstep_time": stages}}


def test_what_is_aimed_at_and_reached_and_why_not():
    page = {"first_seconds": {"median": 0.39}, "total_seconds": {"median": 2.5}}
    models = {"one": case_of(3.0), "other": case_of(2.94), "next": case_of(1.0, 1.0, 3.0), "last": {"8": {}}}
    lines = decode.targets({"page": page, "models": models}).splitlines()
    assert lines[2:7] == [
        "| embedded page, first words: less than 0.4 s | 0.39 s | yes |",
        "| embedded page, done: less than 2 s | 2.50 s | no |",
        "| one, K = 3: 3 times faster than sequential | 3.00 | yes |",
        "| other, K = 3: 3 times faster than sequential | 2.94 | no |",
        "| next, K = 3: 3 times faster than sequential | 1.00 | no |",
    ]
    _, other, _, following = lines[7:]
    assert other.startswith(
        "What limits other at K = 3: reading the prompt, once for each adapter, takes 80% of the lockstep decode, "
        "70% of that in the layers of the base. Next would be adapters on fewer layers"
    )
    assert following.startswith("What limits next at K = 3: the steps take 75% of the lockstep decode, 70% of that")
    assert "Next would be weights of fewer bytes" in following
    overhead = decode.why("small", case_of(1.0, 1.0, 3.0, base=0.4)["3"]["lockstep_time"])
    assert "60% of that in the attention. Next would be fewer and larger operations" in overhead


def test_results_are_added_to_those_of_the_same_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "RESULTS", tmp_path / "decode.json")
    monkeypatch.setattr(decode, "page", lambda: {})
    measured = []
    monkeypatch.setattr(decode, "measure", lambda given, model, count: measured.append((model, count)) or len(measured))
    given = SimpleNamespace(rounds=5, threads=2, layers=2, hidden=8, prompt=3, new=4, save=True)

    def run(models, counts, **changed):
        saved = []

        def save(results):
            saved.append(json.dumps(results))
            decode.RESULTS.write_text(saved[-1])

        decode.benchmark(SimpleNamespace(**{**vars(given), "models": models, "hypotheses": counts, **changed}), save)
        assert len(saved) == len(models) * len(counts)
        models = json.loads(decode.RESULTS.read_text())["models"]
        return {model: list(by_count.items()) for model, by_count in models.items()}

    assert run(["llama-100m"], [8, 3]) == {"llama-100m": [("3", 2), ("8", 1)]}
    assert run(["embedded"], [3]) == {"embedded": [("3", 3)], "llama-100m": [("3", 2), ("8", 1)]}
    assert run(["llama-100m"], [3]) == {"embedded": [("3", 3)], "llama-100m": [("3", 4), ("8", 1)]}
    assert run(["llama-100m"], [5], new=5) == {"llama-100m": [("5", 5)]}


def ways_of_another_model(folder):
    return decode.ways_of(lambda: LlamaShape(32, 64, 1, 2, 48, 10, 5, 2).subject(3, folder), ("lockstep",))["lockstep"]


def test_the_breakdown_covers_every_forward(tmp_path):
    found = decode.breakdown(TINY.subject(2, tmp_path))
    assert (found["prefill"]["forwards"], found["steps"]["forwards"]) == (1, 4)
    for stage in found.values():
        assert sum(stage["shares"].values()) == pytest.approx(1, abs=0.01)
        assert {"layers of the base", "adapters", "attention", "output layer"} < set(stage["shares"])


def cache_first(measure):
    found = []

    def measure_once(*arguments):
        if not found:
            found.append(measure(*arguments))
        return found[0]

    return measure_once


@pytest.mark.slow
def test_the_decode_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(decode, "RESULTS", tmp_path / "decode.json")
    monkeypatch.setattr(decode, "GUIDE", tmp_path / "guide.md")
    # One process of its own shows that it works.
    monkeypatch.setattr(decode, "memory_in_subprocess", cache_first(decode.memory_in_subprocess))
    decode.GUIDE.write_text("Fast.\n<!-- decode -->\n<!-- /decode -->\n")
    words = "--models llama-100m-upper-half --hypotheses 2 --rounds 1 --layers 2 --hidden 64 --prompt 8 --new 3 --save"
    decode.main([*words.split(), "--threads", str(torch.get_num_threads())])
    results = json.loads(decode.RESULTS.read_text())
    assert capsys.readouterr().out.strip() == decode.table(results)
    assert len(decode.table(results).splitlines()) == 2 + 3
    assert decode.GUIDE.read_text() == f"Fast.\n<!-- decode -->\n{decode.passage(results)}\n<!-- /decode -->\n"
    assert results["page"]["first_seconds"]["median"] < results["page"]["total_seconds"]["median"]
