"""The page's words about itself, for readers who have never heard of a language model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lora_mcl.types import ColumnSpec
from ui.modality import AUDIO, IMAGE, Medium

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class About:
    """What the loaded model can and cannot do.

    Attributes:
        can: what it was made for, with measured figures where there are any.
        cannot: where to expect mistakes.
    """

    can: str
    cannot: str


def about_embedded(training: Mapping[str, Any], results: Path) -> About:
    """About the small model that comes with the repository.

    Args:
        training: the bundle's training summary; ``concepts`` and ``places`` are counts of its vocabulary.
        results: the file of measured figures; nothing is claimed where it is missing.
    """
    vocabulary = "everyday things and places"
    if "concepts" in training and "places" in training:
        vocabulary = f"{training['concepts']} everyday things and {training['places']} places"
    can = (
        f"It is tiny and runs on any computer. It learned {vocabulary} from composed scenes: drawings and "
        "cut-out photographs of animals, food, vehicles, clothes, furniture … set into photographs."
    )
    if results.is_file():
        test = json.loads(results.read_text(encoding="utf-8"))["test"]
        best = test["generation"]["caption-gate"]["best"]
        can += (
            f" On {test['captioned']:,} scenes kept aside for testing, the best of its answers named "
            f"{best['recall']:.0%} of the things shown; {best['precision']:.0%} of what it named was "
            f"there; and one of the answers had the place right in {best['place_right']:.0%}."
        )
    return About(
        can=can,
        cannot=(
            "It does not read writing or know people, brands or what they are doing. Faced with something "
            "it has no word for, or a crowded photograph, it names whatever looks alike, just as confidently. "
            "Most examples on this page were chosen because it describes them well; expect less of your own."
        ),
    )


def about_embedded_audio(training: Mapping[str, Any], results: Path) -> About:
    """About the small audio model that comes with the repository.

    Args:
        training: the bundle's training summary; ``sounds`` and ``backgrounds`` are counts of its vocabulary.
        results: the file of measured figures; nothing is claimed where it is missing.
    """
    vocabulary = "everyday sounds"
    if "sounds" in training and "backgrounds" in training:
        vocabulary = f"{training['sounds']} everyday sounds and {training['backgrounds']} backgrounds"
    can = (
        f"It is tiny and runs on any computer. It learned {vocabulary} from mixed clips: animals, vehicles, tools, "
        "weather, people, musical instruments …"
    )
    if results.is_file():
        measured = json.loads(results.read_text(encoding="utf-8"))
        found = [measured[split]["generation"]["caption-gate"] for split in ("test", "seen")]
        new, known = (one["best"] for one in found)
        can += (
            f" On {measured['test']['captioned']:,} clips of recordings that it never heard, the best of its answers "
            f"named {new['recall']:.0%} of the sounds, and the kind (an animal, a machine …) of "
            f"{new['family_recall']:.0%}; with recordings that it knows, mixed anew, {known['recall']:.0%} and "
            f"{known['family_recall']:.0%}. Of all its answers, {found[0]['mean']['nothing_wrong']:.0%} said nothing "
            f"wrong of new recordings, and {found[1]['mean']['nothing_wrong']:.0%} of those that it knows."
        )
    return About(
        can=can,
        cannot=(
            "It does not understand what is said, and knows no songs, voices or languages by name but English and "
            "French. Of a sound unlike the recordings it learned from, it tells only the kind (“an animal makes a "
            "noise”) or how it sounds (“something makes a short low noise”), or takes it for another one; of several "
            "at once, it often tells only some, or makes one up. The examples on this page were chosen "
            "because it describes them well; expect less of your own."
        ),
    )


def about_bundle(name: str) -> About:
    """About any other model: its own card knows more."""
    return About(
        can=f"This page runs {name}. Its model card says what it was trained on and how well it does.",
        cannot="Captions are a model's guesses: they can be wrong, and sound sure all the same.",
    )


def header_html(media: Sequence[Medium], num_hypotheses: int) -> str:
    """The page's title, what it shows in two sentences, and the drawing of one model that answers K ways."""
    ways = _NUMBERS[num_hypotheses] if num_hypotheses < len(_NUMBERS) else str(num_hypotheses)
    way = "way" if num_hypotheses == 1 else "ways"
    one = " or ".join(f"a {medium.noun}" for medium in media)
    return (
        '<div class="masthead"><div><p class="eyebrow">LoRA-MCL Studio</p>'
        f"<h1>One model, {ways} {way} of answering</h1>"
        f'<p class="lead">{one.capitalize()} can be described in more than one right way, yet captioning programs '
        "tend to say one thing, or the same thing reworded. This model was trained to give "
        f"<b>{ways} answers of different kinds</b> at once. Choose {one} and compare them with what the "
        "usual methods find.</p></div>"
        f"{_drawing(media[0], num_hypotheses)}</div>"
    )


def about_html(about: About) -> str:
    """The honest note beside the examples."""
    return (
        '<section class="about" aria-label="What this model can and cannot do">'
        f"<p><b>What it can do.</b> {escape(about.can)}</p>"
        f"<p><b>What it cannot.</b> {escape(about.cannot)}</p></section>"
    )


def guide_html(specs: tuple[ColumnSpec, ...], medium: Medium) -> str:
    """How to read the page, folded away."""
    count = sum(spec.method == "hypothesis" for spec in specs)
    return f"""<details class="guide"><summary>How to read this page</summary><dl>
<dt>Hypotheses</dt><dd>{count} small add-ons (LoRA adapters) to one frozen model. In training, each caption
taught mostly the add-on that already explained it best, so each came to speak for one kind of description.
Here they share one reading of the {medium.noun} and write at the same time, one token after the other.</dd>
<dt>Beam search</dt><dd>The usual way to get several captions from an ordinarily trained model: keep the
likeliest unfinished sentences and extend them. The candidates are often near copies of each other.</dd>
<dt>Diverse beam search</dt><dd>The same, but the candidates are split into groups, and a group pays a
penalty for a word that an earlier group has just used.</dd>
<dt>Sampling</dt><dd>Where the settings ask for it: captions drawn at random, a likely word more often than an unlikely
one.</dd>
<dt>log-prob.</dt><dd>How likely the model itself finds the caption, as a sum over its tokens: nearer to 0 is
likelier. Long captions score lower, so compare captions of similar length.</dd>
<dt>{medium.own}</dt><dd>stay on the computer that runs this page and are deleted within about an hour.</dd>
</dl></details>"""


# What stands at the root of the drawing.
_ICONS = {
    IMAGE.name: (
        '<path class="picture" d="M10 96 l20 -26 14 16 9 -9 16 19"/><circle class="picture" cx="57" cy="62" r="5"/>'
    ),
    AUDIO.name: '<path class="picture" d="M16 71 v8 M25 63 v24 M34 68 v14 M43 56 v38 M52 65 v20 M61 71 v8"/>',
}


def _drawing(medium: Medium, num_hypotheses: int) -> str:
    """One line that parts into K, in the colours of the columns."""
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
        f"{_ICONS[medium.name]}"
        f'<path class="trunk" d="M74 75 H 130"/>{"".join(lines)}'
        '<circle class="trunk" cx="130" cy="75" r="9"/></svg>'
    )
