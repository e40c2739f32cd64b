"""Words of all columns and of one alone, languages, and equal captions, without a browser."""

from lora_mcl.types import Caption, ColumnResult, ColumnSpec, Comparison
from ui.columns import comparison_columns
from ui.differences import column_words, folded, marked_html
from ui.diversity import diversity_html

SPECS = (
    ColumnSpec("hypothesis-0", "hypothesis", "One", ""),
    ColumnSpec("hypothesis-1", "hypothesis", "Two", ""),
    ColumnSpec("beam", "beam", "Beam search", ""),
)


def comparison(*columns: tuple[str, ...], done: bool = True) -> Comparison:
    results = tuple(
        ColumnResult(spec.id, spec.method, spec.label, 0.1, tuple(Caption(text, -1.0, -0.5, 2) for text in texts), done)
        for spec, texts in zip(SPECS, columns, strict=True)
    )
    return Comparison("a.png", "fake", 0.1, results, done=done)


SAME = comparison(
    ("Deux moutons sur une plage.",), ("Two sheep on the beach.",), ("two sheep", "Two sheep.", "A big sheep.")
)


def test_words_are_compared_within_one_language():
    found = column_words(SAME)
    assert [reading.language_names() for reading in found.values()] == ["French", "English", "English"]
    assert found["hypothesis-0"].marks == {}  # the only column in French
    english = found["hypothesis-1"].marks
    assert english == {"two": "shared", "sheep": "shared", "on": "unique", "the": "unique", "beach": "unique"}
    assert found["beam"].marks == {"two": "shared", "sheep": "shared", "a": "unique", "big": "unique"}


def test_marked_words_keep_the_text():
    marked = marked_html("L’orange & l'Orange, <b>", {"l'orange": "unique"})
    assert marked == (
        '<span class="word-unique">L’orange</span> &amp; <span class="word-unique">l&#x27;Orange</span>, &lt;b&gt;'
    )
    assert marked_html("<i>", {}) == "&lt;i&gt;"


def test_equal_candidates_are_folded():
    entries = folded(SAME.column("beam").captions)
    assert [(caption.text, count) for caption, count in entries] == [("two sheep", 2), ("A big sheep.", 1)]
    column = comparison_columns(SPECS, SAME, "")["beam"]
    assert column.count("<li>") == 2 and "2 times</b>" in column and "3 candidates, 2 wordings" in column
    one = comparison_columns(SPECS, comparison(("a",), ("b",), ("A koala.",) * 3), "")["beam"]
    assert one.count("<li>") == 1 and "3 candidates, 1 wording<" in one


def test_languages_and_copy_buttons_come_when_all_is_written():
    done, writing = (
        comparison_columns(SPECS, state, "") for state in (SAME, comparison(("Un",), ("A",), ("A",), done=False))
    )
    assert '<span class="language">French</span>' in done["hypothesis-0"]
    assert '<p class="caption" lang="fr">' in done["hypothesis-0"] and 'lang="en"' in done["beam"]
    assert [column.count('class="copy"') for column in done.values()] == [1, 1, 2]
    assert not any("copy" in column or "language" in column for column in writing.values())


def test_the_verdict_names_ties_and_what_language_contributes():
    page = diversity_html(SAME)
    assert "Compared with <b>Beam search</b>, the hypotheses have more wordings (2 against 1)." in page
    assert "The two hypotheses differ in language, and a translation" in page
    tie = diversity_html(
        comparison(("A cat on a mat.",), ("A dog on a mat.",), ("A cow by a barn.", "A hen by a barn."))
    )
    assert "as many wordings (2) and as many shared words (33%)" in tie
    assert "differ in language" not in tie
    assert "<td>2 of 2" in tie and "<td>English</td>" in tie and "mBLEU-4" in tie
