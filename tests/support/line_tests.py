"""Which tests execute which lines: a pytest plugin that notes it, and one that runs only chosen tests.

The mutation runner (``tests.support.mutants``) tries a mutant only on the tests that execute its line.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import pytest

# Lines of imports and of fixtures that tests share count for every test.
SHARED = ""


@dataclass(frozen=True)
class LineTests:
    """Seconds of each test, by its id, and the tests that execute each line (``file:line``)."""

    seconds: dict[str, float]
    tests: dict[str, list[str]]

    @classmethod
    def load(cls, path: Path) -> LineTests:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def of(self, file: Path, lines: Iterable[int]) -> list[str]:
        """The tests that execute one of the lines, or every test; those of quick files first, then quick ones."""
        found = {test for line in lines for test in self.tests.get(f"{file}:{line}", ())}
        chosen = [test for test in self.seconds if not found or SHARED in found or test in found]
        of_file: dict[str, float] = defaultdict(float)
        for test in chosen:
            of_file[test.partition("::")[0]] += self.seconds[test]
        return sorted(chosen, key=lambda test: (of_file[file := test.partition("::")[0]], file, self.seconds[test]))


class NoteLines:
    """Notes for some files which test executes each line, and writes it to ``path`` at the end."""

    def __init__(self, files: Iterable[Path], path: Path) -> None:
        self._names = {str(file) for file in files}
        self._path = path
        self._wanted: dict[CodeType, bool] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._tests: dict[str, set[str]] = defaultdict(set)
        self._now = SHARED

    def pytest_sessionstart(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        threading.settrace(None)
        tests = {line: sorted(names) for line, names in self._tests.items()}
        self._path.write_text(json.dumps({"seconds": self._seconds, "tests": tests}), encoding="utf-8")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request) -> Iterator[None]:
        before, self._now = self._now, request.node.nodeid if fixturedef.scope == "function" else SHARED
        try:
            return (yield)
        finally:
            self._now = before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._now = item.nodeid
        try:
            return (yield)
        finally:
            self._now = SHARED

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def _call(self, frame: FrameType, event: str, argument: object):
        code = frame.f_code
        wanted = self._wanted.get(code)
        if wanted is None:
            wanted = self._wanted[code] = code.co_filename in self._names
        return self._line if wanted else None

    def _line(self, frame: FrameType, event: str, argument: object):
        if event == "line":
            self._tests[f"{frame.f_code.co_filename}:{frame.f_lineno}"].add(self._now)
        return self._line


class OnlyTests:
    """Runs the tests with these ids alone, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
        )
