"""Put the trained embedded model where the app finds it: base, adapters, gate, ``bundle.json``.

    python -m training.embedded.audio.bundle

Reads ``build/audio`` and ``assets/results/audio.json``; writes ``assets/models/audio`` and
``assets/bundles/audio``. Labels come from what each hypothesis was measured to be, not from training.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.types import CompareOptions
from training.embedded.audio.base import ADAPTERS_DIR, BASE_DIR
from training.embedded.audio.batches import PROMPT
from training.embedded.audio.captions.grammar import MODES
from training.embedded.audio.evaluate import RESULTS
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.comparison import DIVERSITY_PENALTY, HYPOTHESES, NUM_BEAMS, adapter_folder
from training.paths import ASSETS

MODEL_DIR = ASSETS / "models" / "audio"
BUNDLE_DIR = ASSETS / "bundles" / "audio"
BASE_FROM_BUNDLE = "../../models/audio"

LABELS = {
    "en-events": ("English, events", "Says in English what is heard, in which order and how often."),
    "en-scene": ("English, scene and mood", "Says in English where it seems to be and how it feels."),
    "fr-events": ("French, events", "Says in French what is heard, in which order and how often."),
}


def hypothesis_refs(main: list[int]) -> tuple[AdapterRef, ...]:
    """One reference per hypothesis, named after the mode whose captions it wins."""
    refs = []
    for k in range(HYPOTHESES):
        label, description = LABELS[MODES[main.index(k)]] if k in main else (f"Hypothesis {k + 1}", "")
        refs.append(AdapterRef(f"hypotheses/{k}", label, description))
    return tuple(refs)


def write_bundle(results: dict[str, Any]) -> None:
    copy_files(BASE_DIR, MODEL_DIR, skip={"training.json"})
    for k in range(HYPOTHESES):
        copy_files(adapter_folder(ADAPTERS_DIR, "caption-gate", k), BUNDLE_DIR / "hypotheses" / str(k))
    copy_files(adapter_folder(ADAPTERS_DIR, "mle", 0), BUNDLE_DIR / "baseline")
    copy_files(ADAPTERS_DIR / "caption-gate" / "bundle" / "gate", BUNDLE_DIR / "gate")
    lexicon = load_lexicon()
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    save_bundle(
        Bundle(
            folder=BUNDLE_DIR,
            name="audio",
            base=BaseRef(path=BASE_FROM_BUNDLE),
            prompt=PROMPT,
            hypotheses=hypothesis_refs(main),
            baseline=AdapterRef(
                "baseline",
                "LoRA-MLE",
                "One adapter of the same rank, trained the ordinary way on the same captions.",
            ),
            gate="gate",
            modality="audio",
            generation=CompareOptions(
                num_beams=NUM_BEAMS, num_beam_groups=NUM_BEAMS, diversity_penalty=DIVERSITY_PENALTY
            ),
            training={
                "sounds": len(lexicon.events),
                "backgrounds": len(lexicon.beds),
                "results": "assets/results/audio.json",
                **results["training"],
            },
        )
    )


def copy_files(source: Path, target: Path, skip: frozenset[str] | set[str] = frozenset()) -> None:
    """Replace the files of ``target`` by those of ``source``, but keep a card (README.md) that is there."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and path.name not in skip and path.name != "README.md":
            shutil.copyfile(path, target / path.name)


def main() -> None:
    write_bundle(json.loads(RESULTS.read_text(encoding="utf-8")))
    print(f"wrote {MODEL_DIR} and {BUNDLE_DIR}")


if __name__ == "__main__":
    main()
