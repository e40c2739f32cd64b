"""The switch that shows differences between the columns, and what the copy buttons do. Neither asks the server."""

from __future__ import annotations

from ui.modality import ModalityText
from ui.texts.static import StaticHtml
from ui.texts.texts import Texts

_JS = """
const panel = element.closest('[role=tabpanel]');
const words = element.querySelector('label').dataset;
panel.addEventListener('click', async ({target}) => {
  const button = target.closest('.copy');
  if (!button) return;
  const caption = button.closest('li, .caption-column').querySelector('.caption');
  try {
    await navigator.clipboard.writeText(caption.innerText);
    button.textContent = words.copied;
  } catch {
    // Without the right to write to the clipboard (a page without https), it is selected.
    getSelection().selectAllChildren(caption);
    button.textContent = words.selected;
  }
  setTimeout(() => { button.textContent = words.copy; }, 2000);
});
"""


def difference_switch(modality: ModalityText) -> None:
    """A checkbox under the columns; the rules of ``style.css`` do the rest."""
    StaticHtml(
        lambda texts: _switch_html(modality, texts),
        js_on_load=_JS,
        elem_classes="switch",
    )


def _switch_html(modality: ModalityText, texts: Texts) -> str:
    """The checkbox with its label, which also holds what the copy buttons say."""
    label = texts("Show differences: words of all columns fade, words of one alone are underlined")
    words = f'data-copy="{texts("Copy")}" data-copied="{texts("Copied")}" data-selected="{texts("Selected")}"'
    return f'<label {words}><input type="checkbox" id="{modality.name}-differences"> {label}</label>'
