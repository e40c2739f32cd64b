"""The experiment on all systems renders scenes with every annotator's caption, and evaluates the embedded bundle."""

import csv
import json
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.support.tiny_audio import SAMPLING_RATE, chirp
from training.experiments.systems import __main__ as program
from training.experiments.systems import scenes, score_head

MODES = ("en", "fr")


def domain(tmp_path, bundle, medium, name):
    """A domain of two annotators that renders what ``medium`` makes of a scene's number."""
    rendering = SimpleNamespace(
        load_material=lambda split: split,
        material_split=lambda split: split,
        render=lambda split, number, material: (SimpleNamespace(scene=number), medium(number)),
    )
    annotators = SimpleNamespace(
        modes=MODES, caption=lambda scene, mode, rng: f"{mode} scene {scene} {rng.choice('ab')}"
    )
    return SimpleNamespace(rendering=rendering, annotators=annotators, bundle_dir=bundle, name=name)


def test_scenes_are_files_with_each_annotators_caption(tmp_path):
    made = []

    def medium(number):
        made.append(number)
        return Image.new("RGB", (8, 8), (number, 0, 0))

    folder = tmp_path / "rendered"
    scenes.write_scenes(domain(tmp_path, None, medium, "image"), 2, folder)
    with (folder / "captions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file_name"], row["mode"]) for row in rows] == [
        ("0000.png", "en"),
        ("0000.png", "fr"),
        ("0001.png", "en"),
        ("0001.png", "fr"),
    ]
    expected = f"fr scene 1 {random.Random('test/1/fr').choice('ab')}"
    assert rows[3]["caption"] == expected  # the one that the embedded evaluation scores
    assert Image.open(folder / "0001.png").getpixel((0, 0)) == (1, 0, 0)
    scenes.write_scenes(domain(tmp_path, None, medium, "image"), 2, folder)
    assert made == [0, 1]  # not again


def test_samples_are_kept_without_loss(tmp_path):
    samples = (np.arange(-100, 100) / 2**15).astype(np.float32)
    name = scenes.save_medium(samples, tmp_path / "0000")
    read, rate = soundfile.read(tmp_path / name, dtype="float32")
    assert rate == SAMPLING_RATE and np.array_equal(read, samples)


def test_from_scenes_to_a_results_file(tmp_path, tiny_audio_bundle, monkeypatch):
    tiny = domain(tmp_path, tiny_audio_bundle, lambda number: chirp(0.4 + 0.1 * number, SAMPLING_RATE), "audio")
    monkeypatch.setattr(program, "load_domain", lambda name: tiny)
    monkeypatch.setattr("shutil.which", lambda name: None)
    evaluate = program.evaluate

    def short(model, data, out, options, **more):
        return evaluate(model, data, out, replace(options, max_new_tokens=3), **more)

    monkeypatch.setattr(program, "evaluate", short)
    out = tmp_path / "results" / "systems-audio.json"
    results = program.run("audio", 2, tmp_path / "kept", out)
    assert results["data"] == "2 test scenes" and results["media"] == 2
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    found = results["specialisation"]["modes"]
    assert found["modes"] == ["en", "fr"]
    assert [sum(row) for row in found["share"]] == pytest.approx([1, 1], abs=1e-3)


def test_one_scene_is_too_few(capsys):
    with pytest.raises(SystemExit):
        program.main(["audio", "--scenes", "1"])
    assert "--scenes must be at least 2: CIDEr-D of a single one is 0" in capsys.readouterr().err


def test_a_score_head_is_measured_and_the_bundle_stays(tmp_path, monkeypatch, tiny_bundle):
    def medium(number):
        image = Image.new("RGB", (36, 36), (number, 0, 0))
        image.putpixel((3, 3), (255, 255, 255))
        return image

    monkeypatch.setattr(score_head, "load_domain", lambda name: domain(tmp_path, tiny_bundle, medium, name))
    before = (tiny_bundle / "bundle.json").read_bytes()
    report = score_head.run("image", 20, tmp_path / "kept", tmp_path / "results" / "score-head-image.json")
    assert json.loads((tmp_path / "results" / "score-head-image.json").read_text()) == report
    assert report["captions"] == {"fit": 24, "held_out": 8, "test": 8}
    assert set(report["rankings"]) == {"score head", "log-probability", "frequency"}
    assert (tiny_bundle / "bundle.json").read_bytes() == before and str(tmp_path) not in json.dumps(report)
