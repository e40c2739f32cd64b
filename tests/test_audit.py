"""``make audit``: what counts as an audit that found nothing."""

import pytest

from tests.support.audit import findings

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
