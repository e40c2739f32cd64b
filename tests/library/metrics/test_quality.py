"""Caption metrics against values worked out by hand; single letters are words."""

import math
import os
import stat

import numpy as np
import pytest

from lora_mcl.metrics import METRICS, Unavailable, quality, set_score
from lora_mcl.metrics.quality import (
    SPICE_JARS,
    bleu,
    cider_d,
    meteor,
    rouge_l,
    spice,
    spider,
    with_fluency_penalty,
)
from lora_mcl.metrics.tokens import has_java, tokenize

needs_java = pytest.mark.skipif(not has_java(), reason="there is no java on the path")
REFERENCES = [["a b c d"], ["e f g h"]]


@pytest.fixture
def no_java(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("caption", "reference", "expected"),
    [
        ("a b c d e", "a b c d f", (0.8, 0.774597, 0.736806, 0.668740)),
        ("a b c d", "a b c d e", (math.exp(-0.25),) * 4),
    ],
)
def test_bleu(caption, reference, expected):
    assert [scores.item() for scores in bleu([[caption]], [[reference]])] == pytest.approx(expected, abs=1e-6)


def test_rouge_l_takes_precision_and_recall_from_different_references():
    assert rouge_l([["a b c d"]], [["a c d", "a b x y d"]]).item() == pytest.approx(0.879808, abs=1e-6)


@pytest.mark.parametrize(
    ("caption", "expected"), [("a b c d", 10), ("a b", 3.037611), ("a b c d e", 8.096898), ("z z z z", 0)]
)
def test_cider_d(caption, expected):
    assert cider_d([[caption], ["e f g h"]], REFERENCES)[0, 0] == pytest.approx(expected, abs=1e-6)


def test_cider_d_of_a_single_example_is_zero():
    assert cider_d([["a b c d"]], [["a b c d"]]).item() == 0


def test_oracle_mean_and_worst_of_cider_d():
    """One call a hypothesis: in one call for all captions, those that only captions hold would be less rare."""
    found = set_score(cider_d([["a b", "a b c d e"], ["e f g h", "z z z z"]], REFERENCES))
    assert found.best == pytest.approx(9.048449, abs=1e-6)
    assert found.mean == pytest.approx(5.283627, abs=1e-6)
    assert found.worst == pytest.approx(3.037611 / 2, abs=1e-6)


def test_spider_takes_its_oracle_on_the_sum():
    scores = spider(np.array([[2, 1], [0.5, 3]]), np.array([[0.1, 0.6], [0.2, 0.1]]))
    assert scores == pytest.approx(np.array([[1.05, 0.8], [0.35, 1.55]]))
    assert set_score(scores).best == pytest.approx(1.30)
    with_errors = with_fluency_penalty(scores, np.array([[1, 0], [0, 0]]))
    assert with_errors == pytest.approx(np.array([[0.105, 0.8], [0.35, 1.55]]))
    assert set_score(with_errors).best == pytest.approx(1.175)


@needs_java
@pytest.mark.slow
def test_meteor_under_a_locale_with_a_decimal_comma(monkeypatch):
    german = "-Duser.language=de -Duser.country=DE"
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", german)
    captions = [["a dog barks", "a hound barks"], ["on the mat sat the cat", ""]]
    found = meteor(captions, [["a dog barks"], ["the cat sat on the mat"]])
    assert found == pytest.approx(np.array([[1.0, 0.914286], [0.477670, 0]]), abs=1e-5)
    assert os.environ["JAVA_TOOL_OPTIONS"] == german


@needs_java
@pytest.mark.slow
def test_every_metric_of_sentences():
    captions = [["A dog barks.", "A man (speaking) loudly"], ["Rain falls.", ""]]
    found = quality(captions, [["a dog barks"], ["rain falls on a roof", "it is raining"]])
    assert found.tokens == "ptb"
    assert tuple(found.scores) == METRICS
    assert found.scores["meteor"][0, 0] == pytest.approx(1)
    assert found.scores["bleu_1"][0, 0] == pytest.approx(1)
    assert found.scores["rouge_l"][1, 1] == 0  # an empty caption scores, and shifts no other
    report = found.report()
    assert report["cider_d"].best >= report["cider_d"].mean >= report["cider_d"].worst
    assert str(report["spice"]).startswith("unavailable: SPICE needs stanford-corenlp-3.6.0.jar")
    assert report["spider"] == report["spice"]


def test_without_java_its_metrics_are_unavailable_and_no_others(no_java):
    found = quality([["a dog barks"], ["rain"]], [["a dog barks"], ["rain falls"]])
    assert found.tokens == "words"
    unavailable = [name for name, scores in found.scores.items() if isinstance(scores, Unavailable)]
    assert unavailable == ["meteor", "spice", "spider"]
    assert "there is no java on the path" in str(found.scores["meteor"])
    assert found.report()["bleu_1"].best == pytest.approx((1 + math.exp(-1)) / 2)


FAKE_JAVA = """#!/bin/sh
[ -z "$FAKE_FAILS" ] || exit 1
while [ "$1" != -cache ]; do in=$1; shift; done
while [ "$1" != -out ]; do shift; done
python3 - "$in" "$2" <<'END'
import json, sys
asked = json.load(open(sys.argv[1]))
scores = [{"image_id": one["image_id"], "scores": {"All": {"f": 1 / len(one["test"].split())}}} for one in asked]
json.dump(scores, open(sys.argv[2], "w"))
END
"""


@pytest.fixture
def fake_java(monkeypatch, tmp_path):
    """A java that gives every caption 1 over its number of words, and SPICE's jars, empty."""
    program = tmp_path / "java"
    program.write_text(FAKE_JAVA, encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in SPICE_JARS:
        (tmp_path / name).touch()
    # The scorer would download missing jars.
    monkeypatch.setattr("pycocoevalcap.spice.spice.get_stanford_models", lambda: None)
    return tmp_path


def test_spice_runs_where_its_jars_are(fake_java):
    found = spice([["a b", "a b c d"], ["a", "a b"]], [["a"], ["b"]], fake_java)
    assert found.tolist() == [[0.5, 0.25], [1, 0.5]]


def test_spice_without_its_jars_names_them(fake_java):
    (fake_java / SPICE_JARS[1]).unlink()
    assert SPICE_JARS[1] in str(spice([["a"]], [["a"]], fake_java))


def test_a_java_program_that_fails_is_a_reason(monkeypatch, fake_java):
    monkeypatch.setenv("FAKE_FAILS", "1")
    assert "failed" in str(meteor([["a"]], [["a"]]))
    assert "failed" in str(spice([["a"]], [["a"]], fake_java))


@pytest.mark.parametrize(
    ("captions", "references", "message"),
    [
        ([], [], "at least one"),
        ([["a"], ["a", "b"]], [["a"], ["a"]], "same number"),
        ([["a"]], [["a"], ["b"]], "1 examples and references of 2"),
        ([["a"]], [[]], "at least one reference"),
    ],
)
def test_ragged_input_is_refused(captions, references, message):
    with pytest.raises(ValueError, match=message):
        quality(captions, references)


@needs_java
def test_treebank_tokens():
    captions = [["A T-shirt, (red) at 9 p.m.", "it's", ""], ["two\u2028lines", "", "The end."]]
    assert tokenize(captions).captions == (
        ("a t shirt red at 9 p m", "it 's", ""),
        ("two lines", "", "the end"),
    )


def test_words_where_there_is_no_java(no_java):
    found = tokenize([["A T-shirt, (red) at 9 p.m.", "it's", ""]])
    assert (found.kind, found.captions) == ("words", (("a t shirt red at 9 p m", "it's", ""),))
