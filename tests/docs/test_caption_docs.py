"""The README's commands that caption a folder."""

import shlex

import pytest

from lora_mcl.cli import main
from tests.support.paths import ROOT


def commands(option: str) -> list[list[str]]:
    """The README's ``caption`` commands that have the option, split into words."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line.startswith("python -m lora_mcl caption") and option in line]
    return [shlex.split(line, comments=True)[3:] for line in found]


@pytest.mark.slow
def test_the_report_of_a_folder(tmp_path, monkeypatch):
    (arguments,) = commands("--report")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    pictures = list((ROOT / "assets" / "examples" / "image").glob("*.jpg"))
    assert text.count("<article") == text.count("data:image/jpeg;base64,") == len(pictures) > 3
