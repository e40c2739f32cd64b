"""Assemble the folder of a Hugging Face Space::

    python -m deploy.space --out DIR [--hardware cpu-basic|gpu|zero-gpu] [--model OWNER/NAME ...]

It holds what the page needs and nothing else. How it becomes a Space: docs/spaces.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub.utils import HFValidationError, validate_repo_id

from deploy.card import HARDWARE, MARK, SpaceError, attributes, pins, readme, requirements
from lora_mcl.bundle import BUNDLE_FILE, load_bundle
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.modality import MODALITIES
from lora_mcl.output_paths import make_output_folder
from ui.markov_runs import demo_files

ROOT = Path(__file__).resolve().parent.parent
_SOURCES = (".py", ".css", ".svg", ".png")
_KEPT = ".git"


def embedded_modalities(root: Path) -> tuple[str, ...]:
    """The modalities for which a checkout has an embedded model.

    Raises:
        SpaceError: there is none at all, or one cannot be loaded.
    """
    found = []
    for modality in MODALITIES:
        bundle = root / "assets" / "bundles" / modality
        if not (bundle / BUNDLE_FILE).is_file():
            continue
        try:
            base = load_bundle(bundle).base_location()
        except BundleError as error:
            raise SpaceError(f"assets/bundles/{modality}: {error}") from error
        expected = root / "assets" / "models" / modality
        if not isinstance(base, Path) or base.resolve() != expected.resolve():
            raise SpaceError(f"assets/bundles/{modality}: its base is {base}, not assets/models/{modality}.")
        found.append(modality)
    if not found:
        raise SpaceError(f"There is no bundle in {root / 'assets' / 'bundles'}: the checkout is not complete.")
    return tuple(found)


def space_files(root: Path, modalities: Sequence[str], app_file: str) -> tuple[Path, ...]:
    """Files of the page, as paths below ``root``: sources, and each modality's model and examples.

    Raises:
        SpaceError: something is missing.
    """
    wanted = [root / name for name in dict.fromkeys(("app.py", app_file, "LICENSE", "NOTICE"))]
    for package in ("lora_mcl", "ui"):
        wanted += [file for file in _below(root / package) if file.suffix in _SOURCES]
    results = root / "assets" / "results"
    for modality in modalities:
        for kind in ("models", "bundles", "examples"):
            wanted += _below(root / "assets" / kind / modality)
        wanted += [file for file in (results / f"{modality}.json",) if file.is_file()]
    wanted += [file for file in (results / "translations.json",) if file.is_file()]
    wanted += [file for file in demo_files(results / "markov").values() if file.is_file()]
    for file in wanted:
        if not file.is_file():
            raise SpaceError(f"There is no {file}: the checkout is not complete.")
    return tuple(sorted(file.relative_to(root) for file in wanted))


def _below(folder: Path) -> Iterator[Path]:
    """Every file in a folder but hidden ones and caches."""
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(folder).parts)
        if file.is_file() and not hidden:
            yield file


def assemble(out: Path, hardware: str = "cpu-basic", models: Sequence[str] = (), root: Path = ROOT) -> tuple[Path, ...]:
    """Write the folder of a Space and return its files, relative to it.

    Args:
        out: a new or empty folder, or one assembled before, which is replaced but for its ``.git``.
        hardware: one of ``HARDWARE``.
        models: Hub ids for the card, of bundles that the Space's variables choose and of their bases.
        root: the checkout to take from.

    Raises:
        SpaceError: the checkout is not complete, an id is none, or ``out`` holds something else; nothing is changed.
        OptionsError: ``out`` cannot be written to.
    """
    kind = HARDWARE[hardware]
    for model in models:
        try:
            validate_repo_id(model)
        except HFValidationError as error:
            raise SpaceError(f"--model {model} is no Hub id (owner/name): {error}") from None
    former = _entries(out)
    modalities = embedded_modalities(root)
    repository = pins((root / "requirements.txt").read_text(encoding="utf-8"))
    texts = {
        "README.md": readme(kind, repository["gradio"], modalities, models),
        "requirements.txt": requirements(repository, kind),
        ".gitattributes": attributes(),
    }
    files = space_files(root, modalities, kind.app_file)
    make_output_folder(out.parent, "--out")
    # Whole before anything of the former one goes.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        for file in files:
            target = Path(scratch) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, target)
        for name, text in texts.items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
        out.mkdir(exist_ok=True)
        for entry in former:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        for entry in list(Path(scratch).iterdir()):
            shutil.move(entry, out / entry.name)
    return tuple(sorted([*files, *map(Path, texts)]))


def _entries(out: Path) -> list[Path]:
    """Entries of ``out`` to replace, if an earlier run assembled it."""
    if not out.exists():
        return []
    if not out.is_dir():
        raise SpaceError(f"{out} is a file; give a folder.")
    entries = [entry for entry in out.iterdir() if entry.name != _KEPT]
    card = out / "README.md"
    if entries and not (card.is_file() and MARK in card.read_text(encoding="utf-8", errors="replace")):
        raise SpaceError(f"{out} holds something that was not assembled here: give a new or empty folder.")
    return entries


def main(argv: Sequence[str] | None = None) -> int:
    """Assemble, and print the next command; 2 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="deploy.space", description="Assemble the folder of a Hugging Face Space.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new, empty or assembled before")
    parser.add_argument("--hardware", choices=tuple(HARDWARE), default="cpu-basic", help="(default cpu-basic)")
    parser.add_argument("--model", action="append", default=[], metavar="OWNER/NAME", help="for the card; repeatable")
    args = parser.parse_args(argv)
    try:
        files = assemble(args.out, args.hardware, args.model)
    except (SpaceError, OptionsError) as error:
        print(f"deploy.space: {error}", file=sys.stderr)
        return 2
    size = sum((args.out / file).stat().st_size for file in files)
    print(f"{args.out}: {len(files)} files, {size / 1e6:.1f} MB, for {args.hardware}. To publish it:")
    flavor = HARDWARE[args.hardware].flavor
    print(f"  hf repos create OWNER/NAME --type space --sdk gradio --flavor {flavor}")
    print(f'  hf upload OWNER/NAME {args.out} . --type space --delete "*"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
