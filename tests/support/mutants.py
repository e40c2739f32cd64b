"""Mutation testing by area: how many single changes of the code the area's tests notice.

    make mutants AREA=trainer
    python -m tests.support.mutants trainer data --count 40

A mutant changes one place of one file: a comparison or its limit, an arithmetic or boolean operator, a constant, a
negation, a keyword argument or a call on a line of its own that is left out, or a function that returns None. Mutants
are drawn by a seed, evenly over the area's files, and each is tried in a copy of the repository: it is killed if a test
of the area that executes its line fails or does not end, else it survives. One that survives because it changes nothing
that can be observed is equivalent and does not count; those are listed with their reasons (``equivalent_mutants``).
Slow-marked tests are left out. Not part of CI: an area takes minutes. Each mutant has a process of its own, forked from
one in which the libraries are imported already (Linux, macOS).
"""

from __future__ import annotations

import argparse
import ast
import copy
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.equivalent_mutants import EQUIVALENT
from tests.support.line_tests import LineTests, NoteLines, OnlyTests
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
        tuple(f"tests/training/data/test_{name}.py" for name in ("loading", "loading_limits", "sampler", "published")),
    ),
    "objectives": Area(
        ("lora_mcl/objectives.py", "lora_mcl/loss.py", "lora_mcl/metrics/diversity.py"),
        ("tests/library/test_objectives.py", "tests/library/test_loss.py", "tests/library/metrics/test_diversity.py"),
    ),
    "adapters": Area(("lora_mcl/adapters/*.py",), ("tests/library/adapters",)),
    "peft_folder": Area(
        ("lora_mcl/adapters/peft_folder.py", "lora_mcl/adapters/patterns.py"),
        tuple(f"tests/library/adapters/test_{name}.py" for name in ("peft_folders", "patterns", "lora_config")),
    ),
    "captioner": Area(
        ("lora_mcl/captioner.py", "lora_mcl/batch.py", "lora_mcl/scoring.py", "lora_mcl/types.py"),
        tuple(
            f"tests/library/test_{name}.py"
            for name in ("captioner", "audio_captioner", "batch", "scoring", "types", "score_head")
        ),
    ),
    "sessions": Area(
        ("ui/sessions.py", "ui/pacing.py"),
        tuple(f"tests/page/test_{name}.py" for name in ("sessions", "finished", "pacing", "columns")),
    ),
    "gate": Area(
        ("lora_mcl/gate.py", "lora_mcl/gate_init.py"), ("tests/library/test_gate.py", "tests/library/test_gate_init.py")
    ),
    "media": Area(
        ("lora_mcl/audio.py", "lora_mcl/audio_readers.py", "lora_mcl/images.py", "lora_mcl/pixels.py"),
        tuple(f"tests/library/test_{name}.py" for name in ("audio", "audio_limits", "images", "warm_up")),
    ),
    "bundle": Area(("lora_mcl/bundle/*.py",), ("tests/library/bundle", "tests/library/test_score_head.py")),
    "decoding": Area(("lora_mcl/decoding/*.py",), ("tests/library/decoding",)),
}
# What the repository's modules take to import, and tests to be collected, at most.
_START_SECONDS = 30
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
# Keyword arguments that only guard, or change nothing where text is UTF-8 and where all is on the CPU.
_GUARDS = {"strict", "encoding", "device"}
_NAMES = {"any": "all", "all": "any", "min": "max", "max": "min", "amin": "amax", "amax": "amin"}


@dataclass(frozen=True)
class Mutant:
    """A changed file: its source, and the change for people."""

    file: Path
    line: int
    last_line: int
    change: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Its file, line without indentation, and change: wherever the line is."""
        line = self.file.read_text(encoding="utf-8").splitlines()[self.line - 1].strip()
        return self.file.relative_to(ROOT).as_posix(), line, self.change


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Every way in which an expression or a statement is changed."""
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
    elif isinstance(new, ast.Call):
        for place, keyword in enumerate(new.keywords):
            if keyword.arg is not None and keyword.arg not in _GUARDS:
                without = copy.deepcopy(new)
                del without.keywords[place]
                yield without
    elif isinstance(new, ast.Expr) and isinstance(new.value, ast.Call):
        yield ast.Pass()
    elif isinstance(new, ast.Return) and new.value is not None and not isinstance(new.value, ast.Constant):
        yield ast.Return(ast.Constant(None))


def mutants(file: Path) -> list[Mutant]:
    """Every mutant of a file. Annotations, decorators and texts with values are left alone."""
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
    } | {
        inner
        for node in ast.walk(tree)
        for outer in ([node] if isinstance(node, ast.JoinedStr) else getattr(node, "decorator_list", ()))
        for inner in ast.walk(outer)
    }
    found = []
    for node in ast.walk(tree):
        if node in skipped or not hasattr(node, "end_col_offset"):
            continue
        for new in changed(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            old, replacement = text.encode()[begin:end].decode(), f"({ast.unparse(ast.fix_missing_locations(new))})"
            if isinstance(node, ast.Attribute | ast.Name | ast.stmt):
                replacement = replacement[1:-1]
            source = (text.encode()[:begin] + replacement.encode() + text.encode()[end:]).decode()
            found.append(
                Mutant(file, node.lineno, node.end_lineno, " ".join(f"{old} -> {replacement}".split()), source)
            )
    return found


def drawn(area: Area, count: int, seed: int, skipped: int = 0) -> list[Mutant]:
    """``count`` mutants of an area after ``skipped`` ones, evenly over its files."""
    files = sorted({file for pattern in area.sources for file in ROOT.glob(pattern)})
    generator = random.Random(seed)
    pools = [generator.sample(own, len(own)) for file in files if (own := mutants(file))]
    turns = [pool[turn] for turn in range(max(map(len, pools))) for pool in pools if turn < len(pool)]
    return turns[skipped : skipped + count]


def copied(folder: Path) -> Path:
    """A copy of what the tests need; large and fixed folders are links."""
    for name in ("lora_mcl", "training", "ui", "deploy", "benchmarks", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.name == "assets" or (path.is_file() and not path.name.startswith(".")):
            (folder / path.name).symlink_to(path)
    return folder


def import_libraries(tests: Sequence[str]) -> None:
    """Import what the tests import: libraries take long and are the same for every mutant."""
    there = [str(ROOT / test) for test in tests if (ROOT / test).exists()]
    with redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *there])


def tests_pass(
    folder: Path,
    tests: tuple[str, ...],
    plugin: object | None = None,
    limit: float | None = None,
    computing: float | None = None,
) -> bool:
    """Whether the tests pass in a copy, with a pytest plugin if one is given.

    Args:
        limit: seconds they may take.
        computing: seconds that they may compute, however busy the machine is.
    """
    there = [test for test in tests if (folder / test).exists()]
    process = multiprocessing.get_context("fork").Process(target=_run_tests, args=(folder, there, plugin, computing))
    process.start()
    try:
        _join(process, limit)
    finally:  # also where this program is interrupted
        if process.is_alive():
            with suppress(ProcessLookupError):  # no group of its own yet
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()
    return process.exitcode == 0


def _join(process: multiprocessing.process.BaseProcess, limit: float | None) -> None:
    """Wait for a process. Time in which this program itself is stopped (SIGSTOP) does not count."""
    waited = 0
    while process.is_alive() and (limit is None or waited < limit):
        process.join(1)
        waited += 1


def _run_tests(folder: Path, tests: list[str], plugin: object | None, computing: float | None) -> None:
    """In a process of its own, which forgets the repository's modules for those of the copy."""
    os.setsid()
    if computing is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (round(computing), round(computing)))
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
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    sys.exit(int(pytest.main(arguments, plugins=[plugin] if plugin else None)))


def score(name: str, chosen: list[Mutant], limit: float) -> tuple[int, int]:
    """Try mutants of an area and print what becomes of each; returns how many were killed, and of how many."""
    area, killed, equivalent = AREAS[name], 0, 0
    import_libraries(area.tests)
    with tempfile.TemporaryDirectory() as scratch:
        folder = copied(Path(scratch).resolve() / "copy")
        lines = folder.parent / "lines.json"
        places = {mutant: folder / mutant.file.relative_to(ROOT) for mutant in chosen}
        started = time.perf_counter()
        if not tests_pass(folder, area.tests, NoteLines(places.values(), lines)):
            raise SystemExit(f"{name}: its tests fail without any mutant")
        # Tests that compute far longer than without a mutant do not end. Those that wait for ever get more time: on a
        # busy machine all take longer.
        limit = max(limit, 5 * (time.perf_counter() - started))
        line_tests = LineTests.load(lines)
        for mutant, place in places.items():
            original = place.read_text(encoding="utf-8")
            place.write_text(mutant.source, encoding="utf-8")
            tests = line_tests.of(place, range(mutant.line, mutant.last_line + 1))
            files = tuple(dict.fromkeys(test.partition("::")[0] for test in tests))
            computing = _START_SECONDS + 3 * sum(line_tests.seconds[test] for test in tests)
            survives = tests_pass(folder, files, OnlyTests(tests), limit, computing)
            place.write_text(original, encoding="utf-8")
            killed += not survives
            reason = EQUIVALENT.get(mutant.key) if survives else None
            equivalent += reason is not None
            outcome = f"equivalent ({reason})" if reason else "survives" if survives else "killed"
            print(f"{outcome} {mutant.file.relative_to(ROOT)}:{mutant.line}: {mutant.change}", flush=True)
    counted = len(chosen) - equivalent
    share = killed / max(counted, 1)
    print(f"{name}: {killed} of {counted} killed ({share:.1%}), {equivalent} equivalent", flush=True)
    return killed, counted


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
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many of the draw")
    parser.add_argument("--limit", type=float, default=120, help="seconds the tests may take, at least (%(default)s)")
    parser.add_argument("--least", type=float, default=0.93, help="share to kill (%(default)s)")
    args = parser.parse_args(argv)
    if unknown := set(args.areas) - set(AREAS):
        parser.error(f"no area {', '.join(sorted(unknown))}; there are {', '.join(AREAS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the tests that are running are ended, too
    draws = {name: drawn(AREAS[name], args.count, args.seed, args.skip) for name in args.areas or AREAS}
    scores = [score(name, chosen, args.limit) for name, chosen in draws.items()]
    return 0 if sum(k for k, _ in scores) >= args.least * sum(counted for _, counted in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
