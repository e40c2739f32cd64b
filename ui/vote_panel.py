"""The blind vote of a tab: captions without names in shuffled order, then who wrote what and how often it is kept."""

from __future__ import annotations

import random
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError
from lora_mcl.languages import language_of
from lora_mcl.phrases import Phrase
from lora_mcl.types import Comparison
from ui.html import html
from ui.sessions import Finished, Sessions
from ui.texts.static import InBrowser
from ui.texts.texts import ENGLISH, FRENCH, Texts, texts_for
from ui.votes import Ballot, VoteOption, VoteStore, WinRate, content_hash, rates_dict

SAME = Phrase("All columns wrote the same: there is nothing to choose.")
MIXED = Phrase("Columns written with different settings are not voted on.")

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

# While a vote is open, the columns with their names are hidden. Keys 1 to 9 choose.
_PANEL_JS = """
const panel = element.closest('[role=tabpanel]');
const isBlind = () => panel.querySelector('.blind-vote input').checked;
const update = () => panel.classList.toggle('blind', isBlind() && !element.querySelector('[data-revealed]'));
watch('value', update);
panel.addEventListener('change', ({target}) => { if (target.closest('.blind-vote')) update(); });
element.addEventListener('click', ({target}) => {
  const button = target.closest('button[data-choice]');
  if (button) trigger('click', {choice: Number(button.dataset.choice)});
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !element.offsetParent) return;
  if (event.target.closest('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]')) return;
  const button = element.querySelector(`button[data-choice="${Number(event.key) - 1}"]`);
  if (/^[1-9]$/.test(event.key) && button) { event.preventDefault(); button.click(); }
});
"""
# In place of the columns, until there is a ballot.
_AWAITED = "The captions come here without names, when all of them are written."
_AWAITED_TEXTS = {texts.language: texts(_AWAITED) for texts in (ENGLISH, FRENCH)}
_AWAITED_JS = f"${{({_AWAITED_TEXTS})[document.documentElement.lang] || '{_AWAITED}'}}"
_TEMPLATE = f'<p class="awaited">{_AWAITED_JS}</p>${{value}}'


@dataclass(frozen=True)
class VotePanel:
    """The components of a vote."""

    blind: gr.Checkbox
    panel: gr.HTML
    ballot: gr.State


def candidates_of(comparison: Comparison) -> tuple[VoteOption, ...]:
    """The best caption of every column, in the columns' order; those of equal words are one candidate."""
    columns: dict[str, list[tuple[str, str]]] = {}
    texts: dict[str, str] = {}
    for column in comparison.columns:
        if column.captions and column.captions[0].text:
            text = " ".join(column.captions[0].text.split())
            key = text.lower().rstrip(".")
            texts.setdefault(key, text)
            columns.setdefault(key, []).append((column.id, column.label))
    return tuple(VoteOption(texts[key], tuple(found)) for key, found in columns.items())


def ballot_of(finished: Finished, modality: str, draws: random.Random) -> Ballot | None:
    """A ballot in shuffled order; None where all columns say the same."""
    candidates = list(candidates_of(finished.comparison))
    if len(candidates) < 2:
        return None
    draws.shuffle(candidates)
    model, digest = finished.comparison.model, content_hash(finished.media)
    return Ballot(modality, model, digest, finished.options, tuple(candidates))


def ballot_html(ballot: Ballot, texts: Texts = ENGLISH) -> str:
    """The question with a button for each candidate."""
    buttons = "".join(
        f'<li><button type="button" data-choice="{place}"><span class="key">{place + 1}</span>'
        f'<span class="caption" lang="{language_of(candidate.caption) or ""}">{escape(candidate.caption)}</span>'
        "</button></li>"
        for place, candidate in enumerate(ballot.candidates)
    )
    how = texts("Press its number, or click it. The names come after your vote.")
    return (
        f'<section class="ballot" aria-label="{texts("Vote")}"><h2>{texts("Which caption would you keep?")}</h2>'
        f"<p>{how}</p><ol>{buttons}</ol></section>"
    )


def result_html(ballot: Ballot, choice: int, rates: tuple[WinRate, ...], votes: int, texts: Texts = ENGLISH) -> str:
    """Who wrote the chosen caption, and the win rates so far."""
    labels = [f"<b>{escape(texts(label))}</b>" for _, label in ballot.candidates[choice].columns]
    kept = texts("You kept the caption of {writers}.", writers=texts(" and ").join(labels))
    return (
        f'<section class="ballot" data-revealed aria-label="{texts("Vote")}"><h2><span role="status">{kept}</span></h2>'
        f"{rates_html(rates, votes, texts)}</section>"
    )


def rates_html(rates: tuple[WinRate, ...], votes: int, texts: Texts = ENGLISH) -> str:
    """The win rates as a table with their 95 % intervals."""
    if not rates:
        return f"<p>{texts('No votes yet.')}</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(texts(rate.label))}</th>'
        f"<td>{texts('{count} of {total}', count=rate.wins, total=rate.shown)}</td>"
        f"<td>{texts.number(rate.share, '.0%')}</td>"
        f"<td>{texts('{low:.0%} to {high:.0%}', low=rate.low, high=rate.high)}"
        f'<span class="interval" aria-hidden="true"><i style="margin-left:{100 * rate.low:.1f}%;'
        f'width:{100 * (rate.high - rate.low):.1f}%"></i></span></td></tr>'
        for rate in rates
    )
    count = (
        texts("1 vote so far on this computer.")
        if votes == 1
        else texts("{votes} votes so far on this computer.", votes=votes)
    )
    together = texts("Columns that wrote the same words win together.")
    headings = (texts("Column"), texts("Kept"), texts("Share"), texts("95% interval (Wilson)"))
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    return f"<p>{count} {together}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def no_vote_html(reason: str, texts: Texts = ENGLISH) -> str:
    """In place of a ballot where there is none."""
    status = f'<p role="status">{texts(reason)}</p>'
    return f'<section class="ballot" data-revealed aria-label="{texts("Vote")}">{status}</section>'


def blind_checkbox(modality: str) -> gr.Checkbox:
    """The switch of blind votes, to stand with the tab's buttons."""
    return gr.Checkbox(
        label=InBrowser("Blind vote: captions without names first"),
        value=False,
        container=False,
        elem_id=f"{modality}-blind",
        elem_classes="blind-vote",
    )


def vote_panel(sessions: Sessions, finished: gr.State, blind: gr.Checkbox, store: VoteStore) -> VotePanel:
    """Build the panel under the columns, and connect it."""
    modality = sessions.modality.name
    ballot = gr.State(None)
    panel = html("", html_template=_TEMPLATE, js_on_load=_PANEL_JS, elem_id=f"{modality}-vote", elem_classes="vote")
    draws = random.Random()

    def open_vote(finished: Finished | None, blind: bool, request: gr.Request) -> tuple[Any, str]:
        texts = texts_for(request)
        if finished is None or not blind:
            return None, ""
        if finished.redone:
            return None, no_vote_html(MIXED, texts)
        try:
            made = ballot_of(finished, modality, draws)
        except OSError:  # the upload no longer exists
            return None, ""
        return made, ballot_html(made, texts) if made else no_vote_html(SAME, texts)

    def vote(ballot: Ballot | None, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        texts = texts_for(request)
        if ballot is None:
            return None, gr.skip()
        try:
            store.add(ballot, event.choice)
        except LoraMclError as error:
            raise gr.Error(texts.error(error), title=texts("Error"), print_exception=False) from None
        rates = store.win_rates(modality, ballot.model)
        return None, result_html(ballot, event.choice, rates, store.count(modality, ballot.model), texts)

    # Not "once": a comparison that ends while the switch is still being answered must not lose its vote.
    gr.on(
        [finished.change, blind.input],
        open_vote,
        [finished, blind],
        [ballot, panel],
        trigger_mode="always_last",
        **_PRIVATE,
    )
    panel.click(vote, ballot, [ballot, panel], **_PRIVATE)
    return VotePanel(blind, panel, ballot)


def connect_vote_endpoints(sessions: Sessions, store: VoteStore, folder: str) -> None:
    """Add ``/votes_image`` or ``/votes_audio``: the win rates, and all votes as a CSV file."""
    modality = sessions.modality.name

    def votes() -> tuple[Any, str]:
        model = sessions.captioner.name
        file = Path(mkdtemp(dir=folder)) / "votes.csv"
        with file.open("w", encoding="utf-8-sig", newline="") as opened:
            store.write_csv(opened)
        return rates_dict(store.win_rates(modality, model), store.count(modality, model)), str(file)

    votes.__name__ = f"votes_{modality}"
    votes.__doc__ = (
        "Win rates of the blind votes on this server's model, and every vote.\n\n"
        "Returns:\n    ``votes`` and ``columns``, each with ``wins``, ``shown``, ``share`` and the Wilson interval "
        "``low`` to ``high`` of 95 %; and a CSV file with a row for each column of each vote.\n"
    )
    gr.Button(visible=False).click(
        votes, None, [gr.JSON(visible=False), gr.File(visible=False)], api_name=f"votes_{modality}"
    )
