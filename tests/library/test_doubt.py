"""When a caption is doubted, and that figures of another model's captions are not used."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lora_mcl.doubt import AGREEMENT_OF_BEAMS, PAGE_SIGNALS, Doubt, agreement, captions_key, load_doubt
from lora_mcl.errors import BundleError
from lora_mcl.types import Caption, ColumnResult, Comparison
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


def comparison(mean: float, least: float | None = None, beams: tuple[str, ...] = (), captions: int = 1) -> Comparison:
    """The doubted column with captions of that mean log-probability, and a beam column."""
    own = (Caption("A cat.", 4 * mean, mean, 4, least_log_prob=least),) * captions
    found = tuple(Caption(text, -1.0, -0.5, 2) for text in beams)
    columns = (
        ColumnResult("hypothesis-0", "hypothesis", "One", 0.1, (Caption("A dog.", -9.0, -9.0, 1),), True),
        ColumnResult("hypothesis-1", "hypothesis", "Two", 0.1, own, True),
        *([ColumnResult("beam", "beam", "Beam search", 0.1, found, True)] if beams else []),
    )
    return Comparison("a.png", "fake", 0.1, columns, done=True)


def test_an_unlikely_caption_of_that_column_is_doubted():
    assert DOUBT.doubts(comparison(-0.51)) and not DOUBT.doubts(comparison(-0.5))
    least = replace(DOUBT, signal="least_log_prob")
    assert not least.doubts(comparison(-0.9))  # beams do not keep it
    assert least.doubts(comparison(-0.1, least=-0.6))
    assert not DOUBT.doubts(comparison(-0.9, captions=0)) and not DOUBT.doubts(comparison(-0.9, captions=2))
    assert not replace(DOUBT, column="hypothesis-7").doubts(comparison(-0.9))


def test_beams_that_agree_little_are_doubted():
    doubt = replace(DOUBT, signal=AGREEMENT_OF_BEAMS, threshold=0.5, beams=2)
    assert doubt.doubts(comparison(-0.1, beams=("A cat.", "A dog.")))
    assert not doubt.doubts(comparison(-9.0, beams=("A cat.", "A black cat.")))  # half of the words
    # Of another number of candidates nothing was measured, nor without the column.
    assert not doubt.doubts(comparison(-0.1, beams=("A cat.", "A dog.", "A bus.")))
    assert not doubt.doubts(comparison(-0.1))


def test_agreement_counts_within_a_language():
    assert agreement(["A cat.", "Un chat.", "I see a cat."]) == pytest.approx(0.5)  # {cat} and {see, cat}
    assert agreement(["A cat.", "Un chat."]) == 0.0


def test_the_file_holds_the_number_of_beams(tmp_path):
    found = FOUND | {"signal": AGREEMENT_OF_BEAMS, "auc": {AGREEMENT_OF_BEAMS: 0.7}, "beams": 3}
    assert load_doubt(*files(tmp_path, found)) == replace(DOUBT, signal=AGREEMENT_OF_BEAMS, beams=3)
    with pytest.raises(BundleError, match="beams"):
        load_doubt(*files(tmp_path, {name: value for name, value in found.items() if name != "beams"}))


def test_the_committed_figures_measure_the_signal():
    found = json.loads((RESULTS / "doubt.json").read_text())
    assert found["auc"][found["signal"]] == max(found["auc"][signal] for signal in PAGE_SIGNALS)
    parts = found["held_out"]
    assert parts["sure"] + parts["doubted"] == found["photographs"] // 2
    # On photographs that did not choose the threshold, doubted captions are right more rarely.
    assert parts["doubted_right"] / parts["doubted"] < parts["sure_right"] / parts["sure"]
