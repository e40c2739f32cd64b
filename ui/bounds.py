"""A number typed out of a slider's bounds: the slider shows the nearest bound, and a line below it gives the reason."""

from __future__ import annotations

from ui.texts.static import StaticHtml
from ui.texts.texts import ENGLISH, Texts

# Gradio puts the bound in place of the number only when the field is left, and without a word. By then a click on
# Compare has been under way with it.
_JS = """
const sentences = element.querySelector('[data-out]').dataset;
let correcting = false;
const forget = ({target}) => { if (!correcting) target.closest?.('.block')?.querySelector('.bound')?.remove(); };
document.addEventListener('input', forget, true);
document.addEventListener('click', ({target}) => { if (target.closest?.('.reset-button')) forget({target}); }, true);
document.addEventListener('change', ({target}) => {
  const block = target.matches('input[type=number]') && target.closest('.block');
  if (!block || !block.querySelector('input[type=range]')) return;
  const [low, high] = [Number(target.min), Number(target.max)];
  const value = target.value === '' ? null : Number(target.value);
  if (value !== null && value >= low && value <= high) return;
  const bound = value > high ? high : low;
  correcting = true;
  target.value = bound;
  target.dispatchEvent(new Event('input', {bubbles: true}));
  correcting = false;
  const said = document.createElement('p');
  said.className = 'bound';
  said.setAttribute('role', 'alert');
  const written = {low, high, value, bound};
  const number = (name) => written[name].toLocaleString(document.documentElement.lang, {useGrouping: false});
  said.textContent = sentences[value === null ? 'empty' : 'out'].replace(/%(\\w+)/g, (_, name) => number(name));
  block.querySelector('.bound')?.remove();
  block.append(said);
}, true);
"""
_NAMES = ("low", "high", "value", "bound")


def watch_bounds() -> None:
    """Watch all sliders of the page; inside its ``gr.Blocks``."""
    StaticHtml(_sentences_html, js_on_load=_JS, elem_classes="sr-only")


def _sentences_html(texts: Texts = ENGLISH) -> str:
    """Both sentences, with %low, %high, %value and %bound for the script to fill in."""
    values = {name: f"%{name}" for name in _NAMES}
    out = texts("From {low} to {high}: {value} became {bound}.", **values)
    empty = texts("From {low} to {high}: it is {bound} now.", **values)
    return f'<span data-out="{out}" data-empty="{empty}"></span>'
