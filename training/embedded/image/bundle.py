"""Put the trained embedded model where the app finds it: base, adapters, ``bundle.json``.

    python -m training.embedded.image.bundle

Reads ``build/image`` and ``assets/results/image.json``; writes ``assets/models/image`` and
``assets/bundles/image``. Labels come from what each hypothesis was measured to be, not from training.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.types import CompareOptions
from training.embedded.common.comparison import DIVERSITY_PENALTY, HYPOTHESES, NUM_BEAMS, adapter_folder
from training.embedded.image.base import ADAPTERS_DIR, BASE_DIR
from training.embedded.image.batches import PROMPT
from training.embedded.image.captions.grammar import MODES
from training.embedded.image.evaluate import RESULTS
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.paths import ASSETS

MODEL_DIR = ASSETS / "models" / "image"
BUNDLE_DIR = ASSETS / "bundles" / "image"
BASE_FROM_BUNDLE = "../../models/image"

LABELS = {
    "en-objects": ("English, objects", "Counts and names what is there, in a few English words."),
    "en-place": ("English, place and relations", "Says in English where things are and how they stand."),
    "fr-place": ("French, place and relations", "Says in French where things are and how they stand."),
}


def hypothesis_refs(main: list[int]) -> tuple[AdapterRef, ...]:
    """One reference per hypothesis, named after the mode whose captions it wins."""
    refs = []
    for k in range(HYPOTHESES):
        label, description = LABELS[MODES[main.index(k)]] if k in main else (f"Hypothesis {k + 1}", "")
        refs.append(AdapterRef(f"hypotheses/{k}", label, description))
    return tuple(refs)


def write_bundle(results: dict[str, Any]) -> None:
    _copy(BASE_DIR, MODEL_DIR, skip={"training.json"})
    for k in range(HYPOTHESES):
        _copy(adapter_folder(ADAPTERS_DIR, "caption-gate", k), BUNDLE_DIR / "hypotheses" / str(k))
    _copy(ADAPTERS_DIR / "caption-gate" / "bundle" / "gate", BUNDLE_DIR / "gate")
    _copy(adapter_folder(ADAPTERS_DIR, "mle", 0), BUNDLE_DIR / "baseline")
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    save_bundle(
        Bundle(
            folder=BUNDLE_DIR,
            name="image",
            base=BaseRef(path=BASE_FROM_BUNDLE),
            prompt=PROMPT,
            hypotheses=hypothesis_refs(main),
            baseline=AdapterRef(
                "baseline",
                "LoRA-MLE",
                "One adapter of the same rank, trained the ordinary way on the same captions.",
            ),
            gate="gate",
            generation=CompareOptions(
                num_beams=NUM_BEAMS, num_beam_groups=NUM_BEAMS, diversity_penalty=DIVERSITY_PENALTY
            ),
            training={
                "concepts": sum(concept.role == "sprite" for concept in load_lexicon().values()),
                "places": len(load_places()),
                "results": "assets/results/image.json",
                **results["training"],
            },
        )
    )


def _copy(source: Path, target: Path, skip: frozenset[str] | set[str] = frozenset()) -> None:
    """Replace the files of ``target`` by those of ``source``, but keep a card (README.md) that is there."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and path.name not in skip and path.name != "README.md":
            shutil.copy2(path, target / path.name)


def main() -> None:
    write_bundle(json.loads(RESULTS.read_text(encoding="utf-8")))
    print(f"wrote {MODEL_DIR} and {BUNDLE_DIR}")


if __name__ == "__main__":
    main()
