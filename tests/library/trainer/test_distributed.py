"""Two processes train like one: the same weights from the same examples, and figures over all of them."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.support.paths import ROOT
from tests.support.tiny_trainer import CLOSE, MASKED, SOFT, examples, trained


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Also where they hold different numbers of examples with targets."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [
            *command,
            str(ROOT / "tests" / "support" / "programs" / "train_distributed.py"),
            str(tmp_path / "two"),
            str(tmp_path / "two.st"),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one = trained(
        tmp_path / "one",
        SOFT,
        data=examples(24, masked=MASKED),
        per_device_train_batch_size=4,
        train_sampling_strategy="sequential",
    )
    two = load_file(tmp_path / "two.st")
    assert two.keys() == one.model.trainable_state_dict().keys()
    for name, tensor in one.model.trainable_state_dict().items():
        torch.testing.assert_close(two[name], tensor, **CLOSE)
    logs = [entry for entry in one.state.log_history if "loss" in entry]
    expected = [(entry["wins_0"], entry["wins_1"], entry["skipped"]) for entry in logs]
    assert f"LOGS {expected}" in done.stdout
