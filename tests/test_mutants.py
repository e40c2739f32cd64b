"""The mutation runner: what it changes, and that a change counts as killed only where a test fails."""

import ast

from tests.support import mutants


def test_each_kind_of_expression_is_changed_once(tmp_path):
    file = tmp_path / "code.py"
    file.write_text(
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
    assert not any("a < b" in change or change.startswith("x + 1") for change in changes)
    assert len({mutant.source for mutant in found}) == len(found)
    for mutant in found:
        ast.parse(mutant.source)


def test_areas_name_files_that_are_there():
    for area in mutants.AREAS.values():
        assert all(list(mutants.ROOT.glob(pattern)) for pattern in (*area.sources, *area.tests)), area
        assert len(mutants.drawn(area, 5, 0)) == 5
    assert mutants.drawn(area, 5, 0) == mutants.drawn(area, 5, 0)


def test_only_a_failing_test_kills(tmp_path):
    (tmp_path / "test_one.py").write_text("from code_of_one import two\n\n\ndef test_two():\n    assert two() == 2\n")
    (tmp_path / "code_of_one.py").write_text("def two():\n    return 2\n")
    assert mutants.tests_pass(tmp_path, ("test_one.py",))
    (tmp_path / "code_of_one.py").write_text("def two():\n    return 3\n")
    assert not mutants.tests_pass(tmp_path, ("test_one.py",))
