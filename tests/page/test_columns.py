"""The columns of a comparison as HTML: what a caption's figures are, and that text stays text."""

import re
from dataclasses import replace

import pytest

from lora_mcl.doubt import Doubt
from lora_mcl.phrasebook import phrasebook_of
from lora_mcl.types import Caption, ColumnResult, ColumnSpec, CompareOptions, Comparison
from tests.support.paths import ROOT
from tests.support.small_phrasebook import SMALL
from ui.columns import comparison_columns
from ui.texts.texts import ENGLISH, FRENCH

STYLE = ROOT / "ui" / "style.css"
SPECS = tuple(
    ColumnSpec(id, method, id, "…")
    for id, method in (("hypothesis-0", "hypothesis"), ("beam", "beam"), ("sampling", "sampling"))
)
CAPTIONS = (Caption("a long caption", -3.0, -0.5, 6, -0.5), Caption("short", -2.0, -1.0, 2, -1.0))


def shown(captions=CAPTIONS) -> dict[str, str]:
    results = [ColumnResult(spec.id, spec.method, spec.label, 0.1, captions, True) for spec in SPECS]
    unranked = tuple(replace(caption, score=None) for caption in captions)
    results[0], results[2] = replace(results[0], captions=unranked[:1]), replace(results[2], captions=unranked)
    return comparison_columns(SPECS, Comparison("a.png", "fake", 0.1, tuple(results), done=True), "")


def test_ranked_captions_show_what_they_are_ranked_by():
    columns = shown()
    assert re.findall(r"score (−[\d.]+)<", columns["beam"]) == ["−0.50", "−1.00"]
    assert re.findall(r"log-prob\. (−[\d.]+)<", columns["beam"]) == ["−3.0", "−2.0"]
    for id in ("hypothesis-0", "sampling"):
        assert "score" not in columns[id] and "log-prob. −3.0" in columns[id]
        assert "(−0.50 per token)" in columns[id]


def texts(column: str) -> list[str]:
    """The captions of a column, without marks."""
    return [re.sub("<[^>]+>", "", found) for found in re.findall(r'<p class="caption"[^>]*>(.*?)</p>', column)]


def test_ranked_captions_stand_in_the_order_of_the_score_they_show():
    groups = (CAPTIONS[1], CAPTIONS[0], replace(CAPTIONS[0], text="penalised", score=-0.7))
    columns = shown(groups)
    assert re.findall(r"score (−[\d.]+)<", columns["beam"]) == ["−0.50", "−0.70", "−1.00"]
    assert texts(columns["beam"]) == ["a long caption", "penalised", "short"]
    # Samples are not ranked.
    assert texts(columns["sampling"]) == ["short", "a long caption", "penalised"]


def test_what_a_model_writes_is_text():
    for column in shown((Caption('<b>&"', -1.0, -1.0, 1, -1.0),)).values():
        # But for the marks of words that all columns have.
        assert "&lt;b&gt;&amp;&quot;" in re.sub(r"</?span[^>]*>", "", column) and "<b>" not in column


def test_the_order_of_a_real_search_is_that_of_its_scores(tiny_captioner, picture):
    options = CompareOptions(num_beams=4, num_beam_groups=1, max_new_tokens=8, length_penalty=0.5)
    (*_, last) = tiny_captioner.compare(picture, options)
    captions = last.column("beam").captions
    scores = [caption.score for caption in captions]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    assert all(abs(c.score - c.log_prob / c.tokens**0.5) < 1e-4 for c in captions)


def test_a_sign_of_doubt_stands_in_its_column_once_that_is_written():
    doubt = Doubt("hypothesis-0", "mean_log_prob", -0.4, 0.7, 50, 30, 27, 6)
    results = tuple(ColumnResult(spec.id, spec.method, spec.label, 0.1, CAPTIONS[:1], True) for spec in SPECS)
    done = Comparison("a.png", "fake", 0.1, results, done=True)
    columns = comparison_columns(SPECS, done, "", doubt)
    assert "6 of 27 test photographs; a likelier one in 30 of 50" in columns["hypothesis-0"]
    assert not any("Unsure" in columns[id] for id in ("beam", "sampling"))
    writing = replace(done, done=False)
    for comparison, other in ((done, None), (done, replace(doubt, threshold=-0.5)), (writing, doubt)):
        assert "Unsure" not in comparison_columns(SPECS, comparison, "", other)["hypothesis-0"]


def test_a_sign_of_doubt_by_the_agreement_of_beams():
    doubt = Doubt("hypothesis-0", "agreement_of_beams", 0.8, 0.7, 50, 30, 27, 6, beams=2)
    texts = {"hypothesis-0": ("A cat.",), "beam": ("A cat.", "A dog."), "sampling": ("A cat.",)}

    def shown(texts):
        results = tuple(
            ColumnResult(s.id, s.method, s.label, 0.1, tuple(Caption(t, -1.0, -0.5, 2) for t in texts[s.id]), True)
            for s in SPECS
        )
        return comparison_columns(SPECS, Comparison("a.png", "fake", 0.1, results, done=True), "", doubt)

    columns = shown(texts)
    assert "agree as little as here, this hypothesis named the main thing in 6 of 27 test" in columns["hypothesis-0"]
    assert "where they agree more, in 30 of 50" in columns["hypothesis-0"] and "Unsure" not in columns["beam"]
    for agreeing in (("A cat.", "A cat."), ("A cat.",)):  # of one candidate nothing is known
        assert "Unsure" not in shown(texts | {"beam": agreeing})["hypothesis-0"]


@pytest.fixture
def translated() -> Comparison:
    """A comparison with a French caption that the small phrasebook knows, alone and in a list."""
    french = Caption("Sur une plage, un chat se trouve à gauche.", -1.0, -0.1, 10)
    free = replace(french, text="Un grand chat dort sur la plage avec deux pommes.")
    results = tuple(
        ColumnResult(spec.id, spec.method, spec.label, 0.1, captions, True)
        for spec, captions in zip(SPECS, ((french,), (french, free), CAPTIONS), strict=True)
    )
    return Comparison("a.png", "fake", 0.1, results, done=True)


def test_a_french_caption_has_its_translation_under_it_on_the_english_page_once_it_is_written(translated):
    done, book = translated, phrasebook_of(SMALL)
    columns = comparison_columns(SPECS, done, "", phrasebook=book)
    line = (
        '<p class="translation" lang="en"><span class="sr-only">Translation: </span>On a beach, a cat is on the left.'
        "</p>"
    )
    assert columns["hypothesis-0"].count(line) == columns["beam"].count(line) == 1
    assert "translation" not in columns["sampling"]
    writing = replace(done, done=False)
    for comparison, texts, other in ((writing, ENGLISH, book), (done, FRENCH, book), (done, ENGLISH, None)):
        shown = comparison_columns(SPECS, comparison, "", texts=texts, phrasebook=other)
        assert "translation" not in "".join(shown.values())


def test_a_translation_is_as_wide_as_its_caption_in_a_list(translated, browser):
    columns = comparison_columns(SPECS, translated, "", phrasebook=phrasebook_of(SMALL))
    page = browser.new_page()
    page.set_content(f"<style>{STYLE.read_text(encoding='utf-8')}</style>{columns['beam']}")
    caption, translation = (page.locator(f"li .{name}").first.bounding_box() for name in ("caption", "translation"))
    assert (translation["x"], translation["width"]) == (caption["x"], caption["width"])
    assert translation["y"] >= caption["y"] + caption["height"]
    page.close()
