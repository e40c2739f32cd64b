"""Every stage in order: the documented commands, and what is run again after an interruption."""

import json
import os
import re
import signal
import subprocess
from types import SimpleNamespace

import pytest

from tests.support.embedded import DOMAINS
from tests.support.paths import ROOT
from training.embedded import all_stages
from training.embedded.all_stages import commands, run_stages


@pytest.mark.parametrize("name", DOMAINS)
def test_they_are_the_documented_commands(name):
    text = (ROOT / "training" / "embedded" / name / "README.md").read_text(encoding="utf-8")
    documented = re.findall(r"^python -m (.*?)(?:\s+#.*)?$", text, re.M)
    assert list(commands(name)) == [line for line in documented if "all_stages" not in line]


def test_make_models_runs_them_for_both_models():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^models: training\n((?:\t.*\n)+)", makefile, re.M)[1]
    names = re.search(r"-m training\.embedded\.all_stages (.*)", recipe)[1].split()
    assert sorted(names) == sorted(DOMAINS)


@pytest.fixture
def ran(monkeypatch):
    """What was run, in order; a stage with "bad" in its name fails."""
    found: list[str] = []

    def run(command, *, cwd, check, env, stdout, stderr):
        assert cwd == ROOT and check and env["PATH"] == os.environ["PATH"] and env["OMP_WAIT_POLICY"]
        assert stdout is stderr
        found.append(" ".join(command[2:]))
        if stdout is not None:
            stdout.write(f"{found[-1]} with {env.get('OMP_NUM_THREADS')} threads\n")
        if "bad" in found[-1]:
            raise subprocess.CalledProcessError(1, command)
        if "interrupted" in found[-1]:
            raise subprocess.CalledProcessError(-signal.SIGINT, command)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def done(*stages: str) -> list[dict]:
    """The record of stages that are done, in no time."""
    return [{"stage": stage, "minutes": 0.0, "done": True} for stage in stages]


def test_what_is_done_is_not_run_again(ran, tmp_path, capsys):
    record = tmp_path / "work" / "stages.json"
    with pytest.raises(subprocess.CalledProcessError):
        run_stages(("a x", "b", "bad c", "d"), record)
    assert ran == ["a x", "b", "bad c"]
    assert json.loads(record.read_text()) == [*done("a x", "b"), {"stage": "bad c", "minutes": 0.0, "done": False}]
    assert "[3/4] python -m bad c" in capsys.readouterr().out
    ran.clear()
    run_stages(("a x", "b", "c", "d"), record)
    assert ran == ["c", "d"]
    ran.clear()
    assert run_stages(("a x", "b", "c", "d"), record) == done("a x", "b", "c", "d")
    assert ran == []


def test_a_changed_command_and_all_after_it_run_again(ran, tmp_path):
    record = tmp_path / "stages.json"
    run_stages(("a", "b", "c"), record)
    ran.clear()
    run_stages(("a", "b --more", "c"), record)
    assert ran == ["b --more", "c"]
    assert json.loads(record.read_text()) == done("a", "b --more", "c")


def test_minutes_of_a_stage_include_those_of_an_attempt_that_was_cut_short(ran, tmp_path, monkeypatch, capsys):
    record, outcomes = tmp_path / "stages.json", iter([subprocess.CalledProcessError(-signal.SIGINT, ["-m"]), None])
    clock = iter([0, 12 * 60, 1000, 1000 + 30 * 60])
    monkeypatch.setattr(all_stages.time, "perf_counter", lambda: next(clock))

    def run(*args, **kwargs):
        if outcome := next(outcomes):
            raise outcome

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(subprocess.CalledProcessError):
        run_stages(("a",), record)
    assert json.loads(record.read_text()) == [{"stage": "a", "minutes": 12.0, "done": False}]
    assert run_stages(("a",), record) == [{"stage": "a", "minutes": 42.0, "done": True}]
    assert "all 1 stages are done, 42 min" in capsys.readouterr().out


@pytest.fixture
def two_models(monkeypatch, tmp_path):
    """An image and an audio model of two stages each, of which one fails if "bad" is in its name; 6 cores."""
    stages = {"image": ("a image", "b image"), "audio": ("a audio", "b audio")}
    monkeypatch.setattr(all_stages, "commands", stages.get)
    monkeypatch.setattr(all_stages, "load_domain", lambda name: SimpleNamespace(work=tmp_path / name))
    monkeypatch.setattr(all_stages, "RESULTS", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return stages


def test_two_models_share_the_cores_and_each_has_its_log(ran, two_models, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(all_stages.Cores, "model_done", lambda cores: None)  # whichever is done first
    assert all_stages.main(["image", "audio"]) == 0
    printed = capsys.readouterr().out
    assert sorted(ran) == ["a audio", "a image", "b audio", "b image"]
    for name, stages in two_models.items():
        log = tmp_path / name / "stages.log"
        assert log.read_text() == "".join(f"{stage} with 3 threads\n" for stage in stages)
        assert f"{name}: what its stages print is in {log}" in printed and f"{name} [2/2] took" in printed
        minutes = json.loads((tmp_path / f"stages-{name}.json").read_text())
        assert minutes == {"cpu_cores": 6, "models": 2, "total": 0.0, "minutes": dict.fromkeys(stages, 0.0)}


def test_the_cores_of_a_model_that_is_done_go_to_the_other(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    cores = all_stages.Cores(2)
    assert cores.threads() == 3
    cores.model_done()
    assert cores.threads() == 6


def test_a_stage_that_fails_leaves_the_other_model_going(ran, two_models, tmp_path, capsys):
    two_models["image"] = ("bad image", "b image")
    assert all_stages.main(["image", "audio"]) == 1
    assert sorted(ran) == ["a audio", "b audio", "bad image"]
    message = f"python -m bad image failed (see {tmp_path / 'image' / 'stages.log'}): when it is put right, start"
    assert message in capsys.readouterr().err


def test_an_interrupted_stage_is_no_failure_of_its_own(ran, two_models, capsys):
    two_models["image"] = ("interrupted", "b image")
    assert all_stages.main(["image"]) == 1 and ran == ["interrupted"]
    assert capsys.readouterr().err == "python -m interrupted was interrupted: start this again to go on\n"


def test_one_model_has_all_cores_and_prints(ran, two_models, tmp_path):
    assert all_stages.main(["image"]) == 0
    assert ran == ["a image", "b image"] and not (tmp_path / "image" / "stages.log").exists()
