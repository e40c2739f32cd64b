"""Mutation testing by area: how many single changes of the code the area's tests notice.

    make mutants AREA=trainer
    python -m tests.support.mutants trainer data --count 40

A mutant changes one expression of one file: a comparison or its limit, an arithmetic or boolean operator, a constant, a
negation, or a function that returns None. Mutants are drawn by a seed, evenly over the area's files, and each is tried
in a copy of the repository: it is killed if the area's tests fail or do not end, else it survives and is printed. Not
part of CI: a run takes as long as the area's tests, times the number of mutants. Each mutant has a process of its own,
forked from one in which the libraries are imported already (Linux, macOS).
"""

from __future__ import annotations

import argparse
import ast
import copy
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@dataclass(frozen=True)
class Area:
    """Files that are mutated, and the tests that should notice; both as patterns below the repository."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "trainer": Area(
        ("lora_mcl/trainer/batch.py", "lora_mcl/trainer/step.py", "lora_mcl/trainer/assignment_stats.py"),
        tuple(f"tests/library/trainer/test_{name}.py" for name in ("batch", "step", "assignment_stats", "learner")),
    ),
    "checkpoints": Area(("lora_mcl/trainer/checkpoints.py",), ("tests/library/trainer/test_checkpoints.py",)),
    "options": Area(
        ("lora_mcl/option_checks.py", "training/run/config.py"),
        ("tests/library/test_option_checks.py", "tests/training/run/test_config.py"),
    ),
    "labels": Area(("lora_mcl/models/labels.py",), ("tests/library/models/test_labels.py",)),
    "cache": Area(
        ("training/data/cache.py",), ("tests/training/data/test_cache.py", "tests/training/data/test_dataset.py")
    ),
    "loading": Area(
        ("training/data/loading.py", "training/data/sampler.py", "training/data/readers/*.py"),
        tuple(f"tests/training/data/test_{name}.py" for name in ("loading", "sampler", "published")),
    ),
    "objectives": Area(
        ("lora_mcl/objectives.py", "lora_mcl/loss.py", "lora_mcl/metrics/diversity.py"),
        ("tests/library/test_objectives.py", "tests/library/test_loss.py", "tests/library/metrics/test_diversity.py"),
    ),
    "adapters": Area(("lora_mcl/adapters/*.py",), ("tests/library/adapters",)),
    "gate": Area(
        ("lora_mcl/gate.py", "lora_mcl/gate_init.py"), ("tests/library/test_gate.py", "tests/library/test_gate_init.py")
    ),
    "media": Area(
        ("lora_mcl/audio.py", "lora_mcl/audio_readers.py", "lora_mcl/images.py", "lora_mcl/pixels.py"),
        ("tests/library/test_audio.py", "tests/library/test_images.py"),
    ),
    "bundle": Area(("lora_mcl/bundle/*.py",), ("tests/library/bundle",)),
    "decoding": Area(("lora_mcl/decoding/*.py",), ("tests/library/decoding",)),
}
_COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_CALCULATED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
_NAMES = {"any": "all", "all": "any", "min": "max", "max": "min", "amin": "amax", "amax": "amin"}


@dataclass(frozen=True)
class Mutant:
    """A changed file: its source, and the change for people."""

    file: Path
    line: int
    change: str
    source: str


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Every way in which an expression is changed."""
    new = copy.deepcopy(node)
    if isinstance(new, ast.Compare) and type(new.ops[0]) in _COMPARED:
        new.ops[0] = _COMPARED[type(new.ops[0])]()
        yield new
    elif isinstance(new, ast.BinOp) and type(new.op) in _CALCULATED:
        new.op = _CALCULATED[type(new.op)]()
        yield new
    elif isinstance(new, ast.BoolOp):
        new.op = ast.Or() if isinstance(new.op, ast.And) else ast.And()
        yield new
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not):
        yield new.operand
    elif isinstance(new, ast.Constant) and isinstance(new.value, bool):
        yield ast.Constant(not new.value)
    elif isinstance(new, ast.Constant) and isinstance(new.value, int | float):
        yield ast.Constant(new.value + 1)
    elif isinstance(new, ast.IfExp):
        new.body, new.orelse = new.orelse, new.body
        yield new
    elif isinstance(new, ast.Name) and new.id in _NAMES and isinstance(new.ctx, ast.Load):
        yield ast.Name(_NAMES[new.id], ast.Load())
    elif isinstance(new, ast.Attribute) and new.attr in _NAMES:
        new.attr = _NAMES[new.attr]
        yield new


def mutants(file: Path) -> list[Mutant]:
    """Every mutant of a file. Annotations and default values of annotated classes are left alone."""
    text = file.read_text(encoding="utf-8")
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    tree = ast.parse(text)
    skipped = {
        inner
        for node in ast.walk(tree)
        for outer in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if outer is not None
        for inner in ast.walk(outer)
    } | {inner for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if node in skipped or not hasattr(node, "end_col_offset"):
            continue
        for new in changed(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            old, replacement = text.encode()[begin:end].decode(), f"({ast.unparse(ast.fix_missing_locations(new))})"
            if isinstance(node, ast.Attribute | ast.Name):
                replacement = replacement[1:-1]
            source = (text.encode()[:begin] + replacement.encode() + text.encode()[end:]).decode()
            found.append(Mutant(file, node.lineno, f"{old} -> {replacement}".replace("\n", " "), source))
    return found


def drawn(area: Area, count: int, seed: int) -> list[Mutant]:
    """``count`` mutants of an area, evenly over its files."""
    files = sorted({file for pattern in area.sources for file in ROOT.glob(pattern)})
    generator = random.Random(seed)
    pools = [generator.sample(own, len(own)) for file in files if (own := mutants(file))]
    turns = [pool[turn] for turn in range(max(map(len, pools))) for pool in pools if turn < len(pool)]
    return turns[:count]


def copied(folder: Path) -> Path:
    """A copy of what the tests need; large and fixed folders are links."""
    for name in ("lora_mcl", "training", "ui", "deploy", "benchmarks", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.name == "assets" or (path.is_file() and not path.name.startswith(".")):
            (folder / path.name).symlink_to(path)
    return folder


def import_libraries() -> None:
    """Import what takes long and is the same for every mutant."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # as tests/conftest.py, before these are imported
    for name in ("torch", "transformers", "peft", "accelerate", "datasets", "librosa", "av", "PIL.Image", "hypothesis"):
        import_module(name)


def tests_pass(folder: Path, tests: tuple[str, ...], limit: float | None = None) -> bool:
    """Whether the tests pass in a copy, within ``limit`` seconds."""
    there = [test for test in tests if (folder / test).exists()]
    process = multiprocessing.get_context("fork").Process(target=_run_tests, args=(folder, there))
    process.start()
    process.join(limit)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def _run_tests(folder: Path, tests: list[str]) -> None:
    """In a process of its own, which forgets the repository's modules for those of the copy."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    packages = {path.name for path in ROOT.iterdir()} | {path.stem for path in ROOT.glob("*.py")}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    sys.exit(int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests])))


def score(name: str, count: int, seed: int, limit: float) -> tuple[int, int]:
    """Print the survivors of an area; returns how many mutants were killed, of how many."""
    area, killed = AREAS[name], 0
    chosen = drawn(area, count, seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = copied(Path(scratch))
        started = time.perf_counter()
        if not tests_pass(folder, area.tests):
            raise SystemExit(f"{name}: its tests fail without any mutant")
        # Tests that take far longer than without a mutant do not end; on a busy machine all take longer.
        limit = max(limit, 10 * (time.perf_counter() - started))
        for mutant in chosen:
            place = folder / mutant.file.relative_to(ROOT)
            original = place.read_text(encoding="utf-8")
            place.write_text(mutant.source, encoding="utf-8")
            survives = tests_pass(folder, area.tests, limit)
            place.write_text(original, encoding="utf-8")
            killed += not survives
            if survives:
                print(f"survives {mutant.file.relative_to(ROOT)}:{mutant.line}: {mutant.change}", flush=True)
    print(f"{name}: {killed} of {len(chosen)} killed ({killed / max(len(chosen), 1):.1%})", flush=True)
    return killed, len(chosen)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when at least ``--least`` of the mutants are killed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)}; all by default")
    parser.add_argument("--count", type=int, default=40, help="mutants of each area (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (%(default)s)")
    parser.add_argument("--limit", type=float, default=600, help="seconds the tests may take, at least (%(default)s)")
    parser.add_argument("--least", type=float, default=0.93, help="share to kill (%(default)s)")
    args = parser.parse_args(argv)
    if unknown := set(args.areas) - set(AREAS):
        parser.error(f"no area {', '.join(sorted(unknown))}; there are {', '.join(AREAS)}")
    import_libraries()
    results = [score(name, args.count, args.seed, args.limit) for name in args.areas or AREAS]
    killed, tried = map(sum, zip(*results, strict=True))
    return 0 if killed >= args.least * tried else 1


if __name__ == "__main__":
    sys.exit(main())
