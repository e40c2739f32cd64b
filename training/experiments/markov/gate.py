"""Experiment: does the caption gate help where single tokens do not separate the modes?

    python -m training.experiments.markov.gate

Three mixtures of two chains: in ``transition1`` the chains differ in how often a token occurs, in ``transition2``
less, in ``same-tokens`` not at all: both chains have 0 and 1 equally often, one repeats and one alternates. On each,
two hypotheses learn by winner-takes-all, by the annealed objective, with a gate that counts tokens, and with one that
counts transitions. Three seeds; writes ``gate.json``. Finished runs are kept under ``build/markov/gate``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lora_mcl.markov import TRANSITION1, TRANSITION2, LearningOptions, MarkovMixture, ModelOptions, binary_mixture
from lora_mcl.objectives import Anneal, ObjectiveOptions
from training.experiments.markov.experiment import run
from training.experiments.markov.setups import SEED, WIDE
from training.experiments.statistics import mean_and_std
from training.paths import ASSETS, BUILD

RESULTS = ASSETS / "results" / "markov" / "gate.json"
MIXTURES = (TRANSITION1, TRANSITION2, binary_mixture("same-tokens", (0.2, 0.2), (0.8, 0.8)))
MODEL = replace(WIDE, rank=16, alpha=16.0)
OPTIONS = LearningOptions(
    steps=150,
    batch_size=32,
    learning_rate=1e-3,
    dense_steps=0,
    evaluation_size=200,
    watched=0,
    seed=SEED,
)
TEST_SIZE = 4000
MEASURES = ("loss", "loss_of_true_matrices", "accuracy", "gate_accuracy")


@dataclass(frozen=True)
class Variant:
    """An objective, and what its gate counts (1 tokens, 2 transitions)."""

    objective: ObjectiveOptions
    gate_order: int = 2


_GATE = ObjectiveOptions("caption-gate", temperature=Anneal(0.3, 0.05, 0.7))
VARIANTS = {
    "wta": Variant(ObjectiveOptions("wta")),
    "annealed": Variant(ObjectiveOptions("annealed", temperature=Anneal(0.3, 0.01, 0.7))),
    "gate on tokens": Variant(_GATE, 1),
    "gate on transitions": Variant(_GATE, 2),
}


def compare(
    mixtures: Sequence[MarkovMixture],
    seeds: int,
    kept: Path,
    model: ModelOptions = MODEL,
    options: LearningOptions = OPTIONS,
    test_size: int = TEST_SIZE,
) -> dict[str, Any]:
    """Every variant on every mixture: ``{mixture: {variant: {measure: {mean, std, runs}}}}`` and the settings."""
    results: dict[str, Any] = {mixture.name: {name: {} for name in VARIANTS} for mixture in mixtures}
    todo = tqdm([(mixture, name) for mixture in mixtures for name in VARIANTS])
    for mixture, name in todo:
        todo.set_description(f"{mixture.name}, {name}")
        variant = VARIANTS[name]
        tests = []
        for seed in range(options.seed, options.seed + seeds):
            own = replace(options, objective=variant.objective, gate_order=variant.gate_order, seed=seed)
            folder = kept / mixture.name / name.replace(" ", "-")
            tests.append(run(mixture, 2, model, own, folder, test_size)["test"])
        for measure in MEASURES:
            values = [test[measure] for test in tests if measure in test]
            if values:
                results[mixture.name][name][measure] = mean_and_std(values) | {"runs": values}
    settings = {key: value for key, value in asdict(options).items() if key not in ("seed", "objective", "gate_order")}
    return {
        "settings": {"model": asdict(model), "learning": settings, "seeds": seeds, "test_size": test_size},
        "matrices": {mixture.name: mixture.matrices for mixture in mixtures},
        "results": results,
    }


def write(result: dict[str, Any], file: Path) -> None:
    """One line for each variant of each mixture."""
    parts = [f' "{key}": {json.dumps(result[key])}' for key in ("settings", "matrices")]
    mixtures = []
    for mixture, variants in result["results"].items():
        lines = ",\n   ".join(f"{json.dumps(name)}: {json.dumps(figures)}" for name, figures in variants.items())
        mixtures.append(f"  {json.dumps(mixture)}: {{\n   {lines}}}")
    parts.append(' "results": {\n' + ",\n".join(mixtures) + "}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="file to write")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds must be at least 1")
    result = compare(MIXTURES, args.seeds, BUILD / "markov" / "gate")
    write(result, args.out)
    for mixture, variants in result["results"].items():
        for name, figures in variants.items():
            values = ", ".join(
                f"{measure} {figures[measure]['mean']:.4f}" for measure in MEASURES if measure in figures
            )
            print(f"{mixture}, {name}: {values}")


if __name__ == "__main__":
    main()
