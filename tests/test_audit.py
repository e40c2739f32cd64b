"""``make audit``: what counts as an audit that found nothing."""

import json
import subprocess

import pytest

from tests.support.audit import findings, main

GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
WEAK = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}]}
SKIPPED = {"name": "new", "skip_reason": "Dependency not found on PyPI and could not be audited: new (1.0)"}
LOCAL = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0+cpu)"}


@pytest.mark.parametrize(
    ("packages", "good", "words"),
    [
        ([GOOD], True, "1 packages looked up, 0 weaknesses found."),
        ([GOOD, LOCAL], True, "look them up by hand: torch."),
        ([GOOD, WEAK], False, "old 1.0: PYSEC-1, fixed in 1.1, 2.0"),
        ([GOOD, SKIPPED], False, "1 of 2 packages could not be looked up; that needs PyPI: new."),
        ([SKIPPED], False, "0 packages looked up"),
        ([LOCAL], False, "0 packages looked up"),
        ([], False, "0 packages looked up"),
    ],
)
def test_only_what_was_looked_up_is_good(packages, good, words):
    text, is_good = findings({"dependencies": packages})
    assert is_good == good and words in text


@pytest.mark.parametrize(
    ("report", "code", "shown", "hidden"),
    [
        (json.dumps({"dependencies": [GOOD]}), 0, "1 packages looked up, 0 weaknesses found.", "No known"),
        (json.dumps({"dependencies": [SKIPPED]}), 1, "1 of 1 packages could not be looked up", "No known"),
        ("", 1, "No known vulnerabilities found\npip-audit gave no report: that needs PyPI.", "weaknesses"),
    ],
)
def test_the_words_of_pip_audit_do_not_hide_what_was_not_looked_up(monkeypatch, capsys, report, code, shown, hidden):
    def run(command, **options):
        return subprocess.CompletedProcess(command, 0, report, "No known vulnerabilities found\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert main([]) == code
    said = capsys.readouterr()
    assert shown in said.out + said.err and hidden not in said.out + said.err
