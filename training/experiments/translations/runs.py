"""One run of an experiment on translations: what is varied, the data and the base, training, measures, results file."""

from __future__ import annotations

import hashlib
import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner
from training.embedded.common.packages import FetchError, fetch
from training.experiments.translations.catalogues import (
    LANGUAGES,
    PACKAGES,
    Limits,
    Message,
    bilingual,
    read_messages,
    split,
)
from training.experiments.translations.measures import run_report
from training.experiments.translations.model import Encoder, Size, train_adapters, train_base
from training.paths import BUILD

TEST = 128
KEPT = BUILD / "translations"
RELAXED = ObjectiveOptions("relaxed", epsilon=0.05)
GATE = ObjectiveOptions("caption-gate")
BUDGETS = (1, 2, 3, 5, 6)
# Written for this file, so that what is committed quotes no catalogue.
EXAMPLES = ("Open image", "Save file", "New layer", "Delete selection", "Sound volume")


@dataclass(frozen=True)
class Variant:
    """K adapters of a rank, by an assignment; or one that is split into ``experts`` (LoRA-MoE)."""

    hypotheses: int
    objective: ObjectiveOptions
    rank: int = 8
    experts: int = 0

    @property
    def name(self) -> str:
        if self.experts:
            return f"moe-{self.experts}"
        if self.hypotheses == 1:
            return "mle" if self.rank == 8 else "mle-wide"
        return f"{self.objective.name}-{self.hypotheses}"


@dataclass(frozen=True)
class Setting:
    """What all runs of an experiment share.

    Attributes:
        base: folder of the frozen model.
        kept: where finished runs are kept.
        budgets: numbers of rows with which the beam searches of LoRA-MLE are decoded, besides the number of languages.
        examples: prompts whose texts are put into the results file.
        languages: codes of the translations' languages.
    """

    base: Path
    train: Sequence[Message]
    test: Sequence[Message]
    size: Size
    kept: Path
    budgets: tuple[int, ...] = BUDGETS
    examples: tuple[str, ...] = EXAMPLES
    languages: tuple[str, ...] = LANGUAGES


def parsed(parser: ArgumentParser, argv: Sequence[str] | None = None) -> tuple[int, list[Message], list[Message], Path]:
    """Starts, training and test messages, and the base, which is trained if it is not there."""
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base", type=Path, help="a causal language model in place of the small one")
    args = parser.parse_args(argv)
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
    base = args.base or KEPT / "base"
    if not (base / "config.json").is_file():
        train_base([*train, *bilingual(train)], base, Size(), seed=0)
    return args.seeds, train, test, base


def trained(variant: Variant, seed: int, setting: Setting) -> tuple[MultipleChoiceLearner, Encoder]:
    """The variant's adapters, trained or as an earlier call with the same arguments left them."""
    setting.kept.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(_arguments(variant, seed, setting)).encode()).hexdigest()[:8]
    return train_adapters(
        setting.base,
        setting.train,
        variant.hypotheses,
        variant.objective,
        setting.size,
        variant.rank,
        seed,
        setting.kept / f"{variant.name}-seed{seed}-{digest}",
        variant.experts,
    )


def _arguments(variant: Variant, seed: int, setting: Setting) -> list[Any]:
    """What decides the trained adapters; as it is read again from a file."""
    return json.loads(json.dumps([asdict(variant), seed, asdict(setting.size), setting.base.name, len(setting.train)]))


def run(variant: Variant, seed: int, setting: Setting) -> dict[str, Any]:
    """Train and measure a variant, or read what an earlier call with the same arguments left."""
    arguments = [*_arguments(variant, seed, setting), len(setting.test), list(setting.budgets)]
    file = setting.kept / f"{variant.name}-seed{seed}.json"
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if earlier.get("arguments") == arguments:
        return earlier["run"]
    learner, encoder = trained(variant, seed, setting)
    result = {
        "variant": variant.name,
        "hypotheses": variant.hypotheses,
        "rank": variant.rank,
        "seed": seed,
        **run_report(
            learner,
            encoder,
            setting.test,
            seed,
            setting.budgets if variant.name == "mle" else (),
            setting.examples,
            setting.languages,
        ),
    }
    file.write_text(json.dumps({"arguments": arguments, "run": result}), encoding="utf-8")
    return result


def run_all(groups: Sequence[Sequence[Variant]], seeds: int, setting: Setting, out: Path) -> list[dict[str, Any]]:
    """Every variant with every seed, one group after the other, seeds outermost in each.

    The results file is written after each run, so that one cut short compares the first group over all its seeds.
    """
    runs: list[dict[str, Any]] = []
    for variants in groups:
        for seed in range(seeds):
            for variant in variants:
                runs.append(run(variant, seed, setting))
                write(runs, setting, out)
                print(variant.name, seed, runs[-1]["likelihood"], flush=True)
    return runs


def write(runs: Sequence[Mapping[str, Any]], setting: Setting, out: Path) -> None:
    """The results file: settings, sources with their licences, and every run."""
    results = {
        "languages": list(setting.languages),
        "messages": {"train": len(setting.train), "test": len(setting.test), "limits": asdict(Limits())},
        "sources": [{"package": one.name, "version": one.version, "licence": one.licence} for one in PACKAGES],
        "settings": asdict(setting.size),
        "runs": list(runs),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
