"""The tables of recordings: what each file is, from whom, under which licence, in which split."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Tempo
from training.embedded.common.packages import Package
from training.paths import ASSETS, BUILD

SOUNDS_CSV = Path(__file__).with_name("sounds.csv")
PACKAGES_CSV = Path(__file__).with_name("packages.csv")
SOUNDS_DIR = BUILD / "sounds"
PACK_DIR = ASSETS / "packs" / "audio"
INDEX, ATTRIBUTION = "index.csv", "ATTRIBUTION.csv"
FREE_LICENCES = ("CC0-1.0", "CC-BY-3.0", "MIT")
"""Licences under which the repository carries a sound."""

Split = Literal["train", "test"]


def load_packages(path: Path = PACKAGES_CSV) -> dict[str, Package]:
    """The packages that recordings come from, by name."""
    with path.open(encoding="utf-8", newline="") as opened:
        return {row["name"]: Package(**row) for row in csv.DictReader(opened)}


PACKAGES = load_packages()


class SoundError(ValueError):
    """The table of recordings breaks a rule, or names a recording that its package does not have."""


@dataclass(frozen=True)
class Recording:
    """One sound file.

    Attributes:
        id: its name here, ``<sound>_<number>``.
        sound: the lexicon's id of the sound.
        package: the package it is from, or what rendered it.
        path: its path in the package, ``archive#member`` inside an archive; empty for a rendered sound.
        licence: in SPDX terms.
        author: whom to credit.
        commit: whether the repository carries it.
        split: whether it is for training or for the test.
        tempo: of a rendered tune.
    """

    id: str
    sound: str
    package: str
    path: str
    licence: str
    author: str
    commit: bool
    split: Split
    tempo: Tempo | None = None

    def __post_init__(self) -> None:
        if not all((self.id, self.sound, self.package, self.licence, self.author)):
            raise SoundError(f"recording {self.id!r}: a field is empty")
        if self.commit and self.licence not in FREE_LICENCES:
            raise SoundError(f"recording {self.id!r}: {self.licence} may not be committed")
        if self.split not in get_args(Split) or self.tempo not in (None, *get_args(Tempo)):
            raise SoundError(f"recording {self.id!r}: unknown split or tempo")


def load_sounds(path: Path = SOUNDS_CSV) -> tuple[Recording, ...]:
    """The recorded sounds, in the table's order.

    Raises:
        SoundError: on a malformed row, an id used twice, a sound or package that does not exist, or a sound with
            recordings of one package on both sides of the split.
    """
    recordings = read_index(path)
    sides: dict[tuple[str, str], str] = {}
    for recording in recordings:
        if recording.sound not in load_lexicon().sounds:
            raise SoundError(f"recording {recording.id!r}: unknown sound {recording.sound!r}")
        if recording.package not in PACKAGES:
            raise SoundError(f"recording {recording.id!r}: unknown package {recording.package!r}")
        side = sides.setdefault((recording.sound, recording.package), recording.split)
        if side != recording.split:
            raise SoundError(f"{recording.sound}: {recording.package} is on both sides of the split")
    return recordings


def read_index(path: Path) -> tuple[Recording, ...]:
    """Recordings of a table with (at least) the columns of ``Recording``; raises SoundError on a malformed one."""
    known = {field.name for field in fields(Recording)}
    recordings = []
    with path.open(encoding="utf-8", newline="") as opened:
        for line, row in enumerate(csv.DictReader(opened), start=2):
            try:
                typed = {"commit": {"y": True, "n": False}[row["commit"]], "tempo": row.get("tempo") or None}
                recordings.append(Recording(**{k: v for k, v in (row | typed).items() if k in known}))
            except SoundError as error:
                raise SoundError(f"{path.name} line {line}: {error}") from error
            except (KeyError, TypeError) as error:
                raise SoundError(f"{path.name} line {line}: wrong columns ({error!r})") from error
    if len({recording.id for recording in recordings}) != len(recordings):
        raise SoundError(f"{path.name}: an id is there twice")
    return tuple(recordings)


def write_index(path: Path, rows: Iterable[dict]) -> None:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def index_row(recording: Recording) -> dict[str, str]:
    return asdict(recording) | {"commit": "y" if recording.commit else "n", "tempo": recording.tempo or ""}
