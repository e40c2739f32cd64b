"""The assembled folder of a Space: its card, its requirements, its files, and that it runs from there alone."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import gradio
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceCard
from packaging.specifiers import SpecifierSet

from deploy.card import HARDWARE, SDK_INSTALLS, SpaceError, pins
from deploy.space import ROOT, assemble, main
from tests.support.gradio_warnings import GRADIO_WARNINGS
from ui.environment import BY_NAME, OWN_NAMES

pytestmark = GRADIO_WARNINGS

PINS = pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LARGEST_OUTSIDE_LFS = 10_000_000


@pytest.fixture(scope="module")
def spaces(tmp_path_factory) -> dict[str, Path]:
    """A folder for each kind of hardware."""
    folder = tmp_path_factory.mktemp("spaces")
    for hardware in HARDWARE:
        assemble(folder / hardware, hardware, ["me/my-bundle"])
    return {hardware: folder / hardware for hardware in HARDWARE}


def files_in(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("hardware", HARDWARE)
def test_the_card_configures_the_space(spaces, hardware):
    card = SpaceCard.load(spaces[hardware] / "README.md").data
    assert card.sdk == "gradio" and card.sdk_version == PINS["gradio"] == gradio.__version__
    assert (spaces[hardware] / card.app_file).is_file()
    # A text: as a number, 3.10 would be 3.1.
    assert isinstance(card.python_version, str) and card.python_version in SpecifierSet(PROJECT["requires-python"])
    assert card.license == PROJECT["license"].lower() and card.models == ["me/my-bundle"]
    # The Hub refuses longer ones.
    assert len(card.get("short_description")) <= 60
    assert card.get("suggested_hardware") in ("cpu-basic", "l4x1", None)


# The Space's own, and where the tests put screenshots.
NOT_FOR_SPACES = {"HOST", "PORT", "ROOT_PATH", "SCREENSHOTS"}
OF_ONE_KIND = {
    "cpu-basic": {"MAX_ROWS", "MAX_CACHE", "KEEP_PROMPTS", "MODEL_PROCESSES"},
    "gpu": {"MAX_ROWS", "MAX_CACHE", "KEEP_PROMPTS", "MODEL_PROCESSES", "DEVICE_MAP", "LOAD_IN_4BIT", "ACCELERATION"},
    "zero-gpu": {"LEASE_START", "LEASE_PER_TOKEN"},
}


@pytest.mark.parametrize("hardware", HARDWARE)
def test_the_card_lists_every_variable_of_its_kind(spaces, hardware):
    listed = re.findall(r"LORA_MCL_([A-Z0-9_]+)", (spaces[hardware] / "README.md").read_text(encoding="utf-8"))
    known = {option.upper().replace("-", "_") for option in BY_NAME}
    known |= {name.removeprefix("LORA_MCL_") for name in OWN_NAMES}
    others = set().union(*OF_ONE_KIND.values()) - OF_ONE_KIND[hardware]
    assert sorted(listed) == sorted(known - NOT_FOR_SPACES - others)


@pytest.mark.parametrize("hardware", HARDWARE)
def test_requirements_are_the_tested_ones(spaces, hardware):
    lines = (spaces[hardware] / "requirements.txt").read_text().splitlines()
    pinned = pins("\n".join(line for line in lines if not line.startswith("--")) + "\ngradio==0")
    del pinned["gradio"]
    torch = pinned.pop("torch")
    assert pinned == {name: version for name, version in PINS.items() if name not in (*SDK_INSTALLS, "torch")}
    assert torch == PINS["torch"] or hardware == "zero-gpu"
    allowed = next(line for line in PROJECT["dependencies"] if line.startswith("torch"))
    assert torch in SpecifierSet(allowed.removeprefix("torch"))
    assert ("https://download.pytorch.org/whl/cpu" in "\n".join(lines)) == (hardware == "cpu-basic")
    # Spaces installs its own.
    assert "spaces" not in pinned


def test_nothing_but_what_the_page_needs(spaces):
    for hardware, folder in spaces.items():
        names = files_in(folder)
        tops = {name.split("/")[0] for name in names}
        written = {"README.md", "requirements.txt", ".gitattributes"}
        assert (
            tops == {"app.py", HARDWARE[hardware].app_file, "LICENSE", "NOTICE", "assets", "lora_mcl", "ui"} | written
        )
        assert {name.split("/")[1] for name in names if name.startswith("assets/")} == {
            "models",
            "bundles",
            "examples",
            "results",
        }
        assert not [name for name in names if "__pycache__" in name]


def test_binary_and_large_files_go_to_lfs(spaces):
    folder = spaces["cpu-basic"]
    names = sorted(files_in(folder))
    subprocess.run(["git", "init", "-q", folder], check=True)
    try:
        checked = subprocess.run(
            ["git", "-C", folder, "check-attr", "-z", "--stdin", "filter"],
            input="\0".join(names),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
    finally:
        shutil.rmtree(folder / ".git")
    in_lfs = {name for name, value in zip(checked[0::3], checked[2::3], strict=False) if value == "lfs"}
    must = {name for name in names if (folder / name).stat().st_size > LARGEST_OUTSIDE_LFS}
    must |= {name for name in names if b"\0" in (folder / name).read_bytes()}
    assert len(must) > 10 and must <= in_lfs


def test_it_runs_from_there_alone_and_borrows_a_gpu_for_each_comparison(spaces, tmp_path, picture):
    """The ZeroGPU program, which runs app.py, with a stand-in for the package that only Spaces installs."""
    leases, folder = tmp_path / "leases", spaces["zero-gpu"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests" / "support" / "fakes"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FAKE_LEASES": str(leases),
        "GRADIO_TEMP_DIR": str(tmp_path / "uploads"),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "LORA_MCL_LEASE_START": "5",
        "OMP_NUM_THREADS": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        program = SpaceCard.load(folder / "README.md").data.app_file
        server = subprocess.Popen([sys.executable, program], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(server, tmp_path / "log")
        client = Client(address, verbose=False)
        job = client.submit(image=handle_file(str(picture)), max_new_tokens=7, api_name="/compare_image")
        final = job.result(timeout=180)
        lengths = [
            [caption["tokens"] for column in output["columns"][:3] for caption in column["captions"]]
            for output in job.outputs()
        ]
        # Snapshot by snapshot (none, the first words, the last), all hypotheses at once.
        assert len(lengths) >= 3 and lengths[1] == [1, 1, 1] and lengths == sorted(lengths)
        assert all(column["captions"][0]["text"] for column in final["columns"])
        with pytest.raises(AppError, match="not an image"):
            client.predict(image=handle_file(str(folder / "NOTICE")), api_name="/compare_image")
    finally:
        server.terminate()
        server.wait(timeout=180)
    # One lease of 5 s + 7 tokens of 0.1 s, charged to the visitor; none for what is no picture.
    assert leases.read_text() == "6 True\n"
    assert not [name for name in files_in(folder) if "__pycache__" in name]


def _wait_for(server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while "LoRA-MCL Studio is at" not in log.read_text(errors="replace"):
        assert server.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of what a Space is made of, to be changed."""
    root = tmp_path / "checkout"
    for name in ("ui", "lora_mcl", "assets/bundles", "assets/models", "assets/results/markov"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "audio"))
    for name in ("app.py", "app_zero_gpu.py", "LICENSE", "NOTICE", "requirements.txt"):
        shutil.copy(ROOT / name, root / name)
    return root


def test_an_audio_model_comes_along_where_there_is_one(checkout, tmp_path, tiny_audio_base, tiny_audio_bundle):
    assert not [file for file in assemble(tmp_path / "without", root=checkout) if "audio" in file.parts]
    bundle = checkout / "assets" / "bundles" / "audio"
    shutil.copytree(tiny_audio_bundle, bundle)
    shutil.copytree(tiny_audio_base, checkout / "assets" / "models" / "audio")
    (checkout / "assets" / "results" / "audio.json").write_text("{}")
    table = json.loads((bundle / "bundle.json").read_text())
    with pytest.raises(SpaceError, match="assets/bundles/audio: .*base"):
        assemble(tmp_path / "wrong-base", root=checkout)
    (bundle / "bundle.json").write_text(json.dumps({**table, "base": {"path": "../../models/audio"}}))
    added = {file.as_posix() for file in assemble(tmp_path / "with", root=checkout)} - files_in(tmp_path / "without")
    assert {"assets/bundles/audio/bundle.json", "assets/models/audio/model.safetensors"} <= added
    assert "assets/results/audio.json" in added and all("audio" in name for name in added)
    assert "`image` and `audio`" in (tmp_path / "with" / "README.md").read_text()


def test_a_checkout_that_is_not_complete_is_refused(checkout, tmp_path):
    (checkout / "NOTICE").unlink()
    with pytest.raises(SpaceError, match="NOTICE.*not complete"):
        assemble(tmp_path / "space", root=checkout)
    shutil.rmtree(checkout / "assets" / "bundles" / "image")
    with pytest.raises(SpaceError, match="There is no bundle"):
        assemble(tmp_path / "space", root=checkout)
    assert not (tmp_path / "space").exists()


def test_a_bundle_that_is_not_complete_is_refused(checkout, tmp_path):
    (checkout / "assets/bundles/image/hypotheses/1/adapter_config.json").unlink()
    with pytest.raises(SpaceError, match=re.escape("hypotheses[1]")):
        assemble(tmp_path / "space", root=checkout)


def test_only_a_folder_assembled_before_is_replaced(tmp_path):
    out = tmp_path / "space"
    out.mkdir()
    (out / "README.md").write_text("My notes.")
    with pytest.raises(SpaceError, match="not assembled here"):
        assemble(out)
    assert files_in(out) == {"README.md"}
    (out / "README.md").unlink()
    assemble(out, "zero-gpu")
    (out / "old").mkdir()
    (out / "old" / "file").write_text("x")
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref: refs/heads/main")
    assembled = {file.as_posix() for file in assemble(out)}
    assert files_in(out) == assembled | {".git/HEAD"} and "app_zero_gpu.py" not in assembled
    with pytest.raises(SpaceError, match="is a file"):
        assemble(out / "app.py")
    assert [entry.name for entry in tmp_path.iterdir()] == ["space"]


def test_requirements_without_versions_are_refused():
    with pytest.raises(SpaceError, match="'numpy>=2' pins no version"):
        pins("gradio==6.31.0\ntorch==2.13.0\nnumpy>=2")
    with pytest.raises(SpaceError, match="pins no gradio"):
        pins("torch==2.13.0")


def test_the_command_prints_the_next_step(tmp_path, capsys):
    out = tmp_path / "new" / "space"
    assert main(["--out", str(out), "--hardware", "gpu"]) == 0
    assert "--flavor l4x1" in capsys.readouterr().out and (out / "app.py").is_file()
    assert main(["--out", str(out), "--model", "no id"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("deploy.space: --model no id") and printed.count("\n") == 1


def test_the_documented_versions_and_options_are_true():
    guide = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")
    assert f'"gradio[oauth,mcp]=={PINS["gradio"]}"' in guide and HARDWARE["zero-gpu"].torch in guide
    hardware = re.findall(r"--hardware (\S+?)[\s\"]", guide)
    assert set(hardware) == set(HARDWARE) - {"cpu-basic"}
    assert set(re.findall(r"--flavor (\S+?)[\s`]", guide)) <= {kind.flavor for kind in HARDWARE.values()}
