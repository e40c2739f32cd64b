"""``training.wandb``: what goes to TensorBoard goes to Weights & Biases too; here to a package that takes its place."""

import json
import sys

import pytest

from lora_mcl.errors import OptionsError
from tests.support.captioned_files import picture_folder
from tests.support.training_runs import config
from training import train as program
from training.run.arguments import training_arguments

PACKAGE = """
import json, pathlib

class Run:
    name, summary = None, {}
    def _label(self, **kwargs): pass

class Config(dict):
    def update(self, values, **kwargs): super().update(values)

run, config = None, Config()

def write(**entry):
    with pathlib.Path(__file__).with_name("log.jsonl").open("a") as file:
        file.write(json.dumps(entry) + chr(10))

def init(project, name):
    global run
    run = Run()
    write(project=project, name=name)

def define_metric(*args, **kwargs): pass
def log(values): write(**values)
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """The file to which a package in place of ``wandb`` writes its calls, one JSON line each."""

    def forget():
        for name in [name for name in sys.modules if name.split(".")[0] == "wandb"]:
            del sys.modules[name]

    forget()
    folder = tmp_path / "packages" / "wandb"
    (folder / "sdk" / "lib").mkdir(parents=True)
    for part in (folder / "sdk", folder / "sdk" / "lib"):
        (part / "__init__.py").touch()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "sdk" / "lib" / "config_util.py").write_text("class ConfigError(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    yield folder / "log.jsonl"
    forget()


def test_what_a_run_logs(tmp_path, tiny_base, wandb):
    media = picture_folder(tmp_path / "pictures", 9)
    program.train(config(tmp_path / "my-run", tiny_base, media, training={"wandb": True}))
    first, *logs = [json.loads(line) for line in wandb.read_text().splitlines()]
    assert first["name"] == "my-run"
    steps = [entry["train/global_step"] for entry in logs if "train/loss" in entry]
    assert steps == [2, 4, 6]
    assert all("train/wins_1" in entry and "train/best_nll" in entry for entry in logs if "train/loss" in entry)
    assert [entry["train/global_step"] for entry in logs if "eval/loss" in entry] == [3, 6]
    assert list((tmp_path / "my-run" / "checkpoints" / "runs").rglob("events.out.*"))  # TensorBoard's are there too


def test_by_default_only_tensorboard(tmp_path, tiny_base, wandb):
    assert training_arguments(config(tmp_path / "run", tiny_base, tmp_path), 1).report_to == ["tensorboard"]


def test_a_missing_package_is_named(tmp_path, tiny_base, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(OptionsError, match="training.wandb needs the wandb package: pip install wandb"):
        training_arguments(config(tmp_path / "run", tiny_base, tmp_path, training={"wandb": True}), 1)
