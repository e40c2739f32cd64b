"""The walk-through for one's own data: its commands and code run, on eight files in place of fifty."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_mcl.bundle import load_bundle
from lora_mcl.cli import parse_arguments
from tests.support.paths import ROOT
from training.data import DataOptions, load_examples
from training.data.__main__ import main as look
from training.data.loading import READERS
from training.train import main as train

GUIDE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
# Names with an underscore in the list of further keys are keys.
KEYS = re.findall(r"`(\w+_\w+)(?:: \w+)?`", GUIDE.partition("Further keys")[2].partition("## ")[0])


def block(start: str) -> str:
    (found,) = (code for code in re.findall(r"```(?:\w*)\n(.*?)```", GUIDE, re.S) if code.startswith(start))
    return found


def pictures(folder: Path) -> None:
    folder.mkdir()
    for number, name in enumerate(["beach", *"abcdefg"]):
        noise = np.random.default_rng(number).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{name}.jpg")
        (folder / f"{name}.txt").write_text("A red apple.\nUne pomme rouge.")


def test_the_walk_through(tmp_path, tiny_base, monkeypatch, capsys):
    """Its four commands, one after the other, on a tiny base and for few steps."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "my-photos")
    (command,) = re.findall(r"python -m training\.data (.*)", GUIDE)
    assert look(shlex.split(command)) == 0
    assert capsys.readouterr().out.startswith("8 media, 16 captions (2 each")
    (command,) = re.findall(r"python -m training\.train (.*)", GUIDE)
    config, *changes = shlex.split(command)
    fewer = [f"model.base={tiny_base}", "training.steps=4", "training.batch_size=2", "training.evaluate_every=2"]
    assert train([str(ROOT / config), *changes, *fewer]) == 0
    (command,) = re.findall(r"python -m lora_mcl (.*)", GUIDE)
    given = parse_arguments(shlex.split(command))
    assert len(load_bundle(given.model).hypotheses) == 3
    capsys.readouterr()
    given.run(given)
    output = capsys.readouterr().out
    assert all(f"Hypothesis {k}" in output for k in (1, 2, 3))
    (page,) = re.findall(r"python app\.py --image-model (.*)", GUIDE)
    assert page == given.model


def test_the_code_of_the_guide(tmp_path, tiny_base, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "my-photos")
    code = block("from peft").replace("assets/models/image", str(tiny_base))
    code = code.replace('"run",', '"run", use_cpu=True, report_to=[],').replace("epochs=10", "epochs=3")
    torch.manual_seed(0)
    variables: dict = {}
    exec(code, variables)
    assert len(variables["validation"]) == 1 and variables["trainer"].state.global_step == 5
    assert len(load_bundle("my-bundle").hypotheses) == 2


def test_the_table_of_the_guide_is_one(tmp_path):
    pictures(tmp_path / "my-photos")
    (tmp_path / "my-photos" / "captions.csv").write_text(block("file_name,caption"), encoding="utf-8")
    (example,) = load_examples(DataOptions("folder", str(tmp_path / "my-photos")))
    assert example.captions == ("A dog runs on the beach.", "Un chien court, sur la plage.")


@pytest.mark.parametrize("name", KEYS)
def test_the_keys_of_the_guide_exist(name):
    assert len(KEYS) > 8 and name in DataOptions.__dataclass_fields__


def test_every_kind_is_in_the_guide():
    assert set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.M)) - {"kind"} == set(READERS)
