"""The folder below which uploads are kept; this module imports no Gradio, which reads its name when it is imported."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"


def temporary_folder(environment: Mapping[str, str]) -> str:
    """The folder that ``GRADIO_TEMP_DIR`` names, or Gradio's own; of those that cannot be written to neither.

    Gradio's own belongs to who served a page first on this machine: the others get one by their user's number.
    """
    named = environment.get(VARIABLE)
    if named:
        reason = _fault(Path(named))
        if reason is None:
            return named
        print(f"app.py: uploads go elsewhere: {VARIABLE}={named} cannot be used: {reason}.", file=sys.stderr)
    usual = Path(tempfile.gettempdir()) / "gradio"
    return str(usual if _fault(usual) is None else usual.with_name(f"gradio-{os.getuid()}"))


def _fault(folder: Path) -> str | None:
    """Why no folder can be made in this one; None if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)
