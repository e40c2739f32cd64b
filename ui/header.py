"""The page's title with its drawing, and the folded guide to reading it."""

from __future__ import annotations

from collections.abc import Sequence

from lora_mcl.types import ColumnSpec
from ui.modality import AUDIO, IMAGE, ModalityText

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def header_html(media: Sequence[ModalityText], num_hypotheses: int) -> str:
    """The page's title, what it shows in two sentences, and the drawing of one model that answers K ways."""
    ways = _NUMBERS[num_hypotheses] if num_hypotheses < len(_NUMBERS) else str(num_hypotheses)
    way = "way" if num_hypotheses == 1 else "ways"
    one = " or ".join(f"a {modality.noun}" for modality in media)
    return (
        '<div class="masthead"><div><p class="eyebrow">LoRA-MCL Studio</p>'
        f"<h1>One model, {ways} {way} of answering</h1>"
        f'<p class="lead">{one.capitalize()} can be described in more than one right way, yet captioning programs '
        "tend to say one thing, or the same thing reworded. This model was trained to give "
        f"<b>{ways} answers of different kinds</b> at once. Choose {one} and compare them with what the "
        "usual methods find.</p></div>"
        f"{_drawing(media[0], num_hypotheses)}</div>"
    )


def figures_note_html() -> str:
    """What the figures of the columns are, to stand under them."""
    return (
        '<p class="figures-note"><b>log-prob.</b> is how likely a column\'s own model finds its caption: the sum over '
        "its tokens and, in brackets, their mean; nearer to 0 is likelier. Searches list captions by their "
        "<b>score</b>. Hypotheses and baselines are different models: compare these figures within a column, not "
        "across.</p>"
    )


def guide_html(specs: tuple[ColumnSpec, ...], modality: ModalityText) -> str:
    """How to read the page, folded away."""
    count = sum(spec.method == "hypothesis" for spec in specs)
    return f"""<details class="guide"><summary>How to read this page</summary><dl>
<dt>Hypotheses</dt><dd>{count} small add-ons (LoRA adapters) to one frozen model. In training, each caption
taught mostly the add-on that already explained it best, so each came to speak for one kind of description.
Here they share one reading of the {modality.noun} and write at the same time, one token after the other.</dd>
<dt>Beam search</dt><dd>The usual way to get several captions from an ordinarily trained model: keep the
likeliest unfinished sentences and extend them. The candidates are often near copies of each other.</dd>
<dt>Diverse beam search</dt><dd>The same, but the candidates are split into groups, and a group pays a
penalty for a word that an earlier group has just used.</dd>
<dt>Sampling</dt><dd>Where the settings ask for it: captions drawn at random, a likely word more often than an unlikely
one.</dd>
<dt>log-prob.</dt><dd>How likely the model itself finds the caption, as a sum over its tokens: nearer to 0 is
likelier. Long captions get lower sums, so compare captions of similar length. The hypotheses and the baselines are
different models: their log-probabilities cannot be compared with each other.</dd>
<dt>score</dt><dd>What a search ranks its captions by: the log-probability for each token, unless the model's settings
favour long or short ones; diverse beam search ranks within its groups.</dd>
<dt>{modality.own}</dt><dd>stay on the computer that runs this page and are deleted within about an hour.</dd>
</dl></details>"""


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
