"""The bilingual data set: half of the images' captions go through a translator, here a random one."""

import json

import pytest
import torch
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.tiny_image import TEXTS
from training.data import DataError, DataOptions, load_examples
from training.data import bilingual as program
from training.data.bilingual import BilingualOptions, main, make_bilingual


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """Folder of a tiny T5 with random weights: its output has no sense, but is the same each time."""
    folder = tmp_path_factory.mktemp("t5")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_tokenizer(TEXTS, ["<pad>", "</s>"]), pad_token="<pad>", eos_token="</s>"
    )
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def textcaps(folder, images=6):
    """Two captions of each image, as TextCaps has them: each row also lists all of its image's."""
    texts = {n: [f"A sign {n}.", f"Sign number {n}"] for n in range(images)}
    rows = [
        {"image_id": f"i{n}", "image_path": f"train/i{n}.jpg", "caption_str": text, "reference_strs": texts[n]}
        for n in range(images)
        for text in texts[n]
    ]
    file = folder / "in.json"
    file.write_text(json.dumps({"dataset_name": "textcaps", "data": rows}))
    return file


def spoken(monkeypatch, calls):
    """In place of the model: upper case, and what it was asked for."""

    def translate(texts):
        calls.extend(texts)
        return [text.upper() for text in texts]

    monkeypatch.setattr(program, "translator", lambda options: translate)


def test_captions_of_half_of_the_images_are_translated_and_no_others(tmp_path, monkeypatch):
    source, calls = textcaps(tmp_path), []
    spoken(monkeypatch, calls)
    assert make_bilingual(source, tmp_path / "out.json", BilingualOptions(batch_size=4)) == 6
    before, after = (json.loads((tmp_path / name).read_text()) for name in ("in.json", "out.json"))
    assert after["dataset_name"] == "textcaps" and len(after["data"]) == 12
    french = {row["image_id"] for row in after["data"] if row.get("mode") == "fr"}
    assert len(french) == 3 and len(calls) == len(set(calls)) == 6
    for old, new in zip(before["data"], after["data"], strict=True):
        if old["image_id"] in french:
            assert new["caption_str"] == old["caption_str"].upper()
            assert new["reference_strs"] == [text.upper() for text in old["reference_strs"]]
        else:
            assert new == old
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.json", "out.json"]


def test_the_draw_is_the_seeds(tmp_path, monkeypatch):
    source = textcaps(tmp_path, 20)
    spoken(monkeypatch, [])

    def images(name, seed):
        make_bilingual(source, tmp_path / name, BilingualOptions(seed=seed))
        return [row["image_id"] for row in json.loads((tmp_path / name).read_text())["data"] if "mode" in row]

    assert images("a.json", 0) == images("b.json", 0) != images("c.json", 1)


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    source, target = textcaps(tmp_path), tmp_path / "out.json"
    calls = []

    def stops(texts):
        if calls:
            raise KeyboardInterrupt
        calls.extend(texts)
        return [text.upper() for text in texts]

    monkeypatch.setattr(program, "translator", lambda options: stops)
    with pytest.raises(KeyboardInterrupt):
        make_bilingual(source, target, BilingualOptions(batch_size=2))
    kept = tmp_path / "out.json.translated"
    kept.write_text(kept.read_text() + '["A sign 5')  # stopped in the middle of a line
    assert not target.exists()
    with pytest.raises(DataError, match="begun with other settings"):
        make_bilingual(source, target, BilingualOptions(prefix="translate English to German: "))
    again = []
    spoken(monkeypatch, again)
    make_bilingual(source, target, BilingualOptions(batch_size=2))
    assert len(again) == 4 and not set(again) & set(calls)
    rows = [row for row in json.loads(target.read_text())["data"] if "mode" in row]
    assert all(row["caption_str"].isupper() for row in rows) and len(rows) == 6


def test_a_real_translator_through_to_examples(tmp_path, translator, picture, capsys):
    """COCO's form; the file is then read as training data."""
    images = [{"id": n, "file_name": f"{n}.png"} for n in range(4)]
    annotations = [{"image_id": n, "caption": f"A cat {n}."} for n in range(4)]
    (tmp_path / "in.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    for image in images:
        (tmp_path / image["file_name"]).write_bytes(picture.read_bytes())
    words = [str(tmp_path / "in.json"), str(tmp_path / "out.json"), "--model", str(translator), "--mode", "x"]
    assert main([*words, "--beams", "2", "--share", "0.75"]) == 0
    assert capsys.readouterr().out.endswith("out.json: 3 annotations translated\n")
    examples = load_examples(DataOptions("coco", str(tmp_path / "out.json"), media=str(tmp_path)))
    assert len(examples) == 4
    rows = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert [row.get("mode") for row in rows].count("x") == 3
    changed = [new["caption"] != old["caption"] for new, old in zip(rows, annotations, strict=True)]
    assert sum(changed) == 3


def test_mistakes_give_one_line(tmp_path, capsys):
    (tmp_path / "in.json").write_text('{"rows": []}')
    with pytest.raises(DataError, match="neither of COCO"):
        make_bilingual(tmp_path / "in.json", tmp_path / "out.json", BilingualOptions())
    assert main([str(tmp_path / "none.json"), str(tmp_path / "out.json")]) == 2
    assert "none.json cannot be read as JSON" in capsys.readouterr().err
    assert main([str(textcaps(tmp_path)), str(tmp_path / "out.json"), "--model", str(tmp_path / "nothing")]) == 2
    assert "cannot be loaded as a translator" in capsys.readouterr().err
    assert main([str(textcaps(tmp_path)), str(tmp_path / "out.json"), "--share", "2"]) == 2
