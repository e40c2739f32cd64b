"""The texts that the code and the report's template ask for in a reader's language."""

import ast

from jinja2 import Environment
from jinja2.ext import extract_from_ast

from tests.support.paths import ROOT

SOURCES = [file for folder in ("ui", "lora_mcl") for file in sorted((ROOT / folder).rglob("*.py"))]
# The translations themselves are no use of a text.
CODE = [file for file in SOURCES if "french" not in file.parts]


def calls_of(names: tuple[str, ...], folder: str = "") -> dict[str, str]:
    """The literal first argument of every call of these names in a folder of the code, with its place."""
    found = {}
    for file in CODE:
        if not file.is_relative_to(ROOT / folder):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names and node.args:
                text = node.args[0]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[text.value] = f"{file.relative_to(ROOT)}:{node.lineno}"
    return found


def calls_of_the_report() -> dict[str, str]:
    """The texts of the report's template, with their places."""
    template = ROOT / "lora_mcl" / "report" / "template.html"
    calls = extract_from_ast(Environment().parse(template.read_text(encoding="utf-8")), ("texts",))
    # A call with values gives its text first.
    return {text if isinstance(text, str) else text[0]: f"{template.name}:{line}" for line, _, text in calls}
