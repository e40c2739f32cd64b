"""Every stage in order: the documented commands, and what is run again after an interruption."""

import json
import os
import re
import subprocess

import pytest

from tests.support.embedded import DOMAINS
from tests.support.paths import ROOT
from training.embedded.all_stages import commands, run_stages


@pytest.mark.parametrize("name", DOMAINS)
def test_they_are_the_documented_commands(name):
    text = (ROOT / "training" / "embedded" / name / "README.md").read_text(encoding="utf-8")
    documented = re.findall(r"^python -m (.*?)(?:\s+#.*)?$", text, re.M)
    assert list(commands(name)) == [line for line in documented if "all_stages" not in line]


@pytest.mark.parametrize("name", DOMAINS)
def test_make_models_runs_them(name):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^models: training\n((?:\t.*\n)+)", makefile, re.M)[1]
    assert f"-m training.embedded.all_stages {name}" in recipe


@pytest.fixture
def ran(monkeypatch):
    """What was run, in order; a stage with "bad" in its name fails."""
    found: list[str] = []

    def run(command, *, cwd, check, env):
        assert cwd == ROOT and check and env["PATH"] == os.environ["PATH"] and env["OMP_WAIT_POLICY"]
        found.append(" ".join(command[2:]))
        if "bad" in found[-1]:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_what_is_done_is_not_run_again(ran, tmp_path, capsys):
    record = tmp_path / "work" / "stages.json"
    with pytest.raises(subprocess.CalledProcessError):
        run_stages(("a x", "b", "bad c", "d"), record)
    assert ran == ["a x", "b", "bad c"] and json.loads(record.read_text()) == ["a x", "b"]
    assert "[3/4] python -m bad c" in capsys.readouterr().out
    ran.clear()
    run_stages(("a x", "b", "c", "d"), record)
    assert ran == ["c", "d"]
    ran.clear()
    run_stages(("a x", "b", "c", "d"), record)
    assert ran == []


def test_a_changed_command_and_all_after_it_run_again(ran, tmp_path):
    record = tmp_path / "stages.json"
    run_stages(("a", "b", "c"), record)
    ran.clear()
    run_stages(("a", "b --more", "c"), record)
    assert ran == ["b --more", "c"]
    assert json.loads(record.read_text()) == ["a", "b --more", "c"]
