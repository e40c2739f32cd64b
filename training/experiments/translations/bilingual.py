"""Half English, half French: does each of two hypotheses keep to one language?

    python -m training.experiments.translations.bilingual

German messages of programs are the prompt, and half of the texts to learn are English, half French; the language is not
given. The same small model as in ``training.experiments.translations`` is frozen; two hypotheses, one adapter and one
of twice the rank are trained on it. Writes ``assets/results/bilingual.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from training.experiments.translations.catalogues import BILINGUAL, Message, bilingual
from training.experiments.translations.model import Size
from training.experiments.translations.runs import GATE, KEPT, RELAXED, Setting, Variant, parsed, run_all
from training.paths import RESULTS

RESULTS_FILE = RESULTS / "bilingual.json"
# The most informative ones over all seeds first: a run that is cut short still compares them.
MAIN = (Variant(1, RELAXED), Variant(2, RELAXED), Variant(2, GATE))
FURTHER = (Variant(1, RELAXED, rank=16),)
# One beam is greedy decoding: what a reader who wants a single text gets.
BUDGETS = (1,)
EXAMPLES = ("Bild öffnen", "Datei speichern", "Neue Ebene", "Auswahl löschen", "Lautstärke")


def unseen(train: Sequence[Message], test: Sequence[Message]) -> list[Message]:
    """Test messages whose prompt is not one of the training's: different English messages can be one in German."""
    known = {message.text.lower() for message in train}
    return [message for message in test if message.text.lower() not in known]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seeds, train, test, base = parsed(parser, argv)
    train, test = bilingual(train), bilingual(test)
    setting = Setting(base, train, unseen(train, test), Size(), KEPT / "bilingual-runs", BUDGETS, EXAMPLES, BILINGUAL)
    run_all((MAIN, FURTHER), seeds, setting, RESULTS_FILE)


if __name__ == "__main__":
    main()
