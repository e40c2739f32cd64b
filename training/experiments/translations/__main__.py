"""Messages of programs translated by people: which language does each hypothesis take?

    python -m training.experiments.translations
    python -m training.experiments.translations --seeds 1 --base FOLDER

The message is the prompt, its language is not given; the modes are French, German, Spanish and Italian. A small model
from scratch (or the causal language model in FOLDER, with a tokenizer that has the token ``<to>``) is frozen; K = 1 to
6 adapters are trained on it by ``MultipleChoiceTrainer``, and LoRA-MoE. Writes ``assets/results/translations.json``
after every run; what a run cut short has finished is kept under ``build/translations``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from training.experiments.translations.model import Size
from training.experiments.translations.runs import GATE, KEPT, RELAXED, Setting, Variant, parsed, run_all
from training.paths import RESULTS

RESULTS_FILE = RESULTS / "translations.json"
# The most informative ones over all seeds first: a run that is cut short still compares them.
MAIN = (
    Variant(1, RELAXED),
    Variant(4, GATE),
    Variant(4, RELAXED),
    Variant(1, RELAXED, rank=32, experts=4),
    Variant(2, RELAXED),
)
FURTHER = (
    Variant(1, RELAXED, rank=32),
    Variant(3, RELAXED),
    Variant(5, RELAXED),
    Variant(6, RELAXED),
)
# Each further one over all seeds before the next.
GROUPS = (MAIN, *((variant,) for variant in FURTHER))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seeds, train, test, base = parsed(parser, argv)
    setting = Setting(base, train, test, Size(), KEPT / "runs")
    run_all(GROUPS, seeds, setting, RESULTS_FILE)


if __name__ == "__main__":
    main()
