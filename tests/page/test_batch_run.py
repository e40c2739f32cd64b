"""Progress of a batch, its rows and its downloads."""

import csv
import json
import re

import pytest

from lora_mcl.batch import BatchCaptioner, BatchFile
from lora_mcl.phrasebook import phrasebook_of
from lora_mcl.report import CaptionedFile
from lora_mcl.types import CompareOptions
from tests.support.captioned import captioned, captioned_sound
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.small_phrasebook import SMALL
from ui.batch_run import BatchRuns, Progress, duration, progress_of, write_downloads
from ui.batch_table import row_figures, row_html
from ui.texts.texts import ENGLISH, FRENCH


def captioners(captioner=None):
    return {"image": BatchCaptioner(captioner or FakeCaptioner(), CompareOptions())}


def test_progress_comes_after_every_file(picture, tmp_path):
    files = [BatchFile("a.png", picture), BatchFile("gone.png", tmp_path / "gone.png"), BatchFile("b.png", picture)]
    states = list(progress_of(files, captioners(), at_once=1))
    assert [(state.done, state.failed, state.is_over) for state in states] == [
        (0, 0, False),
        (1, 0, False),
        (2, 1, False),
        (3, 1, False),
        (3, 1, True),
    ]
    assert states[-1].sentence().startswith("2 of 3 files captioned in about ")
    assert states[-1].sentence().endswith(" 1 could not be captioned: see its row.")


def test_the_time_left_is_that_of_the_others(picture):
    pair = (0, captioned(picture))
    assert Progress((pair,), 4, 10.0).seconds_left == 30.0
    assert Progress((pair,), 4, 10.0).sentence() == "1 of 4 · about 30 s left"
    assert Progress((), 4, 10.0).seconds_left is None and Progress((), 4, 10.0).sentence() == "0 of 4"
    assert Progress((pair,), 4, 10.0, is_over=True).sentence() == "Stopped. 1 of 4 files are captioned, and stay."
    assert [duration(s) for s in (0, 0.2, 99, 101, 179.5, 181)] == [
        "about 1 s",
        "about 1 s",
        "about 99 s",
        "about 2 min",
        "about 3 min",
        "about 4 min",
    ]


def test_the_downloads_are_in_the_order_given(picture, clip, tmp_path):
    entries = ((2, captioned(picture, name="b.png")), (0, captioned_sound(clip)))
    failed = (1, CaptionedFile("c.png", picture, error="It is damaged."))
    table, data, report = write_downloads(Progress((*entries, failed), 3, 1.0, is_over=True), tmp_path)
    assert [file["file"] for file in json.loads(data.read_text())["files"]] == ["clip.wav", "c.png", "b.png"]
    rows = list(csv.DictReader(table.open(encoding="utf-8-sig", newline="")))
    assert list(dict.fromkeys(row["file"] for row in rows)) == ["clip.wav", "c.png", "b.png"]
    assert table.read_bytes().startswith("\ufeff".encode())
    text = report.read_text(encoding="utf-8")
    assert "Captions of 3 files" in text and text.count("<article") == 3 and "It is damaged." in text


def test_figures_compare_captions_of_one_language_only():
    captions = tuple(sentence for _, _, sentence in HYPOTHESES)
    figures = row_figures(captions)
    # The first caption's two, sheep, red, bicycle are among the second's; it also has beach, stand and left.
    assert figures.disagreement == pytest.approx(1 - 4 / 7)
    assert figures.words == 13 and figures.languages == ("en", "fr")
    assert row_figures((captions[0], captions[2])).disagreement is None
    assert row_figures(("A cow is on the grass.", "a cow is on the grass", captions[2])).disagreement == 0
    assert row_figures(()).words == 0


def test_a_row_has_what_the_page_sorts_by(picture, clip):
    row = row_html(3, captioned(picture))
    found = dict(re.findall(r'data-(index|words|disagreement|languages|state)="([^"]*)"', row))
    assert found == {"index": "3", "words": "13", "disagreement": "0.4286", "languages": "en fr", "state": "done"}
    assert row.count("<td") == 5 + 1 and "data:image/jpeg;base64," in row and 'lang="fr"' in row
    assert "<audio" in row_html(0, captioned_sound(clip))


def test_a_caption_in_another_language_has_its_meaning_in_the_page_s(picture):
    french = ("French", "", "Sur une plage, deux moutons se trouvent au milieu.")
    entry = captioned(picture, FakeCaptioner(hypotheses=(french, ("English", "", "two sheep"))))
    meaning = '<p class="translation" lang="en">On a beach, two sheep are in the middle.</p>'
    phrasebooks = {"fake": phrasebook_of(SMALL)}
    assert row_html(0, entry, ENGLISH, phrasebooks).count(meaning) == 1
    assert "translation" not in row_html(0, entry, FRENCH, phrasebooks) + row_html(0, entry)


def test_hostile_texts_in_rows_are_escaped(picture):
    evil = '<script>alert("1")</script>'
    entry = captioned(picture, FakeCaptioner(hypotheses=((evil, evil, evil),)), name=evil)
    assert "<script" not in row_html(0, entry) + row_html(1, CaptionedFile(evil, picture, error=evil))


def test_a_new_batch_of_a_session_ends_the_one_before():
    runs = BatchRuns()
    assert runs.stop_of("a").is_set()  # nothing has begun
    runs.begin("a")
    first = runs.stop_of("a")
    assert not first.is_set()
    runs.begin("b")
    runs.begin("a")
    assert first.is_set() and not runs.stop_of("a").is_set() and not runs.stop_of("b").is_set()
    runs.stop("a")
    assert runs.stop_of("a").is_set() and not runs.stop_of("b").is_set()
    last = runs.stop_of("b")
    runs.forget("b")
    runs.forget("b")
    assert last.is_set()
