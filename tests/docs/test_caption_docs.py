"""The README's commands and snippets that caption files."""

import json
import re
import shlex
import subprocess

import pytest
from PIL import Image

from lora_mcl.cli import main
from tests.support.fake_captioner import HYPOTHESES
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT
from tests.support.served_pages import image_tab, served

pytestmark = GRADIO_WARNINGS


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


@pytest.mark.slow
def test_the_slide_of_a_picture(tmp_path, monkeypatch):
    (arguments,) = commands("--slide")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    with Image.open(tmp_path / "slide.png") as slide:
        assert slide.size == (1920, 1080)


def test_many_files_through_the_api(capsys, monkeypatch):
    """The README's snippet, on a page of the fake captioner in place of the default address."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(from gradio_client.*?)```", readme, re.S)
    monkeypatch.chdir(ROOT)
    with served([image_tab()]) as page:
        exec(snippet.replace("http://127.0.0.1:7860", page.local_url), {})
    assert f"cat.jpg ['{HYPOTHESES[0][2]}', " in capsys.readouterr().out


def test_a_picture_by_curl():
    """The README's commands, for a page of the fake captioner in place of the default address."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```bash\n(PAGE=.*?)```", readme, re.S)
    with served([image_tab()]) as page:
        script = commands.replace("http://127.0.0.1:7860/", page.local_url)
        run = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    (*partial, (last,)) = [json.loads(line[6:]) for line in run.stdout.splitlines() if line.startswith("data: ")]
    assert len(partial) > 1 and run.stdout.count("event: complete") == 1
    columns = {column["id"]: [caption["text"] for caption in column["captions"]] for column in last["columns"]}
    assert [columns[f"hypothesis-{k}"] for k in range(3)] == [[text] for _, _, text in HYPOTHESES]
    assert len(columns["beam"]) == 2
