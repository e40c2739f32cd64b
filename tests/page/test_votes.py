"""Votes: the SQLite file, win rates and their intervals."""

import csv
import io
import threading

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions
from ui.votes import FIELDS, Ballot, VoteOption, VoteStore, content_hash, open_votes, rates_dict, wilson

ONE = VoteOption("a cow", (("hypothesis-0", "One"), ("beam", "Beam search")))
TWO = VoteOption("two sheep", (("hypothesis-1", "Two"),))


def ballot(*candidates: VoteOption, model: str = "fake") -> Ballot:
    return Ballot("image", model, "00ff", CompareOptions(num_beams=3), candidates)


@pytest.fixture
def store(tmp_path) -> VoteStore:
    return VoteStore(tmp_path / "new" / "votes.sqlite")


@pytest.mark.parametrize(
    ("wins", "shown", "low", "high"),
    [
        # By hand: z**2 = 3.841459; 1 of 2: centre 0.5, half 1.959964 / 2.920729 * sqrt(0.125 + 0.240091) = 0.405466.
        (1, 2, 0.0945, 0.9055),
        # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(wins, shown, low, high):
    assert wilson(wins, shown) == pytest.approx((low, high), abs=5e-5)
    # By symmetry, of the losses.
    assert wilson(shown - wins, shown) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("wins", "shown"), [(0, 0), (2, 1), (-1, 3)])
def test_what_is_no_share(wins, shown):
    with pytest.raises(ValueError, match="is no share"):
        wilson(wins, shown)


def test_columns_with_the_same_words_win_together(store):
    store.add(ballot(ONE, TWO), 0)
    store.add(ballot(TWO, ONE), 1)
    store.add(ballot(ONE, TWO), 1)
    store.add(ballot(TWO, model="other"), 0)
    found = [(rate.column, rate.wins, rate.shown) for rate in store.win_rates("image", "fake")]
    assert found == [("beam", 2, 3), ("hypothesis-0", 2, 3), ("hypothesis-1", 1, 3)]
    assert store.count("image", "fake") == 3 and store.count("audio", "fake") == 0
    first = store.win_rates("image", "fake")[0]
    assert (first.low, first.high) == wilson(2, 3) and first.share == 2 / 3
    assert rates_dict([first], 3)["columns"][0]["share"] == 2 / 3


def test_no_votes_no_rates(store):
    assert store.win_rates("image", "fake") == ()


@pytest.mark.parametrize("choice", [-1, 2, 99])
def test_a_choice_that_is_not_there(store, choice):
    with pytest.raises(OptionsError, match="The choice must be from 1 to 2"):
        store.add(ballot(ONE, TWO), choice)
    assert store.count("image", "fake") == 0


def test_votes_stay_and_are_exported(store, tmp_path):
    store.add(ballot(TWO, ONE), 1)
    again = VoteStore(tmp_path / "new" / "votes.sqlite")
    file = io.StringIO()
    again.write_csv(file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert tuple(rows[0]) == FIELDS
    assert [(row["column"], row["caption"], row["place"], row["won"]) for row in rows] == [
        ("hypothesis-1", "two sheep", "1", "0"),
        ("beam", "a cow", "2", "1"),
        ("hypothesis-0", "a cow", "2", "1"),
    ]
    assert '"num_beams": 3' in rows[0]["settings"] and rows[0]["media_sha256"] == "00ff"


def test_votes_of_many_threads_are_all_kept(store):
    threads = [threading.Thread(target=store.add, args=(ballot(ONE, TWO), n % 2)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("image", "fake") == 12


def test_a_file_that_cannot_be_used(tmp_path):
    (tmp_path / "text.sqlite").write_text("This is no database, and long enough for SQLite to see that." * 20)
    for path in (tmp_path / "text.sqlite", tmp_path / "text.sqlite" / "votes.sqlite"):
        with pytest.raises(OptionsError, match="cannot be used"):
            VoteStore(path)


def test_the_hash_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert content_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_where_votes_are_kept(tmp_path):
    home = {"XDG_DATA_HOME": str(tmp_path / "data")}
    assert open_votes("none", home) is None and not (tmp_path / "data").exists()
    assert open_votes(None, home | {"SPACE_ID": "me/space"}) is None and not (tmp_path / "data").exists()
    assert open_votes(None, home) is not None
    assert (tmp_path / "data" / "lora-mcl-studio" / "votes.sqlite").is_file()
    assert open_votes(str(tmp_path / "mine.sqlite"), home | {"SPACE_ID": "me/space"}) is not None
    assert (tmp_path / "mine.sqlite").is_file()
    (tmp_path / "file").write_text("")
    assert open_votes(None, {"XDG_DATA_HOME": str(tmp_path / "file")}) is None
    with pytest.raises(OptionsError, match="Name another file, or none"):
        open_votes(str(tmp_path / "file" / "votes.sqlite"), home)
