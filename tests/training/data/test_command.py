"""``python -m training.data``: its output for a folder, of damaged files and of data that cannot be opened."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.support.tiny_audio import tone
from training.data.__main__ import main


@pytest.fixture
def photos(tmp_path) -> Path:
    for name, text in [("a.jpg", "A dog.\nA brown dog on grass."), ("b.png", "Two cats.")]:
        Image.new("RGB", (20, 20), "red").save(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text(text)
    return tmp_path


def test_a_sound_folder_and_a_damaged_one(photos, capsys):
    assert main([str(photos)]) == 0
    assert capsys.readouterr().out == (
        "2 media, 3 captions (1 to 2 each, 3.0 words on average)\n"
        f"first: {photos / 'a.jpg'}\n       A dog.\n       A brown dog on grass.\nall of them can be decoded\n"
    )
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:60])
    assert main([str(photos)]) == 1
    output = capsys.readouterr().out
    assert f"cannot be decoded: {photos / 'b.png'}: " in output and "1 of them cannot be decoded" in output


def test_a_table_of_sounds_with_modes(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", tone(440, 0.5), 16_000)
    (tmp_path / "captions.csv").write_text("file,caption,mode\na.wav,A tone.,en\na.wav,Un son.,fr\ngone.wav,Rain.,en\n")
    assert main([str(tmp_path / "captions.csv")]) == 2
    assert "names 1 files of 2 that are not there" in capsys.readouterr().err
    assert main([str(tmp_path / "captions.csv"), "--max-missing", "1"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("1 media, 2 captions (1 each, 2.0 words on average)\nmodes: en 1, fr 1\n")


def test_what_cannot_be_opened(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere.csv")]) == 2
    assert capsys.readouterr().err.startswith(f"There is no table {tmp_path / 'nowhere.csv'}")


def test_what_training_would_skip_is_listed(tmp_path, capsys):
    """As training reads it: a sound from where it begins, and of a folder of sounds no picture."""
    samples = np.concatenate([np.zeros(35 * 16_000), tone(440, 1.0)])
    soundfile.write(tmp_path / "late.wav", samples, 16_000)
    soundfile.write(tmp_path / "silent.wav", samples[: 35 * 16_000], 16_000)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "picture.wav", format="PNG")
    for name in ("late", "silent", "picture"):
        (tmp_path / f"{name}.txt").write_text("A sound.")
    assert main([str(tmp_path), "--modality", "audio"]) == 1
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cannot be decoded")]
    assert [line.split(": ")[1].rpartition("/")[2] for line in listed] == ["picture.wav", "silent.wav"]


def test_any_error_of_a_decoder_names_the_file(tmp_path, capsys, monkeypatch):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("A dog.")

    def fails(path):
        raise RuntimeError("Decompressed data too large")

    monkeypatch.setattr("training.data.preprocess.load_image", fails)
    assert main([str(tmp_path)]) == 1
    assert f"cannot be decoded: {tmp_path / 'a.png'}: " in capsys.readouterr().out
