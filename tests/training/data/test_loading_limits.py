"""Limits, shares, and one bad row among good ones."""

import logging
from pathlib import Path

import datasets
import pytest

from lora_mcl.errors import MediaError
from tests.support.captioned_files import touch
from training.data import DataError, DataOptions, load_examples
from training.data.readers.cells import CellMedia


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two captioned pictures, one in a folder of its own."""
    touch(tmp_path, "b.jpg", "sub/a.PNG")
    (tmp_path / "b.txt").write_text("A dog.")
    (tmp_path / "sub" / "a.txt").write_text("A cat.")
    return tmp_path


@pytest.mark.parametrize(("count", "named"), [(3, "c0.jpg, c1.jpg, c2.jpg"), (4, "c0.jpg, c1.jpg, c2.jpg, ...")])
def test_up_to_three_files_are_named(photos, caplog, count, named):
    touch(photos, *(f"c{number}.jpg" for number in range(count)))
    with caplog.at_level(logging.WARNING, logger="training.data"):
        load_examples(DataOptions("folder", str(photos)))
    assert f"{count} files have no text file and are left out: {named}" in [
        record.getMessage().removeprefix(f"{photos}: ") for record in caplog.records
    ]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_limit_is_a_number_of_media_that_are_there(photos, limit):
    """In folders, tables and parquet files alike; a limit above what there is changes nothing."""
    assert len(load_examples(DataOptions("folder", str(photos), limit=limit))) == min(limit, 2)
    rows = ["gone.jpg,A ghost.", "b.jpg,A dog.", "b.jpg,A pet.", "sub/a.PNG,A cat."]
    (photos / "table.csv").write_text("\n".join(["file,caption", *rows]))
    options = DataOptions("table", str(photos / "table.csv"), limit=limit, max_missing=1)
    found = load_examples(options)
    assert [example.captions for example in found] == [("A dog.", "A pet."), ("A cat.",)][:limit]


def test_a_parquet_file_without_rows_and_a_limit_above_its_rows(photos):
    features = datasets.Features({"image": datasets.Image(decode=False), "text": datasets.Value("string")})
    file = photos / "media.parquet"
    for count in (0, 2):
        cells = {"image": [{"bytes": b"one", "path": None}] * count, "text": ["A dog.", "A cat."][:count]}
        datasets.Dataset.from_dict(cells, features=features).to_parquet(str(file))
        if count == 0:
            with pytest.raises(DataError, match="media.parquet has no rows"):
                load_examples(DataOptions("table", str(file)))
    assert len(load_examples(DataOptions("table", str(file), limit=5))) == 2


@pytest.mark.parametrize(("share", "kept"), [(0.001, 1), (0.5, 2), (0.74, 3)])
def test_at_least_one_is_kept_and_one_left(photos, share, kept):
    touch(photos, *(f"{number}.jpg" for number in range(4)))
    table = photos / "captions.csv"
    table.write_text("\n".join(["file,caption", *(f"{number}.jpg,A {number}." for number in range(4))]))
    options = DataOptions("folder", str(photos), validation_share=share)
    assert len(load_examples(options, "validation")) == kept and len(load_examples(options)) == 4 - kept
    with pytest.raises(DataError, match=r"4 media are too few to keep a share of 0.9"):
        load_examples(DataOptions("folder", str(photos), validation_share=0.9))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('["b.jpg"]', "row 2: an object is needed"),
        ('{"image": "b.jpg", "conversations": []}', "row 2: its conversation has 0 answers"),
        ('{"image": "b.jpg", "conversations": [{"from": "gpt", "value": 3}]}', "row 2: caption must be text"),
        ('{"image": "", "caption": "A dog."}', "row 2: there is no file name in column 'image'"),
    ],
)
def test_one_bad_row_among_good_ones_is_named(photos, row, message):
    (photos / "data.json").write_text(f'[{{"image": "b.jpg", "caption": "A dog."}}, {row}]')
    with pytest.raises(DataError, match=message):
        load_examples(DataOptions("table", str(photos / "data.json")))


def test_a_cell_is_known_by_its_place():
    """Two readings of one table have the same media; a message does not print the table."""
    one, two = (CellMedia("a.parquet", 3, "image", rows) for rows in ([1], [2]))
    assert one == two and hash(one) == hash(two) and "rows" not in repr(one)
    assert one != CellMedia("a.parquet", 4, "image", [1]) and one.name == "a.parquet, row 3"


@pytest.mark.parametrize("cell", [None, {}, {"bytes": b"", "path": None}, {"path": "gone.png"}, {"bytes": None}])
def test_a_cell_without_media_is_named(cell):
    with pytest.raises(MediaError, match=r"a\.parquet, row 1 holds no image"):
        CellMedia("a.parquet", 1, "image", [{"image": b"other"}, {"image": cell}]).read()


def test_what_a_cell_holds_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"file")
    path = str(tmp_path / "a.png")
    for cell, content in ((b"own", b"own"), ({"bytes": b"own", "path": path}, b"own"), ({"path": path}, b"file")):
        assert CellMedia("a.parquet", 0, "image", [{"image": cell}]).read() == content


def test_what_is_asked_of_the_hub(monkeypatch, tmp_path):
    """Subset, split and revision arrive; what is not given is None."""
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"one", "path": None}], "text": ["A dog."]},
        features=datasets.Features({"image": datasets.Image(decode=False), "text": datasets.Value("string")}),
    )
    asked = []

    def load_dataset(*names, **options):
        asked.append((names, options))
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.chdir(tmp_path)
    (example,) = load_examples(DataOptions("hub", "someone/data", subset="de", split="dev", revision="v2"))
    assert example.captions == ("A dog.",) and example.name == "someone/data (dev), row 0"
    load_examples(DataOptions("hub", "someone/data"))
    (tmp_path / "someone").mkdir()
    load_examples(DataOptions("hub", "someone"))
    assert asked == [
        (("someone/data", "de"), {"split": "dev", "revision": "v2"}),
        (("someone/data", None), {"split": "train", "revision": None}),
        (("someone", None), {"split": "train", "revision": None}),
    ]
