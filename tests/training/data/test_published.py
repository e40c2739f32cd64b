"""Published data as they are downloaded, and Hugging Face datasets, each in a small copy of its real layout."""

import json
from pathlib import Path

import datasets
import pytest

from lora_mcl.errors import MediaError
from tests.support.captioned_files import touch
from training.data import DataError, DataOptions, Example, load_examples

AUDIOCAPS = """audiocap_id,youtube_id,start_time,caption
97151,vfY_TJq7n_U,130,"Rustling occurs, ducks quack and water splashes"
103549,tdWhHV3X25Q,60,An audience gives applause
103548,tdWhHV3X25Q,60,People clap
98582,-0Gj8-vB1q4,30,A train horn
"""


def test_audiocaps(tmp_path):
    (tmp_path / "train.csv").write_text(AUDIOCAPS)
    touch(tmp_path, "clips/a/vfY_TJq7n_U_130.wav", "clips/YtdWhHV3X25Q.flac", "clips/98582.wav")
    options = DataOptions("audiocaps", str(tmp_path / "train.csv"), media=str(tmp_path / "clips"))
    clips = tmp_path / "clips"
    assert load_examples(options) == [
        Example(clips / "a" / "vfY_TJq7n_U_130.wav", ("Rustling occurs, ducks quack and water splashes",)),
        Example(clips / "YtdWhHV3X25Q.flac", ("An audience gives applause", "People clap")),
        Example(clips / "98582.wav", ("A train horn",)),
    ]
    (clips / "98582.wav").unlink()
    with pytest.raises(DataError, match="names 1 files of 3 that are not there, among them -0Gj8-vB1q4_30"):
        load_examples(options)
    (tmp_path / "other.csv").write_text("file_name,caption\na.wav,A dog\n")
    with pytest.raises(DataError, match="is no AudioCaps: no youtube_id in number 1"):
        load_examples(DataOptions("audiocaps", str(tmp_path / "other.csv")))


def test_clotho(tmp_path):
    header = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
    (tmp_path / "clotho_captions_development.csv").write_text(
        f'{header}\nDistorted AM Radio noise.wav,"A muddled noise, loud.",B,C,D,E\n'
    )
    touch(tmp_path, "development/Distorted AM Radio noise.wav")
    options = DataOptions(
        "clotho", str(tmp_path / "clotho_captions_development.csv"), media=str(tmp_path / "development")
    )
    (example,) = load_examples(options)
    assert example.media == tmp_path / "development" / "Distorted AM Radio noise.wav"
    assert example.captions == ("A muddled noise, loud.", "B", "C", "D", "E")
    for path, media, message in [
        ("nowhere.csv", "development", "There is no clotho file .*nowhere.csv"),
        ("clotho_captions_development.csv", "nowhere", "There is no media folder .*nowhere"),
        ("development", "development", "is a folder: path is the file that holds the captions"),
    ]:
        with pytest.raises(DataError, match=message):
            load_examples(DataOptions("clotho", str(tmp_path / path), media=str(tmp_path / media)))


def test_coco(tmp_path):
    content = {
        "info": {},
        "images": [{"id": 9, "file_name": "COCO_train2014_9.jpg"}, {"id": 25, "file_name": "COCO_train2014_25.jpg"}],
        "annotations": [
            {"image_id": 25, "id": 1, "caption": "A giraffe."},
            {"image_id": 9, "id": 2, "caption": "Food in boxes."},
            {"image_id": 25, "id": 3, "caption": "Une girafe.", "mode": "fr"},
            {"image_id": 25, "id": 4, "caption": "A tall animal\n"},
        ],
    }
    (tmp_path / "captions.json").write_text(json.dumps(content))
    touch(tmp_path, "COCO_train2014_9.jpg", "COCO_train2014_25.jpg")
    options = DataOptions("coco", str(tmp_path / "captions.json"))
    assert load_examples(options) == [
        Example(tmp_path / "COCO_train2014_25.jpg", ("A giraffe.", "A tall animal")),
        Example(tmp_path / "COCO_train2014_9.jpg", ("Food in boxes.",)),
        Example(tmp_path / "COCO_train2014_25.jpg", ("Une girafe.",), "fr"),
    ]
    del content["images"][0]
    (tmp_path / "captions.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="1 annotations are of images it does not list, such as 9"):
        load_examples(options)
    (tmp_path / "captions.json").write_text('{"captions": []}')
    with pytest.raises(DataError, match="neither of COCO .* nor of TextCaps .*; it has captions"):
        load_examples(options)


def test_textcaps(tmp_path):
    entry = {"dataset_name": "textcaps", "image_id": "c0b4a7", "caption_id": 1, "set_name": "train"}
    entries = [
        entry | {"image_path": "train/c0b4a7.jpg", "caption_str": "A sign.", "reference_strs": ["A sign.", "STOP."]},
        entry | {"image_path": "train/c0b4a7.jpg", "caption_str": "Red.", "reference_strs": ["A sign.", "STOP."]},
        entry | {"image_id": "f00d", "caption_str": "A menu."},
    ]
    (tmp_path / "TextCaps_0.1_train.json").write_text(json.dumps({"dataset_type": "train", "data": entries}))
    touch(tmp_path, "train_images/c0b4a7.jpg", "train_images/f00d.jpg")
    images = tmp_path / "train_images"
    options = DataOptions("coco", str(tmp_path / "TextCaps_0.1_train.json"), media=str(images))
    assert load_examples(options) == [
        Example(images / "c0b4a7.jpg", ("A sign.", "STOP.", "Red.")),
        Example(images / "f00d.jpg", ("A menu.",)),
    ]


@pytest.fixture
def saved(tmp_path) -> Path:
    """A dataset on disk whose splits have an audio column, with bytes, with a file and with nothing in it."""
    touch(tmp_path, "there.wav")
    rows = {
        "audio": [
            {"bytes": b"RIFF", "path": "a.wav"},
            {"bytes": None, "path": str(tmp_path / "there.wav")},
            None,
        ],
        "text": [["A dog.", "A pet."], ["Rain."], ["Wind."]],
        "mode": ["en", None, ""],
    }
    train = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    folder = tmp_path / "saved"
    datasets.DatasetDict({"train": train, "dev": train.select([0])}).save_to_disk(folder)
    return folder


def test_a_dataset_with_an_audio_column(saved):
    options = DataOptions("hub", str(saved), validation_split="dev")
    first, second, third = load_examples(options)
    assert (first.captions, first.mode, first.media.read()) == (("A dog.", "A pet."), "en", b"RIFF")
    assert (second.captions, second.mode, second.media.read()) == (("Rain.",), None, b"never decoded here")
    assert third.name == f"{saved} (train), row 2"
    with pytest.raises(MediaError, match=r"row 2 holds no audio"):
        third.media.read()
    (only,) = load_examples(options, "validation")
    assert only.name == f"{saved} (dev), row 0"
    assert len(load_examples(DataOptions("hub", str(saved), limit=2))) == 2
    assert load_examples(options) == [first, second, third]  # read again, equal


def test_a_folder_of_parquet_with_an_image_column(tmp_path, monkeypatch, picture):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {"image": [str(picture)], "caption": ["A red circle."], "thumbnail": [str(picture)]}
    types = {"image": datasets.Image(), "caption": datasets.Value("string"), "thumbnail": datasets.Image()}
    (tmp_path / "data").mkdir()
    whole = datasets.Dataset.from_dict(rows, features=datasets.Features(types))
    whole.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=r"2 columns of type Image or Audio; it has image \(Image\), .*media_column"):
        load_examples(DataOptions("hub", str(tmp_path / "data")))
    (example,) = load_examples(DataOptions("hub", str(tmp_path / "data"), media_column="image"))
    assert example.captions == ("A red circle.",) and example.media.read() == picture.read_bytes()
    monkeypatch.setenv("HOME", str(tmp_path))
    (at_home,) = load_examples(DataOptions("hub", "~/data", media_column="image"))
    assert at_home.captions == example.captions


def test_datasets_that_are_wrong(saved, tmp_path):
    for options, message in [
        (DataOptions("hub", str(tmp_path / "nowhere")), "The dataset .*nowhere cannot be loaded"),
        (DataOptions("hub", str(saved), split="test"), "has no split 'test'; it has train, dev"),
        (DataOptions("hub", str(saved), modality="image"), "no column of type Image; it has audio"),
        (DataOptions("hub", str(saved), caption_columns=("words",)), "no column 'words'; its columns are audio, text"),
    ]:
        with pytest.raises(DataError, match=message):
            load_examples(options)
