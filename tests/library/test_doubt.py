"""When a caption is doubted, and that figures of another model's captions are not used."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lora_mcl.doubt import PAGE_SIGNALS, Doubt, captions_key, load_doubt
from lora_mcl.errors import BundleError
from lora_mcl.types import Caption, ColumnResult
from tests.support.paths import ROOT

RESULTS = ROOT / "assets" / "results"
PHOTOGRAPHS = {"entries": [{"photograph": "cat", "captions": {"caption-gate/1": ["A cat."]}}]}
FOUND = {
    "column": "caption-gate/1",
    "captions": captions_key(PHOTOGRAPHS),
    "signal": "mean_log_prob",
    "auc": {"mean_log_prob": 0.7, "log_prob": 0.6},
    "threshold": -0.5,
    "held_out": {"sure": 50, "sure_right": 30, "doubted": 27, "doubted_right": 6},
}
DOUBT = Doubt("hypothesis-1", "mean_log_prob", -0.5, 0.7, 50, 30, 27, 6)


def files(folder: Path, found: dict) -> tuple[Path, Path]:
    (folder / "doubt.json").write_text(json.dumps(found))
    (folder / "image.json").write_text(json.dumps({"photographs": PHOTOGRAPHS}))
    return folder / "doubt.json", folder / "image.json"


def test_the_file_is_read(tmp_path):
    assert load_doubt(*files(tmp_path, FOUND)) == DOUBT
    assert load_doubt(tmp_path / "none.json", tmp_path / "image.json") is None


def test_figures_of_other_captions_or_near_chance_are_not_used(tmp_path):
    assert load_doubt(*files(tmp_path, FOUND | {"captions": "0" * 16})) is None
    assert load_doubt(*files(tmp_path, FOUND | {"auc": {"mean_log_prob": 0.55}})) is None


@pytest.mark.parametrize("bad", [{}, FOUND | {"signal": "text", "auc": {"text": 1}}, FOUND | {"held_out": {}}])
def test_another_file_is_refused(tmp_path, bad):
    with pytest.raises(BundleError, match=r"doubt\.json does not hold a measured threshold"):
        load_doubt(*files(tmp_path, bad))


def result(mean: float, **changes) -> ColumnResult:
    captions = (Caption("A cat.", 4 * mean, mean, 4),)
    return replace(ColumnResult("hypothesis-1", "hypothesis", "Two", 0.1, captions, True), **changes)


def test_an_unlikely_caption_of_that_column_is_doubted():
    assert DOUBT.doubts(result(-0.51)) and not DOUBT.doubts(result(-0.5))
    least = replace(DOUBT, signal="least_log_prob")
    assert not least.doubts(result(-0.9))  # beams do not keep it
    assert least.doubts(result(-0.1, captions=(Caption("A cat.", -1.0, -0.1, 4, least_log_prob=-0.6),)))
    assert not DOUBT.doubts(result(-0.9, id="hypothesis-0")) and not DOUBT.doubts(result(-0.9, captions=()))


def test_the_committed_figures_measure_the_signal():
    found = json.loads((RESULTS / "doubt.json").read_text())
    assert found["auc"][found["signal"]] == max(found["auc"][signal] for signal in PAGE_SIGNALS)
    parts = found["held_out"]
    assert parts["sure"] + parts["doubted"] == found["photographs"] // 2
    # On photographs that did not choose the threshold, doubted captions are right more rarely.
    assert parts["doubted_right"] / parts["doubted"] < parts["sure_right"] / parts["sure"]
