"""Messages in four languages, and the size of a model that learns them in seconds."""

from training.experiments.translations.catalogues import Message
from training.experiments.translations.model import Size

TINY = Size(vocabulary=300, hidden=16, layers=1, heads=2, base_steps=3, base_batch=4, steps=2, batch=4, rank=2)
COLOURS = {"red": ("rouge", "rot", "rojo", "rosso"), "blue": ("bleu", "blau", "azul", "blu")}
THINGS = {
    "brush": ("pinceau", "Pinsel", "pincel", "pennello"),
    "layer": ("calque", "Ebene", "capa", "livello"),
    "page": ("feuille", "Seite", "hoja", "pagina"),
    "file": ("fichier", "Datei", "archivo", "documento"),
}
MESSAGES = [
    Message(f"{colour} {thing}", tuple(f"{b} {a}" for a, b in zip(shades, names, strict=True)))
    for colour, shades in COLOURS.items()
    for thing, names in THINGS.items()
]
