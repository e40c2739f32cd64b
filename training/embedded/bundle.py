"""Write the bundle of a trained embedded model to ``assets``: base, adapters, gate, ``bundle.json``.

    python -m training.embedded.bundle image

Reads ``build/image`` and ``assets/results/image.json``; writes ``assets/models/image`` and ``assets/bundles/image``.
Labels come from what each hypothesis was measured to be, not from training.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.types import CompareOptions
from training.embedded.common.comparison import DIVERSITY_PENALTY, HYPOTHESES, NUM_BEAMS, adapter_folder
from training.embedded.common.domain import PROMPT, Domain, load_domain, stage_parser
from training.embedded.common.training_stage import SUMMARY
from training.embedded.common.weight_files import split_weights


def hypothesis_refs(domain: Domain, main: list[int]) -> tuple[AdapterRef, ...]:
    """One reference per hypothesis, named after the mode whose captions it wins.

    Args:
        main: of each mode, the hypothesis that wins most of its captions.
    """
    refs = []
    for k in range(HYPOTHESES):
        mode = domain.annotators.modes[main.index(k)] if k in main else None
        label, description = (f"Hypothesis {k + 1}", "") if mode is None else domain.annotators.labels[mode]
        refs.append(AdapterRef(f"hypotheses/{k}", label, description))
    return tuple(refs)


def write_bundle(domain: Domain, results: dict[str, Any]) -> None:
    """Copy base, adapters and gate to ``assets`` and write the bundle's description."""
    bundle, adapters = domain.bundle_dir, domain.adapters_dir
    copy_files(domain.base_dir, domain.model_dir, skip={SUMMARY})
    split_weights(domain.model_dir, f"{domain.architecture.tower}.", domain.architecture.trained_tower)
    for k in range(HYPOTHESES):
        copy_files(adapter_folder(adapters, "caption-gate", k), bundle / "hypotheses" / str(k))
    copy_files(adapters / "caption-gate" / "bundle" / "gate", bundle / "gate")
    copy_files(adapter_folder(adapters, "mle", 0), bundle / "baseline")
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    save_bundle(
        Bundle(
            folder=bundle,
            name=domain.name,
            base=BaseRef(path=f"../../models/{domain.name}"),
            prompt=PROMPT,
            hypotheses=hypothesis_refs(domain, main),
            baseline=AdapterRef(
                "baseline",
                "LoRA-MLE",
                "One adapter of the same rank, trained the ordinary way on the same captions.",
            ),
            gate="gate",
            modality=domain.name,
            generation=CompareOptions(
                num_beams=NUM_BEAMS,
                num_beam_groups=NUM_BEAMS,
                diversity_penalty=DIVERSITY_PENALTY,
                no_repeat_ngram_size=domain.no_repeat_ngram_size,
            ),
            training={
                **domain.reporting.training_facts(),
                "results": f"assets/results/{domain.name}.json",
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
    domain = load_domain(stage_parser(__doc__).parse_args().domain)
    write_bundle(domain, json.loads(domain.results_file.read_text(encoding="utf-8")))
    print(f"wrote {domain.model_dir} and {domain.bundle_dir}")


if __name__ == "__main__":
    main()
