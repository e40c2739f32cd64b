"""The commands of the evaluation guide are understood, and run on small copies of the data they name."""

import csv
import json
import re
import shlex
import shutil

import pytest

from tests.support.captioned_files import picture_folder, sound_folder
from tests.support.paths import ROOT
from training import evaluate as program

GUIDE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m training.evaluate (.*)$", GUIDE, re.M)


def published_data(folder):
    """The three test sets in the layout that the guide names."""
    sounds = sound_folder(folder / "data" / "audiocaps" / "test", 1)
    with (folder / "data/audiocaps/test.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["audiocap_id", "youtube_id", "start_time", "caption"])
        rows.writerows([[n, "abc", 10, f"a dog barks {n}"] for n in range(2)])
    (sounds / "000.wav").rename(sounds / "abc_10.wav")
    clotho = sound_folder(folder / "data" / "clotho" / "evaluation", 1)
    with (folder / "data/clotho/clotho_captions_evaluation.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", *(f"caption_{n}" for n in range(1, 6))])
        rows.writerow([next(clotho.glob("*.wav")).name, *(f"a dog barks {n}" for n in range(5))])
    images = picture_folder(folder / "data" / "textcaps" / "train_images", 1)
    (images / "000.png").rename(images / "one.png")
    entry = {"image_id": "one", "image_path": "train/one.png", "caption_str": "A red apple."}
    captions = [entry | {"reference_strs": ["A red apple.", "An apple."]}]
    (folder / "data/textcaps/TextCaps_0.1_val.json").write_text(json.dumps({"data": captions}))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command, tmp_path, monkeypatch, tiny_bundle, tiny_audio_bundle):
    arguments = program.parser().parse_args(shlex.split(command))
    audio = arguments.data in ("audiocaps", "clotho")
    bundle = tiny_audio_bundle if audio else tiny_bundle
    # The bundles that the guide names are trained on a GPU: a tiny one of the same modality takes their place.
    monkeypatch.setattr("shutil.which", lambda name: None)
    published_data(tmp_path)
    picture_folder(tmp_path / "my-photos", 1)
    monkeypatch.chdir(tmp_path)
    # Its base is next to it, and paths in a bundle are relative.
    place = tmp_path / arguments.model
    shutil.copytree(bundle, place)
    shutil.copytree(bundle.parent / "base", place.parent / "base")
    if arguments.captions:
        table = json.loads((place / "bundle.json").read_text())
        (place / "bundle.json").write_text(json.dumps(table | {"hypotheses": table["hypotheses"][:1]}))
    words = [*shlex.split(command), "--max-new-tokens", "3"]
    assert program.main(words) == 0
    results = json.loads((arguments.out / "results.json").read_text())
    assert results["media"] == 1
    captions = arguments.captions or 3
    assert results["systems"]["beam search"]["captions"] == captions
    assert results["systems"]["beam search"]["rows"] == captions * arguments.beams
    assert ("hypotheses" in results["systems"]) == (not arguments.captions)


def test_there_are_commands():
    assert len(COMMANDS) == 5
