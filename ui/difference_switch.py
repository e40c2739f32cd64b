"""The switch that shows differences between the columns, and what the copy buttons do. Neither asks the server."""

from __future__ import annotations

from ui.html import html
from ui.modality import ModalityText

_JS = """
const panel = element.closest('[role=tabpanel]');
panel.addEventListener('click', async ({target}) => {
  const button = target.closest('.copy:not(.redo)');
  if (!button) return;
  const caption = button.closest('li, .caption-column').querySelector('.caption');
  try {
    await navigator.clipboard.writeText(caption.innerText);
    button.textContent = 'Copied';
  } catch {
    // Without the right to write to the clipboard (a page without https), it is selected.
    getSelection().selectAllChildren(caption);
    button.textContent = 'Selected';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
});
"""


def difference_switch(modality: ModalityText) -> None:
    """A checkbox under the columns; the rules of ``style.css`` do the rest."""
    html(
        f'<label><input type="checkbox" id="{modality.name}-differences"> Show differences: words of all columns in '
        "one language fade, words of one column alone are underlined</label>",
        js_on_load=_JS,
        elem_classes="switch",
    )
