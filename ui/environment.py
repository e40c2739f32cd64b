"""The options of ``app.py`` that environment variables set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from difflib import get_close_matches

# Options of which the command line's form is all there is; in the environment they are LORA_MCL_<NAME>.
BY_NAME = (
    *("more-models", "root-path", "auth-file", "mcp", "fetch-urls", "votes"),
    *("dtype", "device-map", "load-in-4bit", "acceleration", "max-rows", "max-cache", "keep-prompts"),
    "model-processes",
    *("lease-start", "lease-per-token"),
)
_ON_OR_OFF = ("load-in-4bit", "model-processes", "mcp", "fetch-urls")
# Variables of Gradio with the same meaning, by option.
_GRADIO_NAMES = {"root-path": "GRADIO_ROOT_PATH", "mcp": "GRADIO_MCP_SERVER"}
# Other variables of that prefix: the first two options, where to listen, and where the tests put screenshots.
OWN_NAMES = tuple(f"LORA_MCL_{name}" for name in ("IMAGE_MODEL", "AUDIO_MODEL", "HOST", "PORT", "SCREENSHOTS"))
_SWITCHES = {"1": "--", "true": "--", "0": "--no-", "false": "--no-"}


def environment_arguments(environment: Mapping[str, str], parser: argparse.ArgumentParser) -> list[str]:
    """The options ``BY_NAME`` that the environment sets, as arguments; the parser ends the program at a bad one."""
    known = {f"LORA_MCL_{option.upper().replace('-', '_')}": option for option in BY_NAME}
    for name in environment:
        if name.startswith("LORA_MCL_") and name not in {*known, *OWN_NAMES}:
            nearest = get_close_matches(name, [*known, *OWN_NAMES], n=1)
            parser.error(f"there is no variable {name}" + (f": did you mean {nearest[0]}?" if nearest else ""))
    arguments = []
    for own, option in known.items():
        name = own if environment.get(own) else _GRADIO_NAMES.get(option, own)
        value = environment.get(name)
        if not value:
            continue
        if option not in _ON_OR_OFF:
            arguments.append(f"--{option}={value}")
        elif value.lower() in _SWITCHES:
            arguments.append(f"{_SWITCHES[value.lower()]}{option}")
        else:
            parser.error(f"{name} must be 1 or 0, not {value!r}")
    return arguments
