"""Opening training data: what each way of storing captions gives, and what is said when something is wrong."""

import json
import logging
from pathlib import Path

import pytest

from lora_mcl.errors import OptionsError
from training.data import DataError, DataOptions, Example, load_examples


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded here")


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two captioned pictures, one in a folder of its own, and things that are neither."""
    touch(tmp_path, "b.jpg", "sub/a.PNG", ".hidden/c.jpg", "notes.pdf")
    (tmp_path / "b.txt").write_text("A dog.\n\n  A  brown dog. \nA dog.\n", encoding="utf-8-sig")
    (tmp_path / "sub" / "a.txt").write_text("Un éléphant.", encoding="utf-8")
    return tmp_path


def test_a_folder_with_text_files(photos):
    assert load_examples(DataOptions("folder", str(photos))) == [
        Example(photos / "b.jpg", ("A dog.", "A brown dog.")),
        Example(photos / "sub" / "a.PNG", ("Un éléphant.",)),
    ]


def test_files_without_text_are_left_out_and_named(photos, caplog):
    touch(photos, "c.jpg", "d.jpg")
    (photos / "d.txt").write_text(" \n")
    with caplog.at_level(logging.WARNING, logger="training.data"):
        assert len(load_examples(DataOptions("folder", str(photos)))) == 2
    texts = [record.getMessage() for record in caplog.records]
    assert any("1 files have no text file and are left out: c.jpg" in text for text in texts)
    assert any("1 media have no caption and are left out: d.jpg" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", 'file_name,caption,mode\nb.jpg,"A dog, brown.",en\nsub/a.PNG,Un chat.,fr\nb.jpg,A pet.,en\n'),
        ("captions.csv", "file;text;mode\nb.jpg;A dog, brown.;en\nsub/a.PNG;Un chat.;fr\nb.jpg;A pet.;en\n"),
        (
            "metadata.tsv",
            "image\tcaption_1\tcaption_2\tmode\nb.jpg\tA dog, brown.\tA pet.\ten\nsub/a.PNG\tUn chat.\t\tfr\n",
        ),
        (
            "metadata.jsonl",
            '{"file_name": "b.jpg", "captions": ["A dog, brown.", "A pet."], "mode": "en"}\n\n'
            '{"file_name": "sub/a.PNG", "captions": "Un chat.", "mode": "fr"}\n',
        ),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "table"])
def test_tables(photos, name, text, kind):
    (photos / name).write_text(text, encoding="utf-8")
    options = DataOptions(kind, str(photos if kind == "folder" else photos / name))
    assert load_examples(options) == [
        Example(photos / "b.jpg", ("A dog, brown.", "A pet."), "en"),
        Example(photos / "sub" / "a.PNG", ("Un chat.",), "fr"),
    ]


def test_media_described_in_two_modes_are_two_examples(photos):
    (photos / "captions.csv").write_text("file,caption,mode\nb.jpg,A dog.,en\nb.jpg,Un chien.,fr\n")
    examples = load_examples(DataOptions("folder", str(photos)))
    assert [(example.captions, example.mode) for example in examples] == [(("A dog.",), "en"), (("Un chien.",), "fr")]


def test_columns_by_name_and_media_elsewhere(photos, tmp_path_factory):
    table = tmp_path_factory.mktemp("elsewhere") / "mine.csv"
    table.write_text("fichier,légende,langue\nb.jpg,Un chien.,fr\n", encoding="utf-8")
    options = {"media_column": "fichier", "caption_columns": ("légende",), "mode_column": "langue"}
    (only,) = load_examples(DataOptions("table", str(table), media=str(photos), **options))
    assert only == Example(photos / "b.jpg", ("Un chien.",), "fr")
    with pytest.raises(DataError, match="no column of file names; its columns are fichier, légende, langue: .*media_c"):
        load_examples(DataOptions("table", str(table)))
    with pytest.raises(DataError, match="no column 'texte'.*caption_columns"):
        load_examples(DataOptions("table", str(table), media_column="fichier", caption_columns=("texte",)))


def test_missing_files_are_an_error_up_to_a_number(photos, caplog):
    rows = [{"file": name, "caption": "A thing."} for name in ("b.jpg", "gone.jpg", "lost.jpg")]
    (photos / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"2 files of 3 that are not there, among them .*gone.jpg.*max_missing to 2"):
        load_examples(DataOptions("folder", str(photos), max_missing=1))
    with caplog.at_level(logging.WARNING, logger="training.data"):
        assert len(load_examples(DataOptions("folder", str(photos), max_missing=2))) == 1
    assert "2 of 3 files are not there" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("captions.csv", "", "has no rows"),
        ("captions.csv", "file,caption\n", "has no rows"),
        ("captions.csv", "file,caption\nb.jpg,A dog, brown\n", "line 2: more cells than columns .*between quotes"),
        ("captions.csv", "file,caption\n,A dog\n", "row 1: there is no file name in column 'file'"),
        ("captions.csv", "file,words\nb.jpg,A dog\n", "no column of captions; its columns are file, words"),
        ("captions.jsonl", '{"file": "b.jpg", "caption": "A dog."}\n{"file"\n', "line 2: not JSON"),
        ("captions.jsonl", '["b.jpg", "A dog."]', "line 1: an object is needed"),
        ("captions.jsonl", '{"file": "b.jpg", "caption": 3}', "row 1: caption must be text or a list of texts, not 3"),
        ("captions.csv", "file,caption\nb.jpg,\n", "holds nothing to train on"),
    ],
)
def test_malformed_tables(photos, name, text, message):
    (photos / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load_examples(DataOptions("folder", str(photos)))


def test_text_that_is_not_utf8(photos):
    (photos / "b.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match=r"b.txt is not UTF-8"):
        load_examples(DataOptions("folder", str(photos)))
    (photos / "captions.csv").write_bytes("file,caption\nb.jpg,é\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"captions.csv is not UTF-8"):
        load_examples(DataOptions("folder", str(photos)))


def test_folders_that_are_wrong(photos, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    for path, message in [
        (photos / "nowhere", "There is no folder .*nowhere"),
        (photos / "b.jpg", "is not a folder"),
        (empty, "holds no image or audio files"),
    ]:
        with pytest.raises(DataError, match=message):
            load_examples(DataOptions("folder", str(path)))
    touch(empty, "a.jpg")
    with pytest.raises(DataError, match=r"None of the 1 files .* \(a.txt for a.jpg\), one a line"):
        load_examples(DataOptions("folder", str(empty)))
    touch(photos, "b.wav")
    with pytest.raises(DataError, match="holds 2 images and 1 sounds: set modality"):
        load_examples(DataOptions("folder", str(photos)))
    assert len(load_examples(DataOptions("folder", str(photos), modality="audio"))) == 1
    (photos / "captions.csv").write_text("file,caption\n")
    (photos / "metadata.csv").write_text("file,caption\n")
    with pytest.raises(DataError, match="holds captions.csv and metadata.csv: keep one"):
        load_examples(DataOptions("folder", str(photos)))


@pytest.fixture
def many(tmp_path) -> Path:
    touch(tmp_path, *(f"{number}.jpg" for number in range(40)))
    rows = [f"{number}.jpg,{word} {number}" for number in range(40) for word in ("One", "Two")]
    (tmp_path / "captions.csv").write_text("\n".join(["file,caption", *rows]))
    return tmp_path


def test_a_share_is_kept_for_validation(many):
    options = DataOptions("folder", str(many), validation_share=0.1)
    train, validation = load_examples(options), load_examples(options, "validation")
    assert len(train) == 36 and len(validation) == 4
    assert not {example.media for example in train} & {example.media for example in validation}
    assert load_examples(options, "validation") == validation
    # One file more moves at most one other.
    touch(many, "new.jpg")
    with (many / "captions.csv").open("a") as table:
        table.write("\nnew.jpg,New")
    again = load_examples(options, "validation")
    assert len(set(validation) - set(again)) <= 1
    with pytest.raises(DataError, match="1 media are too few"):
        load_examples(DataOptions("folder", str(many), validation_share=0.1, limit=1))


def test_validation_elsewhere_and_none(many, photos):
    options = DataOptions("folder", str(many), validation_path=str(photos), limit=3)
    assert len(load_examples(options)) == 3
    with pytest.raises(OptionsError, match="nothing to validate on"):
        load_examples(DataOptions("folder", str(many)), "validation")


def test_files_of_another_modality_are_refused(photos):
    (photos / "captions.csv").write_text("file,caption\nb.jpg,A dog.\n")
    assert len(load_examples(DataOptions("folder", str(photos), modality="image"))) == 1
    with pytest.raises(DataError, match=r"names 1 files that are no audio, such as b.jpg"):
        load_examples(DataOptions("folder", str(photos), modality="audio"))
