"""The score of a visitor's own caption as HTML: which hypothesis wins it, and by which words."""

from __future__ import annotations

from html import escape

from lora_mcl.scores import CaptionScore, SystemScore
from ui.columns import NUM_ACCENTS
from ui.texts.texts import ENGLISH, Texts

# Nats at which a token's background has its full strength: about one in 3,000.
_FULL = 8.0
# Words that decided: at most so many, and each with this part of the winner's margin at least.
_MOST_WORDS, _LEAST_PART = 3, 0.15


def score_html(score: CaptionScore, texts: Texts = ENGLISH) -> str:
    """The verdict, the words that decided, and every system's log-probability of every token."""
    sentences = [score.window.notice if score.window else "", *score.notices, score.unknown_notice]
    notices = "".join(f'<p class="notice">{escape(texts(sentence))}</p>' for sentence in sentences if sentence)
    systems = "".join(
        _system_html(score, system, f"accent-{k % NUM_ACCENTS}", f'<span class="badge">{k + 1}</span>', texts)
        for k, system in enumerate(score.hypotheses)
    )
    rule = texts(
        "Training gives each caption mostly to the hypothesis under which it is likeliest (winner takes all): this one "
        "would go to <b>{winner}</b>.",
        winner=escape(texts(score.winner.label)),
    )
    note = texts(
        "Under each word is its log-probability in nats: the stronger its colour, the less this system expected it "
        "after the words before. NLL is the sum with its sign turned; less is likelier."
    )
    return (
        f'<section class="score" aria-label="{texts("Score of your caption")}">{notices}'
        f'<p class="verdict">{_verdict(score, texts)}</p><p class="rule">{rule}</p>'
        f"{systems}{_system_html(score, score.baseline, 'baseline', '', texts)}"
        f'<p class="note">{note}</p></section>'
    )


def refusal_html(message: str) -> str:
    """A sentence in place of a score."""
    return f'<section class="score"><p class="notice" role="alert">{escape(message)}</p></section>'


def deciding_words(score: CaptionScore) -> list[tuple[str, float]]:
    """Words that the winner gives more log-probability than the next hypothesis, with the difference in nats.

    The largest first, at most three, and only those with a good part of the whole difference.
    """
    second = score.runner_up
    if second is None:
        return []
    margin = second.nll - score.winner.nll
    gains = [
        ("".join(score.tokens[word]).strip(), sum(score.winner.log_probs[word]) - sum(second.log_probs[word]))
        for word in score.words()
    ]
    large = [(text, gain) for text, gain in gains if text and gain >= max(_LEAST_PART * margin, 0.05)]
    return sorted(large, key=lambda pair: -pair[1])[:_MOST_WORDS]


def _verdict(score: CaptionScore, texts: Texts) -> str:
    winner, second = score.winner, score.runner_up
    if second is None:
        return texts("<b>{winner}</b> is the only hypothesis.", winner=escape(texts(winner.label)))
    margin = second.nll - winner.nll
    sentence = texts(
        "Likeliest under <b>{winner}</b>, {margin:.1f} nats ahead of {second} ({mean:.2f} per token).",
        winner=escape(texts(winner.label)),
        margin=margin,
        second=escape(texts(second.label)),
        mean=margin / len(score.tokens),
    )
    words = deciding_words(score)
    if words:
        decided = ", ".join(texts("“{word}” (+{gain:.1f})", word=escape(text), gain=gain) for text, gain in words)
        sentence += " " + texts("The words that decided: {words}.", words=decided)
    return sentence


def _system_html(score: CaptionScore, system: SystemScore, kind: str, badge: str, texts: Texts) -> str:
    won = system is score.winner
    note = ""
    if won:
        note = f" <em>{texts('winner')}</em>"
    elif system is score.baseline:
        note = f" <i>{texts('baseline')}</i>"
    tokens = "".join(_word_html(score, system, word, texts) for word in score.words())
    figures = texts("NLL {nll:.1f} nats · {mean:.2f} per token", nll=system.nll, mean=system.mean_nll)
    return (
        f'<div class="scored {kind}{" winner" if won else ""}" data-system="{escape(system.id)}">'
        f"<h3>{badge}{escape(texts(system.label))}{note}</h3>"
        f'<p class="figures">{figures}</p><p class="tokens" lang="">{tokens}</p></div>'
    )


def _word_html(score: CaptionScore, system: SystemScore, word: slice, texts: Texts) -> str:
    pairs = zip(score.tokens[word], system.log_probs[word], strict=True)
    tokens = [_token_html(text, value, texts) for text, value in pairs]
    if word.stop == len(score.tokens):
        tokens[-1] = _token_html(texts("end"), system.log_probs[-1], texts, "end")
    return f'<span class="word">{"".join(tokens)}</span> '


def _token_html(text: str, log_prob: float, texts: Texts, kind: str = "") -> str:
    heat = round(min(1.0, -log_prob / _FULL), 2)
    shown = escape(text.strip()) or "·"
    value = texts.number(round(log_prob, 1) + 0.0, ".1f").replace("-", "−")  # no minus before 0.0
    return f'<span class="token {kind}" style="--heat:{heat}">{shown}<small>{value}</small></span>'
