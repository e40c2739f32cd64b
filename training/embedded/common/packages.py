"""Fetch and unpack the public packages (npm, PyPI, Debian) that the training data is built from.

Every fetch goes through the package's own client, by exact name and version, and lands in
``build/packages/<kind>-<name>-<version>/``; a folder that exists is reused. Nothing fetched is
committed: what may be redistributed is copied, credited, by the pack scripts.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.paths import BUILD

PACKAGES_DIR = BUILD / "packages"


class FetchError(RuntimeError):
    """A package could not be fetched or unpacked."""


@dataclass(frozen=True)
class Package:
    """One package to fetch.

    Attributes:
        kind: the registry, which decides the client: ``npm``, ``pip`` or ``apt-get``.
        name: the package's exact name there.
        version: the exact version; for Debian, a prefix is not enough either.
        licence: what its material may be used under, in SPDX terms where there is one.
        sha256: of a PyPI source archive, whose set-up pip runs to read its name: nothing else is then run.
    """

    kind: Literal["npm", "pypi", "deb"]
    name: str
    version: str
    licence: str
    sha256: str = ""

    @property
    def folder(self) -> Path:
        safe = f"{self.kind}-{self.name}-{self.version}".replace("/", "_").replace(":", "_").replace("@", "")
        return PACKAGES_DIR / safe


def fetch(package: Package) -> Path:
    """Return the folder with the package's unpacked files, fetching it first if needed.

    Raises:
        FetchError: if the client is missing or fails; the message holds its last lines.
    """
    if package.folder.is_dir():
        return package.folder
    PACKAGES_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PACKAGES_DIR) as scratch:
        download, unpacked = Path(scratch, "download"), Path(scratch, "unpacked")
        download.mkdir()
        unpacked.mkdir()
        archive = _download(package, download)
        _unpack(archive, unpacked)
        try:
            unpacked.rename(package.folder)
        except OSError:  # another process has fetched it
            if not package.folder.is_dir():
                raise
    return package.folder


def _download(package: Package, folder: Path) -> Path:
    pinned = f"{package.name}@{package.version}"
    wanted = [f"{package.name}=={package.version}"]
    if package.sha256:
        (folder.parent / "requirements.txt").write_text(f"{wanted[0]} --hash=sha256:{package.sha256}\n")
        wanted = ["--require-hashes", "-r", str(folder.parent / "requirements.txt")]
    commands = {
        "npm": ["npm", "pack", "--silent", pinned],
        "pypi": ["python3", "-m", "pip", "download", "-q", "--no-deps", *wanted],
        "deb": [
            "apt-get",
            "-qq",
            "-o",
            "APT::Sandbox::User=root",
            "download",
            f"{package.name}={package.version}",
        ],
    }
    try:
        done = subprocess.run(commands[package.kind], cwd=folder, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise FetchError(f"{package.name}: the client {error.filename!r} is not installed") from error
    archives = [path for path in folder.iterdir() if path.is_file()]
    if done.returncode or len(archives) != 1:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise FetchError(f"could not fetch {package.kind} package {pinned}:\n{tail}")
    return archives[0]


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    elif archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    else:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
