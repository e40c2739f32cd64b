"""The score of a visitor's caption as HTML: which words decided, and that nothing of it is trusted."""

from lora_mcl.scores import CaptionScore, SystemScore
from ui.score_view import deciding_words, score_html


def score_of(tokens: tuple[str, ...], *rows: tuple[float, ...], labels=("One", "Two", "Three")) -> CaptionScore:
    systems = [SystemScore(f"hypothesis-{k}", labels[k], row) for k, row in enumerate(rows[:-1])]
    return CaptionScore("a.png", "m", "".join(tokens), tokens, tuple(systems), SystemScore("baseline", "B", rows[-1]))


def test_deciding_words_by_hand():
    score = score_of(
        ("A", " small", " c", "at", ""), (-1, -1, -4, -3, -1), (-1, -2.5, -1, -1, -1), (-9, -9, -9, -9, -9), (0,) * 5
    )
    # The second wins: 10 to 6.5. "cat" brings 5 nats, "small" takes 1.5.
    assert score.winner.id == "hypothesis-1" and deciding_words(score) == [("cat", 5.0)]
    page = score_html(score)
    assert "Likeliest under <b>Two</b>, 3.5 nats ahead of One (0.70 per token)." in page
    assert "The words that decided: “cat” (+5.0)." in page
    assert "this one would go to <b>Two</b>" in page


def test_at_most_three_words_decide_and_small_ones_do_not():
    second = (-2.0, -3.0, -4.0, -5.0, -1.1, -1.0)
    score = score_of(("a", " b", " c", " d", " e", ""), (-1.0,) * 6, second, (0,) * 6)
    assert deciding_words(score) == [("d", 4.0), ("c", 3.0), ("b", 2.0)]
    assert deciding_words(score_of(("a", ""), (-1, -1), (0, 0))) == []


def test_heat_is_the_surprise():
    page = score_html(score_of(("a", " b", ""), (-2.0, -20.0, -0.01), (0.0, 0.0, 0.0)))
    assert '--heat:0.25">a<small>−2.0</small>' in page and '--heat:1.0">b<small>−20.0</small>' in page
    assert "−0.0" not in page and "<small>0.0</small>" in page
    assert 'class="token end"' in page and "is the only hypothesis" in page


def test_captions_and_labels_are_escaped():
    score = score_of(("<script>", ""), (-1.0, -1.0), (-2.0, -1.0), (0, 0), labels=("<img>", "x"))
    page = score_html(score)
    assert "<script" not in page and "&lt;script&gt;" in page and "<img" not in page and "&lt;img&gt;" in page
