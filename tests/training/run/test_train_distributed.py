"""Two processes of the training program give the bundle that one gives, by DDP and by FSDP2 (weights shared out)."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_mcl.captioner import Captioner
from lora_mcl.gate import CaptionGate
from tests.support.captioned_files import picture_folder
from tests.support.programs import train_full
from tests.support.ranks import run_ranks
from tests.support.training_runs import config_file, learned
from training import train as program
from training.run.config import load_config
from training.run.options import TrainConfig

GATE = {"objective": {"name": "caption-gate"}, "gate": {"balance": "estimated", "start": "random"}}
RUNS = {"annealed": {}, "gate": GATE}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = picture_folder(tmp_path_factory.mktemp("data") / "pictures", 18)
    (folder / "000.txt").write_text("A red apple.\n")
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory, tiny_base, media):
    """The folder of each run of one process."""
    folder = tmp_path_factory.mktemp("one")
    for name, changes in RUNS.items():
        program.train(load_config(TrainConfig, config_file(folder, name, tiny_base, media, 4, **changes)))
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory, tiny_base, media):
    """The folder of a run of two processes; with FSDP2 they did share out adapters and base."""

    @cache
    def run(way: str, name: str) -> Path:
        folder = tmp_path_factory.mktemp(way)
        file = config_file(folder, name, tiny_base, media, 2, **RUNS[name])
        printed = run_ranks(folder, train_full.train, file, way)
        if way == "fsdp2":
            (shared,) = set(re.findall(r"SHARDED (\d+) True True", printed))
            assert int(shared) > 40
        return file.with_suffix("")

    return run


@pytest.mark.slow
def test_a_gate_is_saved_whole_by_processes_that_share_it_out(two):
    run = two("fsdp2", "gate")
    gate = CaptionGate.load(run / "bundle" / "gate")
    checkpoint = load_file(run / "checkpoints" / "checkpoint-4" / "model.safetensors")
    assert gate.weight.shape == checkpoint["gate.weight"].shape == (2, len(gate.counted))
    assert gate.occurrences.sum() > 0 and gate.bias.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("way", ["plain", "fsdp2"])
def test_two_processes_give_the_bundle_of_one(one, two, way, name):
    run = two(way, name)
    expected, tensors = learned(one / name), learned(run)
    assert expected.keys() == tensors.keys() and len(expected) > 20
    for key, tensor in expected.items():
        torch.testing.assert_close(tensors[key], tensor, rtol=0, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    assert load_state(one / name) == pytest.approx(load_state(run), abs=1e-4)
    assert len(Captioner.load(run / "bundle", device="cpu").columns()) >= 2


def load_state(run):
    """What the validations measured, in order."""
    state = json.loads((run / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())
    measured = [entry for entry in state["log_history"] if "eval_loss" in entry]
    assert len(measured) == 2
    return [entry[key] for entry in measured for key in ("eval_loss", "eval_wins_0", "eval_nll_1")]
