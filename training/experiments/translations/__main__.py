"""Messages of programs translated by people: which language does each hypothesis take?

    python -m training.experiments.translations
    python -m training.experiments.translations --seeds 1 --base FOLDER

The message is the prompt, its language is not given; the modes are French, German, Spanish and Italian. A small model
from scratch (or the causal language model in FOLDER, with a tokenizer that has the token ``<to>``) is frozen; K = 1 to
5 adapters are trained on it by ``MultipleChoiceTrainer``. Writes ``assets/results/translations.json`` after every run;
what a run cut short has finished is kept under ``build/translations``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lora_mcl.objectives import ObjectiveOptions
from training.embedded.common.packages import FetchError, fetch
from training.experiments.translations.catalogues import LANGUAGES, PACKAGES, Limits, Message, read_messages, split
from training.experiments.translations.measures import run_report
from training.experiments.translations.model import Size, train_adapters, train_base
from training.paths import BUILD, RESULTS

TEST = 128
RESULTS_FILE = RESULTS / "translations.json"
KEPT = BUILD / "translations"
RELAXED = ObjectiveOptions("relaxed", epsilon=0.05)
GATE = ObjectiveOptions("caption-gate")


@dataclass(frozen=True)
class Variant:
    """K adapters of a rank, by an assignment."""

    hypotheses: int
    objective: ObjectiveOptions
    rank: int = 8

    @property
    def name(self) -> str:
        if self.hypotheses == 1:
            return "mle" if self.rank == 8 else "mle-wide"
        return f"{self.objective.name}-{self.hypotheses}"


# The most telling ones first: a run that is cut short still compares them.
VARIANTS = (
    Variant(1, RELAXED),
    Variant(4, GATE),
    Variant(4, RELAXED),
    Variant(1, RELAXED, rank=32),
    Variant(2, RELAXED),
    Variant(3, RELAXED),
    Variant(5, RELAXED),
)


def run(
    variant: Variant, seed: int, base: Path, train: Sequence[Message], test: Sequence[Message], size: Size, kept: Path
) -> dict[str, Any]:
    """Train and measure a variant, or read what an earlier call with the same arguments left in ``kept``."""
    arguments = json.loads(json.dumps([asdict(variant), seed, asdict(size), str(base), len(train), len(test)]))
    file = kept / f"{variant.name}-seed{seed}.json"
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if earlier.get("arguments") == arguments:
        return earlier["run"]
    started, used = time.perf_counter(), time.process_time()
    learner, encoder = train_adapters(
        base, train, variant.hypotheses, variant.objective, size, variant.rank, seed, kept / "trainer"
    )
    result = {
        "variant": variant.name,
        "hypotheses": variant.hypotheses,
        "rank": variant.rank,
        "seed": seed,
        "training_seconds": round(time.perf_counter() - started, 1),
        "training_cpu_seconds": round(time.process_time() - used, 1),
        **run_report(learner, encoder, test, seed),
    }
    kept.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"arguments": arguments, "run": result}), encoding="utf-8")
    return result


def write(
    runs: Sequence[dict[str, Any]], train: Sequence[Message], test: Sequence[Message], size: Size, out: Path
) -> None:
    """The results file: settings, sources with their licences, and every run."""
    results = {
        "languages": list(LANGUAGES),
        "messages": {"train": len(train), "test": len(test), "limits": asdict(Limits())},
        "sources": [{"package": one.name, "version": one.version, "licence": one.licence} for one in PACKAGES],
        "settings": asdict(size),
        "runs": list(runs),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base", type=Path, help="a causal language model in place of the small one")
    parser.add_argument("--out", type=Path, default=RESULTS_FILE)
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds must be at least 1")
    if args.base is not None and not (args.base / "config.json").is_file():
        parser.error(f"--base: {args.base} holds no model (config.json is missing)")
    # Tensors are so small that threads would only wait for each other.
    torch.set_num_threads(1)
    try:
        folders = [fetch(package) for package in PACKAGES]
    except FetchError as error:
        parser.error(f"the catalogues could not be fetched (needs Debian's apt-get): {error}")
    train, test = split(read_messages(folders), TEST)
    print(f"{len(train)} messages to train on, {len(test)} to test", flush=True)
    size = Size()
    base = args.base or KEPT / "base"
    if not (base / "config.json").is_file():
        train_base(train, base, size, seed=0)
    runs = []
    for seed in range(args.seeds):
        for variant in VARIANTS:
            runs.append(run(variant, seed, base, train, test, size, KEPT / "runs"))
            write(runs, train, test, size, args.out)
            print(variant.name, seed, runs[-1]["likelihood"], flush=True)


if __name__ == "__main__":
    main()
