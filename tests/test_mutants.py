"""The mutation runner: what it changes, and that a change counts as killed only where a test fails."""

import ast

import pytest

from tests.support import mutants


def test_each_kind_of_expression_is_changed_once(tmp_path):
    file = tmp_path / "code.py"
    file.write_text(
        "@cache(7)\n"
        "def f(x: int = 3, *, flag=True) -> 'a < b':\n"
        "    if not x or x <= 2 and x is not None:\n"
        "        return max(x, 1) if flag else x + 0.5\n"
        "    return f'{x + 1}'\n"
    )
    found = mutants.mutants(file)
    changes = {mutant.change for mutant in found}
    assert {
        "x <= 2 -> (x < 2)",
        "x is not None -> (x is None)",
        "not x -> (x)",
        "x <= 2 and x is not None -> (x <= 2 or x is not None)",
        "True -> (False)",
        "max -> min",
        "x + 0.5 -> (x - 0.5)",
        "0.5 -> (1.5)",
        "max(x, 1) if flag else x + 0.5 -> (x + 0.5 if flag else max(x, 1))",
    } <= changes
    assert not any("a < b" in change or change == "7 -> (8)" or change.startswith("x + 1") for change in changes)
    assert len({mutant.source for mutant in found}) == len(found)
    for mutant in found:
        ast.parse(mutant.source)


def test_a_call_is_changed_by_what_can_be_left_out(tmp_path):
    """One keyword argument at a time; a call whose result nobody uses; a result."""
    file = tmp_path / "code.py"
    file.write_text(
        "def f(x):\n"
        "    x.append(1)\n"
        "    with open(x, encoding='utf-8') as file:\n"
        "        return g(x, file, a='b',\n"
        "                 c=x, **x)\n"
        "    return None\n"
    )
    found = mutants.mutants(file)
    assert {mutant.change for mutant in found} == {
        "x.append(1) -> pass",
        "1 -> (2)",
        "g(x, file, a='b', c=x, **x) -> (g(x, file, c=x, **x))",
        "g(x, file, a='b', c=x, **x) -> (g(x, file, a='b', **x))",
        "return g(x, file, a='b', c=x, **x) -> return None",
    }
    for mutant in found:
        ast.parse(mutant.source)


def test_equivalent_mutants_are_mutants_of_an_area():
    sources = {
        path for area in mutants.AREAS.values() for pattern in area.sources for path in mutants.ROOT.glob(pattern)
    }
    files = {mutants.ROOT / file for file, _, _ in mutants.EQUIVALENT}
    assert files <= sources
    assert set(mutants.EQUIVALENT) <= {mutant.key for path in files for mutant in mutants.mutants(path)}
    assert all(mutants.EQUIVALENT.values())


def test_areas_name_files_that_are_there():
    for area in mutants.AREAS.values():
        assert all(list(mutants.ROOT.glob(pattern)) for pattern in (*area.sources, *area.tests)), area
        assert len(mutants.drawn(area, 5, 0)) == 5
    assert mutants.drawn(area, 5, 0) == mutants.drawn(area, 5, 0)


def test_the_skipped_mutants_are_the_first_of_a_draw():
    area = mutants.AREAS["options"]
    assert mutants.drawn(area, 6, 3)[4:] == mutants.drawn(area, 2, 3, skipped=4)


@pytest.mark.slow
def test_tests_are_noted_by_the_lines_they_execute(tmp_path):
    code, tests = tmp_path / "code_of_two.py", tmp_path / "test_two.py"
    code.write_text(
        "LIMIT = 3\n"
        "def one():\n"
        "    return 1\n"
        "def two(x):\n"
        "    if x:\n"
        "        return 2\n"
        "    return 3\n"
        "def four():\n"
        "    return 4\n"
    )
    tests.write_text(
        "import pytest\n"
        "from code_of_two import four, one, two\n"
        "@pytest.fixture(scope='module')\n"
        "def shared():\n"
        "    return four()\n"
        "@pytest.fixture\n"
        "def own():\n"
        "    return two(False)\n"
        "def test_a(shared):\n"
        "    assert one() == 1\n"
        "def test_b(own):\n"
        "    assert two(own) == 2\n"
        "def test_c(shared):\n"
        "    pass\n"
    )
    lines = tmp_path / "lines.json"
    assert mutants.tests_pass(tmp_path, ("test_two.py",), mutants.NoteLines([code], lines))
    noted = mutants.LineTests.load(lines)
    a, b, c = (f"test_two.py::test_{name}" for name in "abc")
    assert set(noted.of(code, [3])) == {a}
    assert set(noted.of(code, [6])) == set(noted.of(code, [7])) == {b}
    assert set(noted.of(code, [3, 6])) == {a, b}
    # Of an import, of a fixture that tests share, of no test at all: every test.
    assert set(noted.of(code, [1])) == set(noted.of(code, [9])) == set(noted.of(code, [99])) == {a, b, c}
    code.write_text(code.read_text().replace("return 1", "return 0"))
    assert not mutants.tests_pass(tmp_path, ("test_two.py",), mutants.OnlyTests([b, a]))
    assert mutants.tests_pass(tmp_path, ("test_two.py",), mutants.OnlyTests([b]))


@pytest.mark.slow
def test_only_a_failing_test_kills(tmp_path):
    (tmp_path / "test_one.py").write_text("from code_of_one import two\n\n\ndef test_two():\n    assert two() == 2\n")
    (tmp_path / "code_of_one.py").write_text("def two():\n    return 2\n")
    assert mutants.tests_pass(tmp_path, ("test_one.py",))
    (tmp_path / "code_of_one.py").write_text("def two():\n    return 3\n")
    assert not mutants.tests_pass(tmp_path, ("test_one.py",))


def test_tests_that_do_not_end_are_stopped(tmp_path):
    """By the seconds that they compute, or wait."""
    for name, wait in (("compute", "pass"), ("wait", "time.sleep(1)")):
        (tmp_path / f"test_{name}.py").write_text(f"import time\n\n\ndef test_it():\n    while True:\n        {wait}\n")
    assert not mutants.tests_pass(tmp_path, ("test_compute.py",), computing=5)
    assert not mutants.tests_pass(tmp_path, ("test_wait.py",), limit=1)
