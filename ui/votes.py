"""Votes on captions, in a local SQLite file; win rates with Wilson confidence intervals."""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions

Z_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above it."""

FIELDS = ("at", "modality", "model", "media_sha256", "column", "label", "caption", "place", "won", "settings")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS votes (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    modality TEXT NOT NULL,
    model TEXT NOT NULL,
    media_sha256 TEXT NOT NULL,
    settings TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS shown (
    vote INTEGER NOT NULL REFERENCES votes (id),
    column_id TEXT NOT NULL,
    label TEXT NOT NULL,
    caption TEXT NOT NULL,
    place INTEGER NOT NULL,
    won INTEGER NOT NULL
);
"""


@dataclass(frozen=True)
class VoteOption:
    """A caption that can be voted for, and the columns that wrote it, as (id, label)."""

    caption: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ballot:
    """The candidates of one vote.

    Attributes:
        candidates: in the order in which they are shown; captions of equal words are one candidate.
        media_sha256: of the picture or sound, which is not kept.
    """

    modality: str
    model: str
    media_sha256: str
    options: CompareOptions
    candidates: tuple[VoteOption, ...]


@dataclass(frozen=True)
class WinRate:
    """How often a column's caption was kept, of the times it was shown.

    Attributes:
        low, high: 95 % confidence interval of the share (Wilson 1927).
    """

    column: str
    label: str
    wins: int
    shown: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.wins / self.shown


def wilson(wins: int, shown: int, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval of a share of ``shown`` trials (Wilson 1927, without continuity correction).

    Raises:
        ValueError: there is no trial, or there are more wins than trials.
    """
    if not 0 <= wins <= shown or shown == 0:
        raise ValueError(f"{wins} of {shown} is no share")
    share = wins / shown
    scale = 1 + z**2 / shown
    centre = (share + z**2 / (2 * shown)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / shown + z**2 / (4 * shown**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def content_hash(media: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with media.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class VoteStore:
    """Votes in a SQLite file: no picture, no sound, no name, no address."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            OptionsError: it cannot be used.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._connected() as connection:
                connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise OptionsError(f"--votes {path} cannot be used: {error}. Name another file, or none.") from error

    def add(self, ballot: Ballot, choice: int) -> None:
        """Record a vote for the candidate at that place.

        Raises:
            OptionsError: there is no such candidate.
        """
        if not 0 <= choice < len(ballot.candidates):
            raise OptionsError(f"The choice must be from 1 to {len(ballot.candidates)}, not {choice + 1}.")
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        vote = (at, ballot.modality, ballot.model, ballot.media_sha256, json.dumps(asdict(ballot.options)))
        with self._connected() as connection:
            inserted = connection.execute(
                "INSERT INTO votes (at, modality, model, media_sha256, settings) VALUES (?, ?, ?, ?, ?)", vote
            )
            connection.executemany(
                "INSERT INTO shown VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (inserted.lastrowid, id, label, candidate.caption, place + 1, place == choice)
                    for place, candidate in enumerate(ballot.candidates)
                    for id, label in candidate.columns
                ],
            )

    def win_rates(self, modality: str, model: str) -> tuple[WinRate, ...]:
        """Of every column that was shown, in the order of its share; columns with the same words win together."""
        query = (
            "SELECT column_id, label, SUM(won), COUNT(*) FROM shown JOIN votes ON votes.id = shown.vote "
            "WHERE modality = ? AND model = ? GROUP BY column_id, label"
        )
        with self._connected() as connection:
            rows = connection.execute(query, (modality, model)).fetchall()
        rates = [WinRate(id, label, wins, shown, *wilson(wins, shown)) for id, label, wins, shown in rows]
        return tuple(sorted(rates, key=lambda rate: (-rate.share, rate.column)))

    def count(self, modality: str, model: str) -> int:
        """Number of votes."""
        query = "SELECT COUNT(*) FROM votes WHERE modality = ? AND model = ?"
        with self._connected() as connection:
            return connection.execute(query, (modality, model)).fetchone()[0]

    def write_csv(self, file: TextIO) -> None:
        """Write a row for each column of each vote, of all models."""
        query = (
            "SELECT at, modality, model, media_sha256, column_id, label, caption, place, won, settings "
            "FROM shown JOIN votes ON votes.id = shown.vote ORDER BY votes.id, place, column_id"
        )
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        with self._connected() as connection:
            writer.writerows(connection.execute(query))

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection of this thread, whose changes are kept together or not at all."""
        connection = sqlite3.connect(self._path, timeout=30)
        try:
            with connection:
                yield connection
        finally:
            connection.close()


def rates_dict(rates: Sequence[WinRate], votes: int) -> Mapping[str, object]:
    """The JSON form: ``votes``, and of each column its ``wins``, ``shown``, ``share`` and interval."""
    return {"votes": votes, "columns": [{**asdict(rate), "share": rate.share} for rate in rates]}


def open_votes(choice: str | None, environment: Mapping[str, str]) -> VoteStore | None:
    """The votes of a server; None where none are kept.

    Args:
        choice: a file, "none", or None for the default: a file of the user's, and none on a Hugging Face Space, whose
            visitors are strangers.

    Raises:
        OptionsError: the chosen file cannot be used.
    """
    if choice == "none":
        return None
    if choice:
        return VoteStore(Path(choice))
    if "SPACE_ID" in environment:
        return None
    data = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    try:
        return VoteStore(Path(data) / "lora-mcl-studio" / "votes.sqlite")
    except OptionsError:  # the default folder cannot be written: the page does without votes
        return None
