"""`accelerate launch` with the configurations that come with the repository, on CPUs and a tiny model."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
import yaml

from lora_mcl.bundle import load_bundle
from lora_mcl.errors import OptionsError
from tests.support.captioned_files import picture_folder
from tests.support.paths import ROOT
from tests.support.programs import train_full
from tests.support.ranks import run_ranks
from tests.support.training_runs import config, config_file, learned
from training.paths import SUMMARY_FILE
from training.run.arguments import configure_deepspeed


def launch(name, processes, *command):
    """`accelerate launch` as the guide gives it, with fewer processes; on a machine without GPUs it takes gloo."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    file = ROOT / "training" / "configs" / "accelerate" / f"{name}.yaml"
    settings = ["--config_file", file, "--num_processes", processes, "--main_process_port", 0]
    done = subprocess.run(
        [*launcher, *map(str, settings), *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def summary(run):
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = picture_folder(tmp_path_factory.mktemp("data") / "pictures", 18)
    (folder / "000.txt").write_text("A red apple.\n")
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory, tiny_base, media):
    """The run of one process, started by single.yaml."""
    folder = tmp_path_factory.mktemp("runs")
    launch("single", 1, "-m", "training.train", config_file(folder, "one", tiny_base, media, 4))
    return folder / "one"


def same(run, one):
    assert [summary(run)[key] for key in ("processes", "examples_per_step", "steps")] == [2, 4, 4]
    assert summary(run)["wins"] == summary(one)["wins"]
    weights, expected = learned(run), learned(one)
    assert weights.keys() == expected.keys() and len(weights) > 20
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_one_process_and_two(tmp_path, tiny_base, media, one):
    assert summary(one)["processes"] == 1
    output = launch("ddp", 2, "-m", "training.train", config_file(tmp_path, "two", tiny_base, media, 2))
    assert output.count("Bundle: ") == 1  # one of them prints
    same(tmp_path / "two", one)


needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed (pip install deepspeed)"
)


@pytest.fixture(scope="module")
def zero3(tmp_path_factory, tiny_base, media):
    """A run of two processes that share out the weights, its configuration, and what they were given and printed."""
    folder = tmp_path_factory.mktemp("zero3")
    file = config_file(folder, "two", tiny_base, media, 2)
    printed = launch("zero3", 2, ROOT / "tests" / "support" / "programs" / "train_full.py", file, "zero3")
    (given,) = set(re.findall("ENVIRONMENT (.*)", printed))
    return folder / "two", file, json.loads(given), printed


@pytest.mark.slow
@needs_deepspeed
def test_deepspeed_shares_out_the_weights(tmp_path, zero3, one):
    """From start to end, and on from a checkpoint as after a kill: both give the bundle of one process."""
    run, file, given, printed = zero3
    assert given["ACCELERATE_USE_DEEPSPEED"] == "true" and given["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == "3"
    assert printed.count("PARTITIONED True True") == 2
    same(run, one)
    shutil.rmtree(run / "bundle")
    shutil.rmtree(run / "checkpoints" / "checkpoint-4")
    (run / SUMMARY_FILE).unlink()
    printed = run_ranks(tmp_path, train_full.train, file, "zero3", given=given)
    assert "step 4/4" in printed and "step 2/4" not in printed
    same(run, one)


@pytest.mark.slow
@needs_deepspeed
def test_deepspeed_in_bfloat16_with_a_gate(tmp_path, tiny_base, media, zero3):
    """As at 7B: the base in bfloat16, what is learned in float32."""
    changes = {
        "objective": {"name": "caption-gate"},
        "adapters": {"hypotheses": 3},  # the gate's three biases cannot be shared evenly by two
        "model": {"dtype": "bfloat16"},
    }
    file = config_file(tmp_path, "run", tiny_base, media, 2)
    table = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        table[section] |= values
    table["training"] |= {"precision": "bfloat16", "checkpoint_activations": True}
    file.write_text(yaml.safe_dump(table))
    *_, given, _ = zero3
    printed = run_ranks(tmp_path, train_full.train, file, "zero3", given=given)
    assert printed.count("AUTOCAST torch.bfloat16 torch.float32") == 2
    weights = learned(tmp_path / "run")
    assert weights["bundle/gate/gate.safetensors weight"].shape[0] == 3
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    b = [tensor for name, tensor in weights.items() if "lora_B" in name]
    assert len(b) > 20 and all(tensor.isfinite().all() and tensor.abs().max() > 0 for tensor in b)
    # Its steps are finer than bfloat16's.
    assert any((tensor.bfloat16().float() != tensor).any() for tensor in b)
    assert len(load_bundle(tmp_path / "run" / "bundle").hypotheses) == 3


def test_what_deepspeed_cannot_do_is_refused(tmp_path, tiny_base, media):
    run = (tmp_path / "run", tiny_base, media)
    settings = {}
    configure_deepspeed(config(*run), settings, 3)
    assert settings == {}
    configure_deepspeed(config(*run, training={"precision": "bfloat16"}), settings, 3)
    assert settings == {"torch_autocast": {"enabled": True, "dtype": "bfloat16"}}
    with pytest.raises(OptionsError, match="stage must be 3, not 2"):
        configure_deepspeed(config(*run), {}, 2)
    with pytest.raises(OptionsError, match="load_in_4bit"):
        configure_deepspeed(config(*run, model={"load_in_4bit": True}), {}, 3)
    with pytest.raises(OptionsError, match="feature_cache"):
        configure_deepspeed(config(*run, data={"feature_cache": str(tmp_path / "cache")}), {}, 3)
