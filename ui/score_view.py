"""The score of a visitor's own caption as HTML: which hypothesis wins it, and by which words."""

from __future__ import annotations

from html import escape

from lora_mcl.scores import CaptionScore, SystemScore
from ui.columns import NUM_ACCENTS

# Nats at which a token's background has its full strength: about one in 3,000.
_FULL = 8.0
# Words that decided: at most so many, and each with this part of the winner's margin at least.
_MOST_WORDS, _LEAST_PART = 3, 0.15
_RULE = (
    "Training gives each caption mostly to the hypothesis under which it is likeliest (winner takes all): "
    "this one would go to"
)


def score_html(score: CaptionScore) -> str:
    """The verdict, the words that decided, and every system's log-probability of every token."""
    sentences = [score.window.notice if score.window else "", *score.notices, score.unknown_notice]
    notices = "".join(f'<p class="notice">{escape(sentence)}</p>' for sentence in sentences if sentence)
    systems = "".join(
        _system_html(score, system, f"accent-{k % NUM_ACCENTS}", f'<span class="badge">{k + 1}</span>')
        for k, system in enumerate(score.hypotheses)
    )
    return (
        f'<section class="score" aria-label="Score of your caption">{notices}'
        f'<p class="verdict">{_verdict(score)}</p><p class="rule">{_RULE} <b>{escape(score.winner.label)}</b>.</p>'
        f"{systems}{_system_html(score, score.baseline, 'baseline', '')}"
        '<p class="note">Under each word is its log-probability in nats: the darker, the less this system expected it '
        "after the words before. NLL is the sum with its sign turned; less is likelier.</p></section>"
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


def _verdict(score: CaptionScore) -> str:
    winner, second = score.winner, score.runner_up
    if second is None:
        return f"<b>{escape(winner.label)}</b> is the only hypothesis."
    margin = second.nll - winner.nll
    sentence = (
        f"Likeliest under <b>{escape(winner.label)}</b>, {_nats(margin)} ahead of {escape(second.label)} "
        f"({margin / len(score.tokens):.2f} per token)."
    )
    words = deciding_words(score)
    if words:
        decided = ", ".join(f"“{escape(text)}” (+{gain:.1f})" for text, gain in words)
        sentence += f" The words that decided: {decided}."
    return sentence


def _system_html(score: CaptionScore, system: SystemScore, kind: str, badge: str) -> str:
    won = system is score.winner
    note = " <em>winner</em>" if won else " <i>baseline</i>" if system is score.baseline else ""
    tokens = "".join(_word_html(score, system, word) for word in score.words())
    return (
        f'<div class="scored {kind}{" winner" if won else ""}" data-system="{escape(system.id)}">'
        f"<h3>{badge}{escape(system.label)}{note}</h3>"
        f'<p class="figures">NLL {_nats(system.nll)} · {system.mean_nll:.2f} per token</p>'
        f'<p class="tokens" lang="">{tokens}</p></div>'
    )


def _word_html(score: CaptionScore, system: SystemScore, word: slice) -> str:
    pairs = zip(score.tokens[word], system.log_probs[word], strict=True)
    tokens = [_token_html(text, value) for text, value in pairs]
    if word.stop == len(score.tokens):
        tokens[-1] = _token_html("end", system.log_probs[-1], "end")
    return f'<span class="word">{"".join(tokens)}</span> '


def _token_html(text: str, log_prob: float, kind: str = "") -> str:
    heat = round(min(1.0, -log_prob / _FULL), 2)
    shown = escape(text.strip()) or "·"
    value = f"{log_prob:.1f}".replace("-", "−")
    return f'<span class="token {kind}" style="--heat:{heat}">{shown}<small>{value}</small></span>'


def _nats(value: float) -> str:
    return f"{value:.1f} nats"
