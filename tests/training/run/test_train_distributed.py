"""Two processes of the training program give the bundle that one gives, by DDP and by FSDP2 (weights shared out)."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from lora_mcl.captioner import Captioner
from lora_mcl.gate import CaptionGate
from tests.support.captioned_files import picture_folder
from tests.support.paths import ROOT
from tests.support.training_runs import config_file, learned
from training import train as program
from training.run.config import load_config
from training.run.options import TrainConfig


def in_two_processes(file, way):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(ROOT / "tests" / "support" / "programs" / "train_full.py"), str(file), way],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_a_gate_is_saved_whole_by_processes_that_share_it_out(tmp_path, tiny_base):
    media = picture_folder(tmp_path / "pictures", 18)
    file = config_file(tmp_path, "two", tiny_base, media, 2, objective={"name": "caption-gate"})
    in_two_processes(file, "fsdp2")
    gate = CaptionGate.load(tmp_path / "two" / "bundle" / "gate")
    checkpoint = load_file(tmp_path / "two" / "checkpoints" / "checkpoint-4" / "model.safetensors")
    assert gate.weight.shape == checkpoint["gate.weight"].shape == (2, len(gate.counted))
    assert gate.occurrences.sum() > 0 and gate.bias.isfinite().all()


GATE = {"objective": {"name": "caption-gate"}, "gate": {"balance": "estimated", "start": "random"}}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, GATE], ids=["annealed", "gate"])
@pytest.mark.parametrize("way", ["plain", "fsdp2"])
def test_two_processes_give_the_bundle_of_one(tmp_path, tiny_base, picture, way, changes):
    media = picture_folder(tmp_path / "pictures", 18)
    (media / "000.txt").write_text("A red apple.\n")
    program.train(load_config(TrainConfig, config_file(tmp_path, "one", tiny_base, media, 4, **changes)))
    two = config_file(tmp_path, "two", tiny_base, media, 2, **changes)
    output = in_two_processes(two, way)
    if way == "fsdp2":
        (shared,) = set(re.findall(r"SHARDED (\d+) True True", output))
        assert int(shared) > 40
    one, other = learned(tmp_path / "one"), learned(tmp_path / "two")
    assert one.keys() == other.keys() and len(one) > 20
    for name, tensor in one.items():
        torch.testing.assert_close(
            other[name], tensor, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    states = [load_state(tmp_path / name) for name in ("one", "two")]
    assert states[0] == pytest.approx(states[1], abs=1e-4)
    assert len(Captioner.load(tmp_path / "two" / "bundle", device="cpu").columns()) >= 2


def load_state(run):
    """What the validations measured, in order."""
    state = json.loads((run / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())
    measured = [entry for entry in state["log_history"] if "eval_loss" in entry]
    assert len(measured) == 2
    return [entry[key] for entry in measured for key in ("eval_loss", "eval_wins_0", "eval_nll_1")]
