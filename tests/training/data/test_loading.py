"""Opening training data: each way of storing captions, and the messages about faults."""

import json
import logging
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from lora_mcl.errors import OptionsError
from tests.support.captioned_files import touch
from training.data import DataError, DataOptions, Example, load_examples


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


def test_media_are_known_by_content_and_captioned_files_that_are_none_are_named(tmp_path, caplog):
    """A JPEG may be called .jfif or ".jpg " ; what has captions and cannot be read is named, not left out silently."""
    picture = Image.new("RGB", (40, 40), "red")
    for name in ("a.jpg", "b.jfif", "c.jpe", "d.jpg "):
        picture.save(tmp_path / name, format="JPEG")
    (tmp_path / "e.raw").write_bytes(b"no picture at all")
    (tmp_path / "notes.pdf").write_bytes(b"without captions: of no interest")
    (tmp_path / ".hidden.txt").write_text("Hidden.")
    for stem in "abcdez":
        (tmp_path / f"{stem}.txt").write_text("A caption.")
    with caplog.at_level(logging.WARNING, logger="training.data"):
        examples = load_examples(DataOptions("folder", str(tmp_path)))
    assert [Path(example.name).name for example in examples] == ["a.jpg", "b.jfif", "c.jpe", "d.jpg "]
    texts = [record.getMessage() for record in caplog.records if record.name.startswith("training")]
    assert len(texts) == 2
    assert "e.raw has captions, but is left out: " in texts[0]
    assert texts[1].endswith("1 text files have no media file: z.txt")
    soundfile.write(tmp_path / "f.rec", [0.1, -0.1] * 8000, 16_000, format="WAV")
    (tmp_path / "f.txt").write_text("A sound.")
    with pytest.raises(DataError, match="holds 4 images and 1 sounds: set modality"):
        load_examples(DataOptions("folder", str(tmp_path)))


def test_captions_in_caption_files(photos):
    (photos / "b.txt").rename(photos / "b.caption")
    assert load_examples(DataOptions("folder", str(photos)))[0].captions == ("A dog.", "A brown dog.")


def test_llava_json(photos):
    def row(name: str, *answers: str) -> dict:
        turns = [{"from": "human", "value": "<image>\nDescribe."}]
        return {"id": name, "image": name, "conversations": [*turns, *({"from": "gpt", "value": a} for a in answers)]}

    file = photos / "data.json"
    file.write_text(json.dumps([row("b.jpg", "A dog."), row("sub/a.PNG", "A cat.")]))
    assert load_examples(DataOptions("table", str(file))) == [
        Example(photos / "b.jpg", ("A dog.",)),
        Example(photos / "sub" / "a.PNG", ("A cat.",)),
    ]
    file.write_text(json.dumps([row("b.jpg", "A dog.", "It is brown.")]))
    with pytest.raises(DataError, match="row 1: its conversation has 2 answers"):
        load_examples(DataOptions("table", str(file)))
    file.write_text(json.dumps({"annotations": []}))
    with pytest.raises(DataError, match="no list of rows; for COCO captions or TextCaps set kind to coco"):
        load_examples(DataOptions("table", str(file)))


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [("table", "a.json", "[" * 100_000), ("table", "a.jsonl", "[" * 100_000), ("coco", "a.json", "[" * 100_000)],
)
def test_json_that_is_nested_too_deeply(tmp_path, kind, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="nested too deeply"):
        load_examples(DataOptions(kind, str(tmp_path / name)))


def test_paths_with_backslashes(photos):
    (photos / "captions.csv").write_text("file,caption\nsub\\a.PNG,A cat.\n")
    assert load_examples(DataOptions("folder", str(photos))) == [Example(photos / "sub" / "a.PNG", ("A cat.",))]


def test_parquet_with_paths_and_with_media(photos):
    import datasets

    rows = {"file_name": ["b.jpg", "sub/a.PNG"], "caption": ["A dog.", "A cat."]}
    datasets.Dataset.from_dict(rows).to_parquet(str(photos / "metadata.parquet"))
    expected = [Example(photos / "b.jpg", ("A dog.",)), Example(photos / "sub" / "a.PNG", ("A cat.",))]
    assert load_examples(DataOptions("folder", str(photos))) == expected
    cells = {"image": [{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}], "text": ["A dog.", "A cat."]}
    file = photos / "sub" / "media.parquet"
    features = datasets.Features({"image": datasets.Image(decode=False), "text": datasets.Value("string")})
    datasets.Dataset.from_dict(cells, features=features).to_parquet(str(file))
    first, second = load_examples(DataOptions("table", str(file)))
    assert (first.media.read(), second.media.read()) == (b"one", b"two") and second.captions == ("A cat.",)
    assert load_examples(DataOptions("table", str(file), limit=1)) == [first]
    file.write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        load_examples(DataOptions("table", str(file)))


@pytest.fixture
def divided(tmp_path) -> Path:
    """A data set in the folders train and test, each with its table."""
    for split, names in {"train": ("a.jpg", "b.jpg"), "test": ("c.jpg",)}.items():
        touch(tmp_path, *(f"{split}/{name}" for name in names))
        table = "\n".join(["file_name,text", *(f"{name},A {name[0]}." for name in names)])
        (tmp_path / split / "metadata.csv").write_text(table)
    return tmp_path


def test_a_folder_in_splits(divided, caplog):
    with caplog.at_level(logging.WARNING, logger="training.data"):
        train = load_examples(DataOptions("folder", str(divided)))
    assert [example.media for example in train] == [divided / "train" / "a.jpg", divided / "train" / "b.jpg"]
    assert "only the subfolder train is read, not test" in caplog.text
    options = DataOptions("folder", str(divided), validation_split="test")
    assert [example.media for example in load_examples(options, "validation")] == [divided / "test" / "c.jpg"]
    with pytest.raises(DataError, match=r"has no subfolder val \(data.split\); its subfolders are test, train"):
        load_examples(DataOptions("folder", str(divided), split="val"))


def test_a_folder_called_train_among_others_is_no_split(photos):
    """Pictures of trains, say."""
    (photos / "sub").rename(photos / "train")
    assert len(load_examples(DataOptions("folder", str(photos)))) == 2


def test_the_validation_split_does_not_depend_on_pythonhashseed(tmp_path):
    """Files of one name in many folders have one hash: their folders decide."""
    names = [f"{number:02}/picture.jpg" for number in range(40)]
    touch(tmp_path, *names)
    for name in names:
        (tmp_path / name).with_suffix(".txt").write_text("A caption.")
    options = DataOptions("folder", str(tmp_path), validation_share=0.1)
    chosen = [example.media.parent.name for example in load_examples(options, "validation")]
    assert chosen == ["00", "01", "02", "03"]


def test_the_validation_split_is_no_matter_of_order_or_place(many, tmp_path_factory):
    """Not the first names; the same when the folder moves or a file comes that sorts before all others."""
    options = DataOptions("folder", str(many), validation_share=0.25)
    chosen = {example.media.name for example in load_examples(options, "validation")}
    assert chosen != {f"{number}.jpg" for number in range(10)} and len(chosen) == 10
    assert chosen != set(sorted(f"{number}.jpg" for number in range(40))[:10])
    touch(many, "+first.jpg")
    with (many / "captions.csv").open("a") as table:
        table.write("\n+first.jpg,New")
    again = {example.media.name for example in load_examples(options, "validation")}
    assert len(chosen - again) <= 1
    moved = tmp_path_factory.mktemp("moved") / "there"
    many.rename(moved)
    options = DataOptions("folder", str(moved), validation_share=0.25)
    assert {example.media.name for example in load_examples(options, "validation")} == again


def test_validation_media_of_their_own(photos, tmp_path_factory):
    """``validation_media`` is where a validation table's files are; without it, ``media`` is."""
    other = tmp_path_factory.mktemp("other")
    touch(other, "b.jpg")
    for name in ("train.csv", "validation.csv"):
        (photos / name).write_text("file,caption\nb.jpg,A dog.\n")
    paths = {"path": str(photos / "train.csv"), "validation_path": str(photos / "validation.csv")}
    options = DataOptions("table", **paths, media=str(photos), validation_media=str(other))
    assert [load_examples(options, split)[0].media.parent for split in ("train", "validation")] == [photos, other]
    options = DataOptions("table", **paths, media=str(other))
    assert [load_examples(options, split)[0].media.parent for split in ("train", "validation")] == [other, other]


def test_answers_of_an_assistant_and_captions_next_to_a_conversation(photos):
    turns = [{"from": "human", "value": "What is it?"}, {"from": "Assistant", "value": "A dog."}, "junk"]
    rows = [{"image": "b.jpg", "conversations": turns}]
    (photos / "data.json").write_text(json.dumps(rows))
    assert load_examples(DataOptions("table", str(photos / "data.json")))[0].captions == ("A dog.",)
    rows[0]["caption"] = "Mine."
    (photos / "data.json").write_text(json.dumps(rows))
    assert load_examples(DataOptions("table", str(photos / "data.json")))[0].captions == ("Mine.",)


def test_a_file_with_a_backslash_in_its_name_is_that_file(photos):
    touch(photos, "sub\\a.PNG")
    (photos / "captions.csv").write_text("file,caption\nsub\\a.PNG,A cat.\n")
    assert load_examples(DataOptions("folder", str(photos)))[0].media == photos / "sub\\a.PNG"


def test_a_folder_of_splits_may_hold_hidden_files_and_must_hold_the_split(divided):
    touch(divided, ".DS_Store")
    assert len(load_examples(DataOptions("folder", str(divided)))) == 2
    (divided / "train").rename(divided / "val")
    with pytest.raises(DataError, match="has no subfolder train .*; its subfolders are test, val"):
        load_examples(DataOptions("folder", str(divided)))
