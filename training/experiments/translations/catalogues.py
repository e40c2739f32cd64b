"""Messages of programs with the translations that people made: compiled catalogues (``.mo``) in Debian's packages.

Nothing of them is committed: the packages are fetched by ``apt-get``, and their licences are named in the results.
"""

from __future__ import annotations

import gettext
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.embedded.common.packages import Package

LANGUAGES = ("fr", "de", "es", "it")
BILINGUAL = ("en", "fr")
PACKAGES = (
    Package("deb", "audacity-data", "3.2.4+dfsg-1", "GPL-2.0-or-later"),
    Package("deb", "cinnamon-l10n", "5.6.1-2", "GPL-2.0-or-later"),
    Package("deb", "digikam-data", "4:7.9.0-1", "GPL-2.0-or-later"),
    Package("deb", "gimp-data", "2.10.34-1+deb12u10", "GPL-3.0-or-later"),
    Package("deb", "kdenlive-data", "22.12.3-2+deb12u2", "GPL-2.0-or-later"),
    Package("deb", "krita-l10n", "1:5.1.5+dfsg-2+deb12u1", "GPL-3.0-or-later"),
    Package("deb", "libglib2.0-data", "2.74.6-2+deb12u9", "LGPL-2.1-or-later"),
    Package("deb", "libgtk-3-common", "3.24.38-2~deb12u3", "LGPL-2.0-or-later"),
    Package("deb", "vlc-l10n", "3.0.24-0+deb12u1", "GPL-2.0-or-later"),
)

# A short label in plain letters: no placeholders, mark-up or shell text.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z' -]*")
# Mnemonics of menu entries, and what surrounds a label ("_Open...", "&Open:").
_MNEMONICS = str.maketrans("", "", "_&")
_AROUND = " \u00a0.:…"


@dataclass(frozen=True)
class Message:
    """A message and its translations, in the order of ``LANGUAGES``."""

    text: str
    translations: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """Which messages are kept.

    Attributes:
        words: of a message, at most.
        characters: of a message, at most.
        translation_characters: of each translation, at most.
    """

    words: int = 3
    characters: int = 24
    translation_characters: int = 32


def read_messages(folders: Iterable[Path], limits: Limits = Limits()) -> list[Message]:
    """Messages that have a translation into every language under unpacked packages, in alphabetical order.

    Where catalogues differ, the first one decides. Left out is a message whose translation equals it, or two of whose
    translations are equal: it does not tell its language.
    """
    found: dict[str, dict[str, str]] = {}
    for folder in folders:
        for language in LANGUAGES:
            for file in sorted(folder.glob(f"usr/share/locale/{language}/LC_MESSAGES/*.mo")):
                for text, translation in _entries(file):
                    found.setdefault(text, {}).setdefault(language, translation)
    return [
        Message(text, tuple(of_text[language] for language in LANGUAGES))
        for text, of_text in sorted(found.items())
        if len(of_text) == len(LANGUAGES) and _kept(text, list(of_text.values()), limits)
    ]


def _entries(file: Path) -> Iterable[tuple[str, str]]:
    with file.open("rb") as opened:
        catalogue = gettext.GNUTranslations(opened)._catalog
    for key, translation in catalogue.items():
        if isinstance(key, str):  # plural forms have a pair
            # The context, if there is one, stands before the message.
            yield _clean(key.split("\x04")[-1]), _clean(translation)


def _clean(text: str) -> str:
    return text.translate(_MNEMONICS).strip(_AROUND)


def _kept(text: str, translations: Sequence[str], limits: Limits) -> bool:
    return (
        _PLAIN.fullmatch(text) is not None
        and len(text) <= limits.characters
        and len(text.split()) <= limits.words
        and all(0 < len(one) <= limits.translation_characters and "\n" not in one for one in translations)
        and len({text, *translations}) == 1 + len(translations)
    )


def bilingual(messages: Sequence[Message]) -> list[Message]:
    """The German translation as the message, to be translated into English and French."""
    german, french = LANGUAGES.index("de"), LANGUAGES.index("fr")
    return [Message(one.translations[german], (one.text, one.translations[french])) for one in messages]


def split(messages: Sequence[Message], test: int) -> tuple[list[Message], list[Message]]:
    """Training and test messages: the ``test`` ones whose text has the least hash, independent of the others.

    Capitals do not make another message: "Save As" is on the side of "Save as".

    Raises:
        ValueError: there are not more messages than ``test``.
    """

    def order(text: str) -> bytes:
        return hashlib.sha256(text.lower().encode()).digest()

    groups: dict[str, list[Message]] = {}
    for message in messages:
        groups.setdefault(message.text.lower(), []).append(message)
    if test >= len(groups):
        raise ValueError(f"{len(groups)} different messages are too few to keep {test} for the test")
    by_hash = sorted(groups, key=order)
    # One of each group, so that no test message counts twice.
    held_out = [groups[text][0] for text in by_hash[:test]]
    return [message for text in by_hash[test:] for message in groups[text]], held_out
