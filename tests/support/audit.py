"""Published weaknesses of the installed packages, by pip-audit: ``make audit``.

pip-audit skips a package that it cannot look up, and succeeds although every one was skipped: here that is a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

# Built for one processor and not on PyPI under that version, such as torch 2.13.0+cpu.
_LOCAL = "+"


def findings(report: dict[str, Any]) -> tuple[str, bool]:
    """What to print of pip-audit's JSON report, and whether it is good: everything looked up, and nothing found.

    A version with a local label, such as 2.13.0+cpu, is named and does not count: PyPI does not have it.
    """
    packages = report["dependencies"]
    skipped = [one for one in packages if "skip_reason" in one]
    missed = [one["name"] for one in skipped if _LOCAL not in one["skip_reason"]]
    weak = [(one, weakness) for one in packages for weakness in one.get("vulns", ())]
    lines = [
        f"{one['name']} {one['version']}: {weakness['id']}, "
        f"fixed in {', '.join(weakness['fix_versions']) or 'no version'}"
        for one, weakness in weak
    ]
    if local := [one["name"] for one in skipped if one["name"] not in missed]:
        lines.append(f"Not on PyPI in this build, look them up by hand: {', '.join(local)}.")
    if missed:
        count = f"{len(missed)} of {len(packages)} packages"
        lines.append(f"{count} could not be looked up; that needs PyPI: {', '.join(missed)}.")
    looked_up = len(packages) - len(skipped)
    lines.append(f"{looked_up} packages looked up, {len(weak)} weaknesses found.")
    return "\n".join(lines), bool(looked_up) and not weak and not missed


def main(arguments: list[str] | None = None) -> int:
    """Run pip-audit on the installed packages; 0 if all were looked up and nothing was found."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off"]
    # Its summary, "No known vulnerabilities found", also ends an audit that looked nothing up: shown only in trouble.
    done = subprocess.run(
        [*command, "--format", "json", *(sys.argv[1:] if arguments is None else arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        print(done.stderr, end="", file=sys.stderr)
        print("pip-audit gave no report: that needs PyPI.", file=sys.stderr)
        return 1
    text, good = findings(report)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
