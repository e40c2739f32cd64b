"""One column of the comparison as HTML. Model text is escaped: it is never trusted."""

from __future__ import annotations

from html import escape
from typing import Literal

from lora_mcl.doubt import AGREEMENT_OF_BEAMS, Doubt
from lora_mcl.phrasebook import Translator
from lora_mcl.types import Caption, ColumnResult, ColumnSpec, Comparison
from ui.differences import ColumnWords, column_words, folded, marked_html
from ui.texts.texts import ENGLISH, Texts

State = Literal["idle", "waiting", "writing", "done", "stopped"]

# Colours in style.css; a model with more hypotheses starts over, and their numbers still distinguish them.
NUM_ACCENTS = 6
# Between a caption and its figures, which screen readers would otherwise read as one.
_SPOKEN_COMMA = '<span class="sr-only">, </span>'


def idle_columns(specs: tuple[ColumnSpec, ...], texts: Texts = ENGLISH) -> dict[str, str]:
    """Every column before anything is chosen, by column id."""
    return {spec.id: _column_html(spec, "idle", None, texts) for spec in specs}


def comparison_columns(
    specs: tuple[ColumnSpec, ...],
    comparison: Comparison,
    waiting: str,
    doubt: Doubt | None = None,
    texts: Texts = ENGLISH,
    phrasebook: Translator | None = None,
) -> dict[str, str]:
    """Every column of a comparison in progress, by column id; ``waiting`` is the text before the first word.

    Args:
        phrasebook: of the model's captions in another language; used where it translates into the page's.
    """
    used = phrasebook if phrasebook and phrasebook.target == texts.language else None
    known = column_words(comparison, used) if comparison.done else {}
    doubted = doubt.column if doubt and comparison.done and doubt.doubts(comparison) else None
    found = {}
    for spec, result in zip(specs, comparison.columns, strict=True):
        sign = doubt if spec.id == doubted else None
        state, words = _state(comparison, result), known.get(spec.id)
        found[spec.id] = _column_html(spec, state, result, texts, waiting, words, sign)
    return found


def _state(comparison: Comparison, result: ColumnResult) -> State:
    if result.done or comparison.done:
        return "done"
    if comparison.stopped:
        return "stopped"
    return "writing" if result.captions else "waiting"


def _column_html(
    spec: ColumnSpec,
    state: State,
    result: ColumnResult | None,
    texts: Texts,
    waiting: str = "",
    words: ColumnWords | None = None,
    doubt: Doubt | None = None,
) -> str:
    number = spec.number
    hypothesis = number is not None
    kind = f"hypothesis accent-{number % NUM_ACCENTS}" if hypothesis else "baseline"
    badge = f'<span class="badge">{number + 1}</span>' if hypothesis else ""
    captions = result.captions if result else ()
    # One tag for both states, so that the page updates this region in place and screen readers follow it.
    single = hypothesis and len(captions) < 2
    answers = _single(captions, words, texts) if single else _list(captions, words, texts)
    language = words.language_names(texts) if words else ""
    kind_name = f"{texts('Hypothesis')} {badge}" if hypothesis else texts("For comparison")
    label, description = escape(texts(spec.label)), escape(texts(spec.description))
    busy = "true" if state in ("waiting", "writing") else "false"
    provisional = spec.revises and state == "writing"
    note = _note(state, provisional, texts(waiting), texts)
    return (
        f'<section class="caption-column {kind}{" provisional" if provisional else ""}" '
        f'data-column="{escape(spec.id)}" data-state="{state}" aria-label="{label}">'
        f'<p class="kind">{kind_name}{_likeliest(result, texts)}{_badge(language)}</p><h3>{label}</h3>'
        f'<p class="what">{description}</p>'
        f'<div class="answers" aria-live="polite" aria-busy="{busy}">{answers}</div>'
        f'<p class="figures">{_figures(single, result, note, words, texts)}</p>'
        f"{_doubt(doubt, texts) if doubt else ''}"
        "</section>"
    )


def _badge(language: str) -> str:
    return f'<span class="language">{escape(language)}</span>' if language else ""


def _likeliest(result: ColumnResult | None, texts: Texts) -> str:
    """The sign of the hypothesis that is predicted to win, where the bundle can predict it."""
    if result is None or not result.predicted_winner or result.win_probability is None:
        return ""
    title = texts("Predicted before anything was written: how likely this hypothesis fits best of all")
    sign = texts("Most likely: {share:.0%}", share=result.win_probability)
    return f' <span class="likeliest" title="{escape(title)}">{sign}</span>'


def _by_score(captions: tuple[Caption, ...]) -> tuple[Caption, ...]:
    """Ranked captions in the order of the score that is shown; groups of a diverse search have each its own ranking."""
    if any(caption.score is None for caption in captions):
        return captions
    return tuple(sorted(captions, key=lambda caption: -caption.score))


def _single(captions: tuple[Caption, ...], words: ColumnWords | None, texts: Texts) -> str:
    return _caption(captions[0], 0, words, texts) if captions else '<p class="caption"></p>'


def _list(captions: tuple[Caption, ...], words: ColumnWords | None, texts: Texts) -> str:
    """The captions, best first; once all are written, equal ones are one entry."""
    ranked = _by_score(captions)
    entries = folded(ranked) if words else [(caption, 1) for caption in ranked]
    items = "".join(
        f"<li>{_caption(caption, captions.index(caption), words, texts)}<small>{_SPOKEN_COMMA}{_times(count, texts)}"
        f"{_score(caption, texts)}{_log_prob(caption, texts)}{_copy(words, texts)}</small></li>"
        for caption, count in entries
    )
    return f"<ol>{items}</ol>"


def _caption(caption: Caption, index: int, words: ColumnWords | None, texts: Texts) -> str:
    code = words.languages[index] if words else None
    language = f' lang="{code}"' if code else ""
    return f'<p class="caption"{language}>{_text(caption, words, texts)}</p>{_translation(index, words, texts)}'


def _translation(index: int, words: ColumnWords | None, texts: Texts) -> str:
    """A line under a caption in another language than the page's."""
    translated = words.translations[index] if words and words.translations else None
    if translated is None:
        return ""
    name = f'<span class="sr-only">{texts("Translation:")} </span>'
    return f'<p class="translation" lang="{texts.language}">{name}{escape(translated)}</p>'


def _text(caption: Caption, words: ColumnWords | None, texts: Texts) -> str:
    if not caption.text:
        return f'<span class="blank" lang="{texts.language}">{texts("(no words)")}</span>'
    return marked_html(caption.text, words.marks) if words else escape(caption.text)


def _times(count: int, texts: Texts) -> str:
    if count < 2:
        return ""
    times = texts("{count} times", count=count)
    return f'<b title="{texts("Candidates with this wording")}">{times}</b> · '


def _copy(words: ColumnWords | None, texts: Texts) -> str:
    if not words:
        return ""
    return f' <button class="copy" type="button" title="{texts("Copy this caption")}">{texts("Copy")}</button>'


def _redo(words: ColumnWords | None, texts: Texts) -> str:
    if not words:
        return ""
    title = texts("Write this column alone again, with the settings as they are now")
    return f' <button class="redo" type="button" title="{title}">{texts("Redo")}</button>'


def _note(state: State, provisional: bool, waiting: str, texts: Texts) -> str:
    if state == "stopped":
        return texts("Stopped")
    if provisional:
        title = texts("The best so far: the search may still replace them")
        return f'<span title="{title}">{texts("Provisional")}</span>'
    return waiting if state == "waiting" else ""


def _figures(single: bool, result: ColumnResult | None, note: str, words: ColumnWords | None, texts: Texts) -> str:
    components = [note] if note else []
    if result is None or not result.captions:
        return " · ".join(components)
    components.append(f"{texts.number(result.seconds, '.1f')} s")
    if single:
        (caption,) = result.captions
        tokens = texts("{count} tokens", count=caption.tokens)
        figures = [*components, tokens, _log_prob(caption, texts)]
        return " · ".join(figures) + _copy(words, texts) + _redo(words, texts)
    wordings = len(folded(result.captions)) if words else len(result.captions)
    if wordings < len(result.captions):
        folded_text = (
            texts("{count} candidates, 1 wording", count=len(result.captions))
            if wordings == 1
            else texts("{count} candidates, {wordings} wordings", count=len(result.captions), wordings=wordings)
        )
        components.append(f'<b class="folded">{folded_text}</b>')
    return " · ".join(components) + _redo(words, texts)


def _doubt(doubt: Doubt, texts: Texts) -> str:
    found = {
        "doubted_right": doubt.doubted_right,
        "doubted": doubt.doubted,
        "sure_right": doubt.sure_right,
        "sure": doubt.sure,
    }
    if doubt.signal == AGREEMENT_OF_BEAMS:
        sentence = texts(
            "Where the candidates of beam search agree as little as here, this hypothesis named the main thing in "
            "{doubted_right} of {doubted} test photographs; where they agree more, in {sure_right} of {sure}.",
            **found,
        )
    else:
        sentence = texts(
            "So unlikely a caption named the main thing in {doubted_right} of {doubted} test photographs; a likelier "
            "one in {sure_right} of {sure}.",
            **found,
        )
    right = texts(
        "Right about the main thing in {right} of {total} test photographs like this.",
        right=doubt.doubted_right,
        total=doubt.doubted,
    )
    return f'<details class="doubt"><summary><b>{texts("Unsure.")}</b> {right}</summary><p>{sentence}</p></details>'


def _log_prob(caption: Caption, texts: Texts) -> str:
    total, mean = _number(caption.log_prob, 1, texts), _number(caption.mean_log_prob, 2, texts)
    per_token = texts("({mean} per token)", mean=mean)
    return f"<span>{texts('log-prob.')} {total}</span> <span>{per_token}</span>"


def _score(caption: Caption, texts: Texts) -> str:
    """What the captions of a search are ranked by, to stand before the log-probability; nothing without ranking."""
    if caption.score is None:
        return ""
    score = _number(caption.score, 2, texts)
    return f'<span title="{texts("The captions are in this order")}">{texts("score")} {score}</span> · '


def _number(value: float, decimals: int, texts: Texts) -> str:
    return texts.number(value, f".{decimals}f").replace("-", "−")
