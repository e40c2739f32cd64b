"""The estimate of serving at 7B shape: its counts by hand, and the committed file."""

import json
import math
from dataclasses import replace

import pytest

from benchmarks import serve_estimate
from benchmarks.roofline import Gpu, Workload
from benchmarks.serve_estimate import Assumptions, estimate, position_bytes
from training.embedded.common.tables import filled

# 2 layers of 8 channels, 10 positions of prompt, captions of 4; adapters of rank 1 on q and k.
SHAPE = Workload("tiny", 2, 8, 16, 8, 50, prompt=10, caption=4, rank=1, modules=2)
GPU = Gpu("slow", peak=1e6, bandwidth=1e6, usable=0.5)


def test_counts_by_hand():
    assert position_bytes(SHAPE) == 2 * 2 * 8 * 2 == 64
    decoder = 2 * (4 * 8 * 8 + 3 * 8 * 16)
    weights = 2 * (decoder + 2 * 50 * 8 + 4 * 2 * 2 * (8 + 8))
    cache = 64 * (4 * 10 + 9 * 4)
    assumed = Assumptions(memory=weights + 3.5 * cache + 100, reserved=100, bandwidth_share=0.5, dollars_per_hour=3.6)
    found = estimate(SHAPE, GPU, assumed)
    assert found["visitors"] == 3
    prefill = 4 * (2 * 10 * (decoder + 2 * 2 * (8 + 8)) + 2 * 2 * 100 * 8) / 5e5
    step = (weights + 3 * 64 * (4 * 10 + 9 * 2)) / 5e5
    each = prefill + 4 * step / 3
    assert found["prefill_ms"] == pytest.approx(1000 * prefill, abs=0.05)
    assert found["ms_per_step"] == pytest.approx(1000 * step, abs=0.05)
    assert found["comparisons_per_second"] == pytest.approx(1 / each, abs=0.05)
    assert found["prefill_share"] == pytest.approx(prefill / each, abs=0.005)
    assert found["gpus"] == math.ceil(1000 * each)
    assert found["dollars_per_1000"] == pytest.approx(1000 * each * 3.6 / 3600, abs=0.005)


def test_a_gpu_that_is_too_small_carries_nobody():
    found = estimate(SHAPE, GPU, Assumptions(memory=1000, reserved=0))
    assert (found["visitors"], found["comparisons_per_second"], found["gpus"]) == (0, 0.0, None)


def test_more_prompt_costs_more_of_everything():
    short, long = (estimate(replace(SHAPE, prompt=n), GPU, Assumptions(memory=1e5, reserved=0)) for n in (10, 20))
    assert long["visitors"] < short["visitors"] and long["gpus"] > short["gpus"]


def test_the_committed_file_and_the_guide_are_up_to_date():
    committed = json.loads(serve_estimate.RESULTS.read_text(encoding="utf-8"))
    assert committed["estimate"] is True and committed["measured"] is False
    assert committed == json.loads(json.dumps(serve_estimate.report(Gpu(), Assumptions())))
    guide = serve_estimate.GUIDE.read_text(encoding="utf-8")
    assert filled(guide, {"serve_7b": serve_estimate.passage(committed)}) == guide
