"""Every configuration that comes with the repository fits the program, and the walk-through's commands run."""

import re
import shlex

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from tests.support.paths import ROOT
from training import train as program
from training.run.config import load_config
from training.run.options import TrainConfig

FOLDER = ROOT / "training" / "configs"
CONFIGS = sorted({*FOLDER.rglob("*.yaml")} - {*(FOLDER / "accelerate").iterdir()})
GUIDES = [
    file.read_text(encoding="utf-8")
    for file in [
        ROOT / "README.md",
        *sorted((ROOT / "training" / "embedded").rglob("README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    ]
]
COMMANDS = [line for guide in GUIDES for line in re.findall(r"^python -m training\.train (.*)$", guide, re.M)]


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.relative_to(FOLDER)))
def test_every_configuration_is_valid_and_names_its_source(file):
    config = load_config(TrainConfig, file)
    assert config.about.source and config.about.hours and config.about.memory
    assert config.output.name == file.stem


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_guides_fit_the_program(command, capsys):
    words = [word for word in shlex.split(command, comments=True) if word != "--print-config"]
    assert program.main([*(str(ROOT / w) if w.endswith(".yaml") else w for w in words), "--print-config"]) == 0
    assert "learning_rate" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp2", "zero3"])
def test_accelerate_takes_its_configurations(name):
    settings = load_config_from_file(str(ROOT / "training" / "configs" / "accelerate" / f"{name}.yaml"))
    types = {"single": "NO", "ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero3": "DEEPSPEED"}
    assert settings.distributed_type == types[name]
    if name == "zero3":
        assert settings.deepspeed_config["zero_stage"] == 3
    if name == "fsdp2":
        assert settings.fsdp_config["fsdp_version"] == 2
        assert settings.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] == LlamaDecoderLayer.__name__
