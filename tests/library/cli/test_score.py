"""The ``score`` command: two tables, one JSON object, and messages instead of tracebacks."""

import json

import pytest

from lora_mcl.cli import main
from lora_mcl.cli.score import aligned


@pytest.fixture
def run(tiny_bundle, picture, capsys):
    """Run ``score`` on the tiny bundle; returns status, standard output, standard error."""

    def score(*arguments, file=picture):
        capsys.readouterr()
        status = main(["score", str(file), "--model", str(tiny_bundle), *arguments])
        return status, *capsys.readouterr()

    return score


def test_json_is_the_librarys(run, tiny_captioner, picture):
    status, output, _ = run("--caption", "A  cat.", "--json")
    table, direct = json.loads(output), tiny_captioner.score(picture, "A cat.").to_dict()
    assert status == 0 and table.pop("seconds") > 0 and direct.pop("seconds") > 0
    for own, theirs in zip(table.pop("systems"), direct.pop("systems"), strict=True):
        assert own == {name: pytest.approx(value, abs=1e-4) for name, value in theirs.items()}
    margins = {name: pytest.approx(direct[name], abs=1e-3) for name in ("margin", "mean_margin")}
    assert table == direct | margins


def test_tables(run, tiny_captioner, picture):
    status, output, _ = run("--caption", "A cat.")
    score = tiny_captioner.score(picture, "A cat.")
    title, _, heads, *lines = output.splitlines()
    assert status == 0 and title.startswith("picture.png and 'A cat.', scored by bundle in ")
    assert heads.split() == ["system", "NLL", "per", "token"]
    for line, system in zip(lines, score.systems, strict=False):
        assert line.startswith(system.label) and f" {system.nll:.2f} " in line
        assert line.endswith("winner") == (system is score.winner)
    assert lines[3].endswith("baseline")
    assert lines[5].startswith(f"Likeliest under {score.winner.label}: ")
    assert lines[7].split() == ["token", "1", "2", "3", "baseline"]
    assert len(lines) == 8 + len(score.tokens) and lines[-1].startswith("(end)")
    assert [float(value) for value in lines[8].split()[1:]] == pytest.approx(
        [system.log_probs[0] for system in score.systems], abs=0.006
    )


def test_lines_of_a_table():
    assert aligned([("a", "b", ""), ("long", "1.25", "x")]) == ["a        b", "long  1.25  x"]


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("--caption", " "), {}, "The caption is empty: type a few words."),
        (("--caption", "cat " * 300), {}, "The caption is too long"),
        (("--caption", "A cat."), {"file": "missing.png"}, "There is no file missing.png"),
        (("--caption", "A cat.", "--start", "3"), {}, "start is the second of a sound"),
    ],
)
def test_a_users_error_is_one_line(run, arguments, given, message):
    status, output, errors = run(*arguments, **given)
    assert status == 2 and not output
    (line,) = [line for line in errors.splitlines() if line.startswith("lora_mcl:")]
    assert message in line
