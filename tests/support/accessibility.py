"""The rules of axe-core on the page that is shown."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# Gradio's own markup that cannot be changed from outside: what axe finds at exactly these elements is left out, each
# by the rule's name. Everything else counts, also in Gradio's components.
GRADIO_NODES = (
    (
        "nested-interactive",
        ".icon-button:has(input[type=file])",
        "Gradio puts the hidden file input of its file component into the button that opens it",
    ),
)


def violations(page: Page) -> list[str]:
    """Each element that breaks a rule of axe-core (WCAG A and AA and best practices), with the rule and the reason."""
    found = []
    for violation in Axe().run(page).response["violations"]:
        for node in violation["nodes"]:
            target = " ".join(map(str, node["target"]))
            if not _is_gradios(page, violation["id"], target):
                reason = node["failureSummary"].replace("\n", " ")
                found.append(f"{violation['id']} at {target}: {node['html'][:300]}: {reason}")
    return found


def _is_gradios(page: Page, rule: str, target: str) -> bool:
    return any(
        rule == excluded and page.locator(target).first.evaluate("(e, selector) => e.matches(selector)", selector)
        for excluded, selector, _ in GRADIO_NODES
    )
