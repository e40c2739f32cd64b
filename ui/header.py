"""The page's title with its drawing, and the folded guide to reading it."""

from __future__ import annotations

from collections.abc import Sequence

from lora_mcl.texts import LANGUAGES, Language
from lora_mcl.types import ColumnSpec
from ui.modality import AUDIO, IMAGE, ModalityText
from ui.texts.texts import COOKIE, ENGLISH, PARAMETER, Texts

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NAMES: dict[Language, str] = {"en": "English", "fr": "Français"}


def header_html(media: Sequence[ModalityText], num_hypotheses: int, texts: Texts = ENGLISH) -> str:
    """The page's title, what it shows in two sentences, and the drawing of one model that answers K ways."""
    ways = texts(_NUMBERS[num_hypotheses]) if num_hypotheses < len(_NUMBERS) else str(num_hypotheses)
    one = texts(" or ").join(texts(modality.article) for modality in media)
    title = (
        texts("One model, one way of answering")
        if num_hypotheses == 1
        else texts("One model, {ways} ways of answering", ways=ways)
    )
    lead = texts(
        "{One} can be described in several right ways, but captioning programs tend to say one thing, or the same "
        "thing reworded. This model gives <b>{ways} answers of different kinds</b> at once: compare them with what the "
        "usual methods find.",
        One=one.capitalize(),
        ways=ways,
    )
    return (
        f'<div class="masthead"><div><p class="eyebrow">LoRA-MCL Studio {_switch(texts)}</p>'
        f'<h1>{title}</h1><p class="lead">{lead}</p></div>{_drawing(media[0], num_hypotheses)}</div>'
    )


def _switch(texts: Texts) -> str:
    """Links to the page in its other languages; the script keeps what else the address asks for."""
    others = "".join(
        f'<a class="language-switch" href="?{PARAMETER}={code}" hreflang="{code}" lang="{code}">{_NAMES[code]}</a>'
        for code in LANGUAGES
        if code != texts.language
    )
    return f'<span aria-hidden="true">·</span> {others}'


# The switch keeps the tab, and of a comparison what its link holds; a cookie keeps the language for the next visit.
_SWITCH_JS = f"""
element.addEventListener('click', (event) => {{
  const link = event.target.closest('.language-switch');
  if (!link) return;
  event.preventDefault();
  const kept = location.protocol === 'https:' ? 'SameSite=None; Secure; Partitioned' : 'SameSite=Lax';
  document.cookie = `{COOKIE}=${{link.lang}}; path=${{location.pathname}}; max-age=31536000; ${{kept}}`;
  const address = new URL(location);
  const shared = [...document.querySelectorAll('.link a')].find((a) => a.offsetParent);
  if (shared) {{
    for (const name of [...address.searchParams.keys()]) if (!name.startsWith('__')) address.searchParams.delete(name);
    for (const [name, value] of new URL(shared.href).searchParams) address.searchParams.set(name, value);
  }} else address.hash = document.querySelector('.studio-tabs [aria-selected=true]')?.dataset.tabId ?? '';
  address.searchParams.set('{PARAMETER}', link.lang);
  location = address;
}});
"""
# Links to tabs: by Gradio, as a tab's own button may be in the menu of those that found no room.
_TABS_JS = """
const openTab = () => { if (TABS.includes(location.hash.slice(1))) trigger('select'); };
document.addEventListener('click', (event) => {
  const link = event.target.closest('a.to-tab');
  if (!link) return;
  event.preventDefault();
  history.replaceState(null, '', link.hash);
  openTab();
});
addEventListener('hashchange', openTab);
openTab();
"""
OPEN_TAB_JS = """
() => {
  const selected = location.hash.slice(1);
  history.replaceState(null, '', location.pathname + location.search);
  return {__type__: 'update', selected};
}
"""


def header_js(tabs: Sequence[str]) -> str:
    """The title's script; its event ``select`` opens the tab that the address names, one of these ids."""
    return _SWITCH_JS + _TABS_JS.replace("TABS", repr(list(tabs)))


def figures_note_html(texts: Texts = ENGLISH) -> str:
    """What the figures of the columns are, to stand under them."""
    note = texts(
        "<b>log-prob.</b> is how likely a column's own model finds its caption: the sum over its tokens and, in "
        "brackets, their mean; nearer to 0 is likelier. Searches list captions by their <b>score</b>. Hypotheses and "
        "baselines are different models: compare these figures within a column, not across."
    )
    return f'<p class="figures-note">{note}</p>'


def guide_html(specs: tuple[ColumnSpec, ...], modality: ModalityText, texts: Texts = ENGLISH) -> str:
    """How to read the page, folded away."""
    count = sum(spec.method == "hypothesis" for spec in specs)
    entries = (
        (
            texts("Hypotheses"),
            texts(
                "{count} small add-ons (LoRA adapters) to one frozen model. In training, each caption taught mostly "
                "the add-on that already explained it best, so each came to speak for one kind of description.",
                count=count,
            )
            + " "
            + texts(modality.together),
        ),
        (
            texts("Beam search"),
            texts(
                "The usual way to get several captions from an ordinarily trained model: keep the likeliest unfinished "
                "sentences and extend them. The candidates are often near copies of each other."
            ),
        ),
        (
            texts("Diverse beam search"),
            texts(
                "The same, but the candidates are split into groups, and a group pays a penalty for a word that an "
                "earlier group has just used."
            ),
        ),
        (
            texts("Sampling"),
            texts(
                "Where the settings ask for it: captions drawn at random, a likely word more often than an unlikely "
                "one."
            ),
        ),
        (
            texts("log-prob."),
            texts(
                "How likely the model itself finds the caption, as a sum over its tokens: nearer to 0 is likelier. "
                "Long captions get lower sums, so compare captions of similar length. The hypotheses and the baselines "
                "are different models: their log-probabilities cannot be compared with each other."
            ),
        ),
        (
            texts("score"),
            texts(
                "What a search ranks its captions by: the log-probability for each token, unless the model's settings "
                "favour long or short ones; diverse beam search ranks within its groups."
            ),
        ),
        (
            texts(modality.own),
            texts("stay on the computer that runs this page and are deleted within about an hour."),
        ),
    )
    listed = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in entries)
    return f'<details class="guide"><summary>{texts("How to read this page")}</summary><dl>{listed}</dl></details>'


# What stands at the root of the drawing.
_ICONS = {
    IMAGE.name: (
        '<path class="picture" d="M10 96 l20 -26 14 16 9 -9 16 19"/><circle class="picture" cx="57" cy="62" r="5"/>'
    ),
    AUDIO.name: '<path class="picture" d="M16 71 v8 M25 63 v24 M34 68 v14 M43 56 v38 M52 65 v20 M61 71 v8"/>',
}


def _drawing(modality: ModalityText, num_hypotheses: int) -> str:
    """One line that splits into K, in the colours of the columns."""
    height, right = 150, 330
    gap = height / (num_hypotheses + 1)
    lines = []
    for k in range(num_hypotheses):
        y = round(gap * (k + 1), 1)
        lines.append(
            f'<g class="accent-{k % 6}"><path d="M130 75 C 190 75, 190 {y}, 250 {y} H {right - 52}"/>'
            f'<path class="words" d="M{right - 40} {y} h {34 - 10 * (k % 3)}"/>'
            f'<circle cx="{right - 52}" cy="{y}" r="5"/></g>'
        )
    return (
        f'<svg class="drawing" viewBox="0 0 {right} {height}" aria-hidden="true">'
        '<rect class="picture" x="4" y="47" width="70" height="56" rx="6"/>'
        f"{_ICONS[modality.name]}"
        f'<path class="trunk" d="M74 75 H 130"/>{"".join(lines)}'
        '<circle class="trunk" cx="130" cy="75" r="9"/></svg>'
    )
