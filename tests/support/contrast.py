"""A script for the browser: the contrast of every text."""

CONTRASTS = """
() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const chosen = 'h1, h2, h3, .eyebrow, .lead, .what, .kind, .badge, .caption, .figures, .answers small, '
    + '.about p, .about b, .examples span, .diversity th, .diversity td, .diversity small, .verdict, '
    + '.status p, .guide summary, .studio-tabs [role=tab], #image-compare';
  return [...document.querySelectorAll(chosen)].filter((e) => e.innerText.trim()).map((element) => {
    const [a, b] = [numbers(getComputedStyle(element).color), ground(element)].map(light);
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.className || element.tagName];
  });
}
"""
