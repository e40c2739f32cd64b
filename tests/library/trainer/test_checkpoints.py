"""Runs killed with SIGKILL at any moment, also in the middle of a save, go on to the same bits."""

import json
import logging
import os
import shutil
import signal
import sys

import pytest
import torch
from peft import LoraConfig

from lora_mcl.trainer import MultipleChoiceLearner, MultipleChoiceTrainer
from lora_mcl.trainer.checkpoints import UNFINISHED, checkpoint_steps, last_checkpoint, publish, rotate
from tests.support.tiny_trainer import (
    EXACT,
    SOFT,
    arguments,
    assert_same_weights,
    collate,
    examples,
    gpt2,
)


def trainer_in(folder, eval_dataset=None, **changes):
    """Two epochs of shuffled data, dropout, accumulation; a checkpoint every second step, two kept."""
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.2, target_modules="all-linear")
    learner = MultipleChoiceLearner.attach(gpt2(), config, 2, SOFT, generator=torch.Generator().manual_seed(1))
    settings = {"max_steps": 8, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    saving = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}
    return MultipleChoiceTrainer(
        learner,
        arguments(folder, **(settings | saving | changes)),
        train_dataset=examples(24),
        eval_dataset=eval_dataset,
        data_collator=collate,
    )


def die_at(module, name, count):
    """From now on, the process kills itself at the ``count``-th call of a function, half way where it writes a file."""
    original, calls = getattr(module, name), [0]

    def dying(*args, **kwargs):
        calls[0] += 1
        if calls[0] == count:
            if name in ("save", "save_file"):  # a file that is there and not whole
                original(*args, **kwargs)
                os.truncate(args[1], os.path.getsize(args[1]) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(module, name, dying)


def run_and_die(folder, module, name, count):
    """Train in a child process that dies so; returns whether it did."""
    child = os.fork()
    if child == 0:
        try:
            die_at(module, name, count)
            trainer_in(folder).train_or_resume()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    trainer = trainer_in(tmp_path_factory.mktemp("whole"))
    trainer.train_or_resume()
    return trainer


MOMENTS = [
    ("lora_mcl.trainer.base_trainer", "save_file", 1, None),
    ("lora_mcl.trainer.base_trainer", "save_file", 3, 4),
    ("torch", "save", 9, 4),
    ("lora_mcl.trainer.checkpoints", "_flush", 20, 4),
    ("lora_mcl.trainer.base_trainer", "rotate", 3, 6),
    ("lora_mcl.trainer.trainer", "_count_with_targets", 11, 4),
]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are Unix's")
@pytest.mark.parametrize(("module", "name", "count", "last"), MOMENTS, ids=lambda value: str(value))
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, whole, module, name, count, last):
    assert run_and_die(tmp_path, sys.modules[module], name, count)
    found = last_checkpoint(tmp_path)
    assert (found and found.name) == (last and f"checkpoint-{last}")
    resumed = trainer_in(tmp_path)
    resumed.train_or_resume()
    assert resumed.state.global_step == 8
    assert_same_weights(whole, resumed, **EXACT)
    assert list(checkpoint_steps(tmp_path)) == [6, 8] and not (tmp_path / UNFINISHED).exists()


def test_damaged_checkpoints_are_passed_over(tmp_path, whole, caplog):
    folder = tmp_path / "run"
    shutil.copytree(whole.args.output_dir, folder)
    assert last_checkpoint(folder).name == "checkpoint-8"
    (folder / "checkpoint-8" / "trainer_state.json").write_text("{")
    assert last_checkpoint(folder).name == "checkpoint-6"
    assert "checkpoint-8 is passed over" in caplog.text
    weights = folder / "checkpoint-6" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 8)
    assert last_checkpoint(folder) is None
    assert last_checkpoint(tmp_path / "nothing") is None


def test_the_best_checkpoint_stays(tmp_path):
    for step in (2, 4, 6, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-x").mkdir()
    rotate(tmp_path, None, None)
    rotate(tmp_path, 2, 2)
    assert list(checkpoint_steps(tmp_path)) == [2, 6, 10]


def test_no_checkpoint_is_deleted_while_there_are_fewer_than_are_kept(tmp_path):
    for count, step in enumerate((2, 4, 6, 8), 1):
        (tmp_path / f"checkpoint-{step}").mkdir()
        rotate(tmp_path, 3, None)
        assert len(checkpoint_steps(tmp_path)) == min(count, 3)
    assert list(checkpoint_steps(tmp_path)) == [4, 6, 8]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened on Windows")
def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    unfinished, final = tmp_path / UNFINISHED, tmp_path / "checkpoint-2"
    (unfinished / "deep").mkdir(parents=True)
    final.mkdir()
    for file in (unfinished / "weights", unfinished / "deep" / "state", final / "earlier"):
        file.write_text("text")
    before = {path.stat().st_ino for path in (unfinished, unfinished / "weights", unfinished / "deep" / "state")}
    flushed, handles = [], set()

    def note(handle: int) -> None:
        flushed.append((os.fstat(handle).st_ino, (final / "weights").exists()))
        handles.add(handle)

    monkeypatch.setattr(os, "fsync", note)
    publish(unfinished, final)
    assert {inode for inode, named in flushed if not named} == before
    assert [inode for inode, named in flushed if named] == [tmp_path.stat().st_ino]
    assert sorted(path.name for path in final.rglob("*")) == ["deep", "state", "weights"] and not unfinished.exists()
    for handle in handles:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


def test_what_is_no_checkpoint_is_not_taken_for_one(tmp_path):
    for name in ("checkpoint-2", "checkpoint-10.tmp", "old-checkpoint-11", "checkpoint-"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-12").write_text("a file")
    assert checkpoint_steps(tmp_path) == {2: tmp_path / "checkpoint-2"}


def test_the_best_checkpoint_is_known_after_resuming_elsewhere(tmp_path, whole, caplog):
    """Its path in a checkpoint's state is right at once, and again after the folder has moved."""

    def evaluating(folder, **more):
        evaluated = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
        return trainer_in(folder, examples(8), learning_rate=0.5, **evaluated, **more)

    first = evaluating(tmp_path / "run", max_steps=4)
    first.train_or_resume()
    best = first.state.best_global_step
    state = json.loads((tmp_path / "run" / "checkpoint-4" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / "run" / f"checkpoint-{best}")
    (tmp_path / "run").rename(tmp_path / "moved")
    resumed = evaluating(tmp_path / "moved", max_steps=4)
    assert resumed.load_finished() and resumed.state.global_step == 4
    again = evaluating(tmp_path / "moved")
    with caplog.at_level(logging.WARNING):
        again.train_or_resume()
    assert "does not exist anymore" not in caplog.text
    assert again.state.best_model_checkpoint == str(tmp_path / "moved" / f"checkpoint-{again.state.best_global_step}")
