"""Rules about the repository itself: who may import whom, how long a file may be, what may not be in it."""

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PARTS = ("app.py", "app_zero_gpu.py", "lora_mcl", "ui", "deploy", "training", "tests", "benchmarks")
LONGEST_FILE = 400

# What each part must not import: the library stands alone, the page and the training on the library.
FORBIDDEN_IMPORTS = {
    "lora_mcl": {"gradio", "gradio_client", "training", "ui", "deploy", "app"},
    "training": {"gradio", "gradio_client", "ui", "deploy", "app"},
    "ui": {"training", "deploy", "app"},
    "deploy": {"gradio", "gradio_client", "training", "app"},
    "app.py": {"training", "deploy"},
    "app_zero_gpu.py": {"training", "deploy"},
}
# Formats that can run code when read.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def committed() -> list[Path]:
    """Every file that is or would be committed."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def sources(part: str) -> list[Path]:
    path = ROOT / part
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


ALL_SOURCES = [file for part in PARTS for file in sources(part)]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def imported_modules(file: Path) -> set[str]:
    """Modules that a file imports, wherever in it; a relative import under its leading dots."""
    names: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
            if node.module == "tests":
                names |= {f"tests.{alias.name}" for alias in node.names}
    return names


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports."""
    return {name.split(".")[0] for name in imported_modules(file) if not name.startswith(".")}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("part", FORBIDDEN_IMPORTS)
def test_imports_go_one_way(part):
    wrong = {name_of(file): imported(file) & FORBIDDEN_IMPORTS[part] for file in sources(part)}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_files_stay_short():
    lengths = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in ALL_SOURCES}
    assert {file: length for file, length in lengths.items() if length >= LONGEST_FILE} == {}


def test_every_module_has_a_docstring():
    silent = [name_of(file) for file in ALL_SOURCES if tree(file).body and not ast.get_docstring(tree(file))]
    assert silent == []


def test_what_the_library_hands_out_cannot_be_changed():
    """Its dataclasses are checked when they are made; private ones may be counters."""
    changeable = [
        f"{name_of(file)}: {node.name}"
        for file in sources("lora_mcl")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for decorator in map(ast.unparse, node.decorator_list)
        if decorator.startswith("dataclass") and "frozen=True" not in decorator
    ]
    assert changeable == []


def loads_torch_pickle(call: ast.AST) -> bool:
    """Whether a node is a ``torch.load(...)`` that is not limited to plain tensors."""
    return (
        isinstance(call, ast.Call)
        and ast.unparse(call.func) == "torch.load"
        and not any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords)
    )


def test_nothing_is_unpickled():
    unsafe = {name_of(file): imported(file) & UNSAFE_MODULES for file in ALL_SOURCES}
    assert {file: names for file, names in unsafe.items() if names} == {}
    loading = [name_of(file) for file in ALL_SOURCES if any(map(loads_torch_pickle, ast.walk(tree(file))))]
    assert loading == []


def test_no_pickled_weights_are_committed():
    unsafe = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy"}
    assert [name_of(file) for file in committed() if file.suffix in unsafe] == []


def test_no_path_of_somebodys_machine_is_committed():
    # Put together here so that this file does not find itself.
    homes = ["/" + folder + "/" for folder in ("work", "root", "home", "Users")]
    found = [f"{name_of(file)}: {home}" for file in committed() for home in homes if home.encode() in file.read_bytes()]
    assert found == []


def test_tests_share_through_support_alone():
    """A helper that two test files need lives in tests/support; a test file can then be moved or dropped alone."""
    tests = ROOT / "tests"
    wrong = {
        f"{name_of(file)}: {module}"
        for file in tests.rglob("*.py")
        for module in imported_modules(file)
        if (module.split(".")[0] == "tests" and not f"{module}.".startswith("tests.support."))
        or module.split(".")[-1] == "conftest"
    }
    assert wrong == set()


def test_every_part_of_the_library_has_its_tests():
    parts = {file.parent.relative_to(ROOT / "lora_mcl") for file in (ROOT / "lora_mcl").rglob("*.py")}
    rooms = {file.parent.relative_to(ROOT / "tests" / "library") for file in ROOT.glob("tests/library/**/test_*.py")}
    assert parts - rooms == set()
