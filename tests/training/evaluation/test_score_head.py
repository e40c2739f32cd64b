"""The program that trains a score head, on a tiny bundle whose winners the picture does or does not show."""

import json
import shutil
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from lora_mcl.bundle import load_bundle, save_bundle
from lora_mcl.bundle.card import GENERATED, model_card
from lora_mcl.captioner import Captioner
from tests.support.comparisons import HYPOTHESES, last
from training import score_head as program

COLOURS = ("red", "blue", "green", "white", "black")
# The tiny bundle's random hypotheses win this caption by the picture's colour, in red pictures hypothesis 1; there
# hypothesis 0 wins the other.
BY_COLOUR, OTHER = "two cats", "12"


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    """A bundle that the test may change, with a generated card."""
    folder = shutil.copytree(tiny_bundle.parent, tmp_path / "tiny") / tiny_bundle.name
    (folder / "README.md").write_text(model_card(load_bundle(folder), "bundle"), encoding="utf-8")
    return folder


def picture_of(colour, n=0):
    image = Image.new("RGB", (36 + n % 7, 36), colour)
    image.putpixel((n % 30, 3), (255, 128, 0))
    return image


def write(folder, count, caption_of, colours=COLOURS):
    """``count`` captioned pictures, of the colours in turn."""
    folder.mkdir()
    for n in range(count):
        picture_of(colours[n % len(colours)], n).save(folder / f"{n:03}.png")
        (folder / f"{n:03}.txt").write_text(caption_of(n), encoding="utf-8")
    return folder


def run(bundle, data, *more):
    return program.main(["--model", str(bundle), "--data", str(data), "--batch", "8", "--device", "cpu", *more])


def test_a_head_that_is_better_goes_into_the_bundle(copy, tmp_path, capsys):
    data = write(tmp_path / "shown", 100, lambda n: BY_COLOUR)
    assert run(copy, data, "--report", str(tmp_path / "report.json")) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["better"] and report["media"] == {"fit": 60, "held_out": 20, "test": 20}
    rankings = report["rankings"]
    assert rankings["score head"]["accuracy"] > 0.9 > rankings["frequency"]["accuracy"]
    assert rankings["frequency"]["gain"] > 2 * rankings["frequency"]["gain_error"]
    assert sum(count for _, _, count in rankings["score head"]["reliability"]) == 20
    output = capsys.readouterr().out
    assert "| score head | " in output and "better than both simpler rankings." in output

    head = load_bundle(copy).score_head
    assert (head.captions, head.accuracy) == (20, rankings["score head"]["accuracy"])
    assert head.frequency_log_loss == rankings["frequency"]["log_loss"] > head.log_loss
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert "`score_head.safetensors` predicts" in card and GENERATED in card
    captioner = Captioner.load(copy, device="cpu")
    right = 0
    for file in sorted(data.glob("*.png"))[:15]:
        final = last(captioner.compare(file, captioner.defaults.with_changes({"max_new_tokens": 1})))
        predicted = max(HYPOTHESES, key=lambda id: final.column(id).win_probability)
        right += predicted == captioner.score(file, BY_COLOUR).winner.id
    assert right >= 13


def test_a_head_that_is_no_better_is_not_kept(copy, tmp_path, capsys):
    """Equal pictures have one of two captions at random: nothing can be predicted. An earlier head is removed."""
    data = write(tmp_path / "unknown", 40, lambda n: Random(n).choice((BY_COLOUR, OTHER)), ["red"])
    head = program.ScoreHead(torch.zeros(3, 32), torch.zeros(3))
    figures = {"accuracy": 0.5, "log_loss": 0.7, "ece": 0.1}
    program.save_head(load_bundle(copy), head, figures, captions=9, frequency=0.8)
    before = (copy / "bundle.json").read_bytes()
    assert run(copy, data, "--dry-run") == 0
    assert (copy / "bundle.json").read_bytes() == before and (copy / "score_head.safetensors").is_file()
    capsys.readouterr()
    assert run(copy, data) == 0
    assert "not clearly better than both simpler rankings: the bundle has none" in capsys.readouterr().out
    assert load_bundle(copy).score_head is None and not (copy / "score_head.safetensors").exists()
    assert "score_head" not in (copy / "README.md").read_text(encoding="utf-8")


def test_a_card_that_a_person_wrote_is_kept(copy):
    (copy / "README.md").write_text("# Mine\n")
    head = program.ScoreHead(torch.zeros(3, 32), torch.zeros(3))
    program.save_head(load_bundle(copy), head, {"accuracy": 0.5, "log_loss": 0.7, "ece": 0.1}, 9, 0.8)
    assert (copy / "README.md").read_text() == "# Mine\n" and load_bundle(copy).score_head.captions == 9


def test_media_are_split_by_their_names():
    media = [SimpleNamespace(name=f"{n}.png") for n in range(50)]
    parts = program.parts_of(media)
    assert [len(part) for part in parts] == [30, 10, 10]
    assert len({medium.name for part in parts for medium in part}) == 50
    assert program.parts_of(media[::-1]) == parts


def test_bad_input_is_one_sentence(copy, tmp_path, capsys):
    few = write(tmp_path / "few", 5, lambda n: "A cat.")
    enough = write(tmp_path / "enough", 20, lambda n: "A cat.")
    for file in enough.glob("*.png"):
        file.write_bytes(b"no picture")
    one = load_bundle(copy)
    cases = [
        ((tmp_path / "nowhere", few), "There is no bundle folder"),
        ((copy, tmp_path / "nowhere"), "There are no data"),
        ((copy, few), "5 media are too few for a score head: give 20 or more"),
        ((copy, enough), "none of the media can be decoded"),
        ((copy, few, "--limit", "-1"), "limit"),
    ]
    for arguments, message in cases:
        assert run(*arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("score_head: ") and message in error
    save_bundle(replace(one, hypotheses=one.hypotheses[:1]))
    assert run(copy, few) == 2
    assert "has one hypothesis: there is nothing to predict" in capsys.readouterr().err


def test_interruption_leaves_the_bundle(copy, tmp_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "look_at", stop)
    before = (copy / "bundle.json").read_bytes()
    assert run(copy, write(tmp_path / "some", 20, lambda n: "A cat.")) == 130
    assert (copy / "bundle.json").read_bytes() == before
    assert "the bundle is as it was" in capsys.readouterr().err
