"""The wheel: it holds the whole library, names what it needs, and works from outside the checkout."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions

import pytest

from tests.support.paths import ROOT

IMAGE = ROOT / "assets" / "examples" / "image" / "northern-lights.jpg"
BUNDLE = ROOT / "assets" / "bundles" / "image"
# Imported where they are needed, with a message; installed by an extra.
OPTIONAL = {"deepspeed"}


def imported_packages() -> set[str]:
    found = set()
    for file in (ROOT / "lora_mcl").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"lora_mcl"} - OPTIONAL


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_of_the_library_is_a_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {normal(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}
    metrics = {normal(re.match(r"[\w.-]+", line)[0]) for line in project["optional-dependencies"]["metrics"]}
    distributions = packages_distributions()
    needed = {normal(distributions[package][0]) for package in imported_packages()}
    assert needed == named | metrics
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert named <= {normal(line.split("==")[0]) for line in lines if "==" in line}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the installed wheel, built from a copy: building writes into its source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "lora_mcl", source / "lora_mcl", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    built = [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        modules = {name for name in files.namelist() if name.startswith("lora_mcl/")}
    library = (
        path
        for path in (ROOT / "lora_mcl").rglob("*")
        if path.suffix in (".py", ".html", ".ttf") or path.name == "LICENSE"
    )
    assert modules == {path.relative_to(ROOT).as_posix() for path in library}
    installed = [*pip, "install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel)]
    subprocess.run(installed, check=True, capture_output=True)
    return folder / "site"


def run(site, cwd, *arguments):
    environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    # -P: a module of the folder one is in does not take part.
    return subprocess.run(
        [sys.executable, "-P", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_command_line_works_from_the_wheel(site, tmp_path):
    shutil.copy(IMAGE, tmp_path / "photo.jpg")
    done = run(site, tmp_path, "-m", "lora_mcl", "caption", "photo.jpg", "--model", str(BUNDLE), "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["columns"]) == 5
    done = run(site, tmp_path, str(site / "bin" / "lora-mcl"), "caption", "photo.jpg")
    assert done.returncode == 2
    # What is installed next to the library may print lines of its own before, as bitsandbytes does on some processors.
    message = done.stderr.splitlines()[-1]
    assert message.startswith("lora_mcl: Name a bundle for image files with --model, a folder or a Hub id")


@pytest.mark.slow
def test_the_snippets_of_the_readme_work_from_the_wheel(site):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    caption, _, train = re.findall(r"```python\n(.*?)```", readme, re.S)
    where = f"import lora_mcl; assert lora_mcl.__file__.startswith({str(site)!r})\n"
    # The other snippet runs in tests/docs, on a tiny model: here, that all it names is in the wheel.
    assert "save_bundle_of" in train
    names = "from lora_mcl.trainer import MultipleChoiceLearner, MultipleChoiceTrainer, save_bundle_of\n"
    done = run(site, ROOT, "-c", where + names + caption)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[") == 5
