"""YAML to frozen dataclasses: what gets through, what is refused, and what the refusal says."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import Count, Positive
from training.run.config import load_config, to_yaml


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    pair: tuple[float, float] = (0.9, 0.99)
    names: str | tuple[str, ...] = "all"

    def __post_init__(self):
        if self.rate < 0:
            raise OptionsError(f"rate must not be negative; got {self.rate}")


@dataclass(frozen=True)
class Outer:
    folder: Path
    kind: Literal["one", "other"] = "one"
    count: int | None = None
    quick: bool = False
    inner: Inner = field(default_factory=Inner)


def read(tmp_path, text, *changes):
    file = tmp_path / "file.yaml"
    file.write_text(text)
    return load_config(Outer, file, changes)


def test_a_full_file_and_changes_over_it(tmp_path):
    text = "folder: out\nkind: other\ncount: 3\ninner:\n  rate: 1e-5\n  pair: [1, 2]\n  names: [a, b]\n"
    config = read(tmp_path, text, "count=null", "quick=true", "inner.rate=2e-3", "inner.names=c")
    assert config == Outer(Path("out"), "other", None, True, Inner(2e-3, (1.0, 2.0), "c"))
    assert isinstance(config.inner.pair[0], float)


def test_a_change_may_open_a_section(tmp_path):
    assert read(tmp_path, "folder: out", "inner.pair=[1, 2]").inner.pair == (1.0, 2.0)


def test_printed_configurations_read_back_to_equal_ones(tmp_path):
    config = read(tmp_path, "folder: out\ninner: {names: [a, b], rate: 1e-7}")
    (tmp_path / "again.yaml").write_text(to_yaml(config))
    assert load_config(Outer, tmp_path / "again.yaml") == config


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("folder: out\ncuont: 3", (), "file.yaml: unknown key cuont: did you mean count?"),
        ("folder: out\ninner: {raet: 3}", (), "unknown key inner.raet: did you mean inner.rate?"),
        ("folder: out\nxyzzy: 3", (), "unknown key xyzzy: known are folder, kind, count, quick, inner"),
        ("folder: out", ("inner.raet=1",), "did you mean inner.rate?"),
        ("kind: one", (), "folder is missing"),
        ("folder: 3", (), "folder must be a path; got 3"),
        ("folder: ''", (), "folder must be a path; got ''"),
        ("folder: out\ncount: three", (), "count must be a whole number; got 'three'"),
        ("folder: out\ncount: true", (), "count must be a whole number; got True"),
        ("folder: out\ncount: 3.5", (), "count must be a whole number; got 3.5"),
        ("folder: out\nquick: 1", (), "quick must be true or false; got 1"),
        ("folder: out\ninner: {rate: fast}", (), "inner.rate must be a number; got 'fast'"),
        ("folder: out\ninner: {rate: true}", (), "inner.rate must be a number; got True"),
        ("folder: out\ninner: {rate: -1}", (), "inner: rate must not be negative; got -1.0"),
        ("folder: out\ninner: {pair: [1]}", (), "inner.pair must be a list of 2; got 1"),
        ("folder: out\ninner: {names: 3}", (), "inner.names must be a text or a list; got 3"),
        ("folder: out\ninner: 3", (), "inner must be a section of keys, not 3"),
        ("folder: out\nkind: otter", (), "kind must be one of one, other; got 'otter'; did you mean other?"),
        ("folder: out\nfolder: in", (), "the key 'folder' is given twice"),
        ("folder: [", (), "not valid YAML"),
        ("? [a, b]\n: 3", (), "not valid YAML: a key must be a name"),
        ("? {a: b}\n: 3", (), "a key must be a name"),
        ("folder: " + "[" * 20_000, (), "nested too deeply"),
        ("folder: out", ("inner=" + "{a: " * 20_000,), "nested too deeply"),
        ("folder: 2024-99-99", (), "not valid YAML"),
        ("folder: out\ninner: {rate: .nan}", (), "inner.rate must be a finite number; got nan"),
        ("- folder", (), "must hold a mapping"),
        ("folder: out", ("count",), "changes are written key=value"),
        ("folder: out", ("folder.x=1",), "folder is a value and has no keys of its own"),
    ],
)
def test_everything_else_is_refused(tmp_path, text, changes, message):
    with pytest.raises(OptionsError) as refusal:
        read(tmp_path, text, *changes)
    assert message in str(refusal.value)


@dataclass(frozen=True)
class Lists:
    rates: tuple[float, ...] = ()
    files: tuple[Path, ...] = ()
    limits: tuple[tuple[float, float], ...] = ()
    either: Path | tuple[Path, ...] = ()


def test_every_item_of_a_list_is_converted(tmp_path):
    file = tmp_path / "file.yaml"
    text = "rates: [1, 2e-1, 3]\nfiles: [a, b, c]\nlimits: [[1, 2], [3, 4], [5, 6]]\neither: [d, e]\n"
    file.write_text(text)
    lists = load_config(Lists, file)
    assert lists == Lists((1.0, 0.2, 3.0), tuple(map(Path, "abc")), ((1, 2), (3, 4), (5, 6)), (Path("d"), Path("e")))
    assert all(type(rate) is float for rate in (*lists.rates, *lists.limits[2]))
    file.write_text("rates: [1]\nfiles: []\neither: f\n")
    lists = load_config(Lists, file)
    assert lists == Lists((1.0,), (), (), Path("f")) and type(lists.rates[0]) is float
    for text, message in (
        ("rates: [1, two]", "rates[1] must be a number"),
        ("limits: [[1]]", "limits[0] must be a list of 2"),
    ):
        file.write_text(text)
        with pytest.raises(OptionsError) as refusal:
            load_config(Lists, file)
        assert message in str(refusal.value)


@dataclass(frozen=True)
class Bounded:
    rate: Positive = 1.0
    rates: tuple[Positive, ...] = ()
    limit: Positive | None = None
    count: Count = 1


def test_numbers_with_bounds_are_converted_like_those_without(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text("rate: 1e-5\nrates: [1, 2e-1]\nlimit: 3\ncount: 4\n")
    read = load_config(Bounded, file)
    assert read == Bounded(1e-5, (1.0, 0.2), 3.0, 4)
    assert [type(value) for value in (read.rate, *read.rates, read.limit, read.count)] == [float] * 4 + [int]
    file.write_text("rate: 0\n")
    with pytest.raises(OptionsError, match="rate must be positive; got 0.0"):
        load_config(Bounded, file)


def test_printed_texts_are_wrapped_after_100_columns():
    start = "folder: "
    for columns, printed in ((100, " end"), (101, "\n  end")):
        text = "x" * (columns - len(start))
        assert to_yaml(Outer(Path(f"{text} end"))).startswith(f"{start}{text}{printed}\n")


def test_a_printed_configuration_keeps_the_order_and_the_letters():
    config = Outer(Path("été"), inner=Inner(names=("b", "a")))
    assert to_yaml(config) == (
        "folder: été\nkind: one\ncount: null\nquick: false\n"
        "inner:\n  rate: 0.1\n  pair:\n  - 0.9\n  - 0.99\n  names:\n  - b\n  - a\n"
    )


def test_changes_open_sections_at_any_depth(tmp_path):
    with pytest.raises(OptionsError, match="unknown key inner.rate.x|inner.rate must be a number"):
        read(tmp_path, "folder: out", "inner.rate.x=1")
    for change in ("=1", "inner.=1", ".rate=1", "inner..rate=1"):
        with pytest.raises(OptionsError, match="changes are written key=value"):
            read(tmp_path, "folder: out", change)


@dataclass(frozen=True)
class Counted:
    count: int
    total: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "total", 2 * self.count)


def test_fields_that_are_worked_out_are_no_keys(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text("count: 3")
    assert load_config(Counted, file).total == 6 and to_yaml(Counted(3)) == "count: 3\n"
    file.write_text("count: 3\ntotal: 6")
    with pytest.raises(OptionsError, match="unknown key total: known are count$"):
        load_config(Counted, file)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("folder: été".encode("latin-1"))
    with pytest.raises(OptionsError, match="latin.yaml cannot be read: 'utf-8' codec can't decode"):
        load_config(Outer, tmp_path / "latin.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OptionsError, match="no.yaml cannot be read: No such file"):
        load_config(Outer, tmp_path / "no.yaml")
