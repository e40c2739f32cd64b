"""The grammar's French captions of sounds in English, as the file that the page translates by::

    python -m training.embedded.audio.captions.phrasebook

writes it into the embedded audio model's bundle (``lora_mcl.clause_phrasebook`` reads it).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE
from lora_mcl.phrasebook import PHRASEBOOK_FILE
from training.embedded.audio.annotation.timbre import Timbre, timbre_clause
from training.embedded.audio.captions import english, french
from training.embedded.audio.world.lexicon import Clause, load_lexicon

# English of each French template, with the same slots.
_ENGLISH = {
    "{a}": "{a}",
    "on entend {a.rel}": "you can hear {a.rel}",
    "voici {a.rel}": "this is {a.rel}",
    "le bruit {a.of}": "the sound of {a.of}",
    "il y a {a.rel}": "one hears {a.rel}",
    "{a}, puis {b}": "{a}, then {b}",
    "{a}, ensuite {b}": "{a}, after that {b}",
    "d'abord {a}, puis {b}": "first {a}, then {b}",
    "on entend {a.rel}, puis {b.rel}": "you can hear {a.rel}, then {b.rel}",
    "{b} après le bruit {a.of}": "{b} after the sound of {a.of}",
    "le bruit {a.of}, puis {b.of}": "the sound of {a.of}, then {b.of}",
    "{a} et {b} en même temps": "{a} and {b} at the same time",
    "{a} tandis {b.que}": "{a} while {b.que}",
    "on entend à la fois {a.rel} et {b.rel}": "you can hear both {a.rel} and {b.rel}",
    "le bruit {a.of} et {b.of}": "the sound of {a.of} and {b.of}",
    "{a} alors {b.que}": "{a} as {b.que}",
    "{a}, puis {b}, puis {c}": "{a}, then {b}, then {c}",
    "d'abord {a}, puis {b} et enfin {c}": "first {a}, then {b} and finally {c}",
    "on entend {a.rel}, puis {b.rel}, puis {c.rel}": "you can hear {a.rel}, then {b.rel}, then {c.rel}",
    "le bruit {a.of}, puis {b.of} et enfin {c.of}": "the sound of {a.of}, then {b.of} and finally {c.of}",
    "{a}, ensuite {b} et à la fin {c}": "{a}, after that {b}, and in the end {c}",
    "{a}, {b} et {c} en même temps": "{a}, {b} and {c} at the same time",
    "{a} tandis {b.que} et {c.que}": "{a} while {b.que} and {c.que}",
    "on entend à la fois {a.rel}, {b.rel} et {c.rel}": "you can hear {a.rel}, {b.rel} and {c.rel} all at once",
    "le bruit {a.of}, {b.of} et {c.of}": "the sound of {a.of}, {b.of} and {c.of}",
    "{a} alors {b.que} et {c.que}": "{a} as {b.que} and {c.que}",
}
_BACKGROUNDS = {
    "{main} pendant {background.que}": "{main} while {background.que}",
    "{main}, avec {background.rel} en fond sonore": "{main}, with {background.rel} in the background",
    "{main} ; en fond, {background}": "{main}; in the background, {background}",
}


def phrasebook() -> dict[str, Any]:
    """The file's content."""
    pairs = list(_clauses())
    return {
        "source": "fr",
        "target": "en",
        "adverbs": _adverbs(),
        "sentences": [[f"{source}.", f"{target}."] for source, target in _sentences()],
        "forms": {
            "plain": {str(fr): str(en) for fr, en in pairs},
            "rel": {fr.rel: en.ing for fr, en in pairs},
            "of": {fr.of: en.ing for fr, en in pairs},
            "que": {fr.que: str(en) for fr, en in pairs},
        },
    }


def _sentences() -> Iterator[tuple[str, str]]:
    """Every template alone, and with each way of adding a background."""
    templates = dict.fromkeys(template for group in french.EVENT_TEMPLATES.values() for template in group)
    for template in templates:
        yield template, _ENGLISH[template]
        for background in french.BACKGROUNDS:
            yield (
                background.replace("{main}", template),
                _BACKGROUNDS[background].replace("{main}", _ENGLISH[template]),
            )


def _clauses() -> Iterator[tuple[french.FrenchClause, english.EnglishClause]]:
    """Every clause in both languages; of those that share a French text, a translation would be a guess."""
    lexicon = load_lexicon()
    found = [sound.clause for sound in lexicon.sounds.values()]
    found += [family.clause for family in lexicon.families.values() if family.clause is not None]
    found += [timbre_clause(Timbre(*qualities)) for qualities in itertools.product((-1, 0, 1), repeat=3)]
    named: dict[tuple[str, str], list[Clause]] = {}
    for clause in found:
        same = named.setdefault((clause.fr, clause.verbe), [])
        if clause not in same:
            same.append(clause)
    for clauses in named.values():
        if len(clauses) == 1:
            yield french.clause_fr(clauses[0]), english.clause_en(clauses[0])


def _adverbs() -> dict[str, str]:
    """All that may follow a clause: a tune or rhythm, a number, a loudness."""
    tunes = {
        "": "",
        **{french.TUNES[tempo]: english.TUNES[tempo] for tempo in french.TUNES},
        **{french.RHYTHMS[tempo]: english.RHYTHMS[tempo] for tempo in french.RHYTHMS},
    }
    loudness = {"": "", **dict(zip(french.DISTANCE, english.DISTANCE, strict=True))}
    loudness |= dict(zip(french.LOUDLY, english.LOUDLY, strict=True))
    bare = Clause("a", "b", "ing", "c", "d")
    adverbs = {}
    for (tune, tune_en), times, (loud, loud_en) in itertools.product(tunes.items(), french.TIMES, loudness.items()):
        source = french.clause_fr(bare, tune=tune, times=times, loudness=loud).tail
        adverbs[source] = english.clause_en(bare, tune=tune_en, times=times, loudness=loud_en).tail
    del adverbs[""]
    return adverbs


def text() -> str:
    """The file: a line for each entry of a list or table."""
    return json.dumps(phrasebook(), ensure_ascii=False, indent=0) + "\n"


def main() -> None:
    (EMBEDDED_AUDIO_BUNDLE / PHRASEBOOK_FILE).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
