"""Train hypotheses on a mixture of Markov chains and compare them with theory.

    python -m training.experiments.markov --setup transition1
    python -m training.experiments.markov --setup transition2 --seeds 3 --out somewhere
    python -m training.experiments.markov --setup random --states 4 --chains 3
    python -m training.experiments.markov --setup transition1 --recipe paper

The first two are the set-ups of the LoRA-MCL paper (arXiv 2507.10419), K = 1 and K = 2, by a tuned
recipe; the third draws chains and runs K from 1 to two more than there are; the fourth follows the paper's own recipe.
Writes ``result.json`` and figures. What a run cut short has finished is kept under ``build/markov``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from lora_mcl.markov import LearningOptions
from lora_mcl.objectives import ObjectiveOptions
from training.experiments.markov.experiment import TEST_SIZE, experiment, run, write
from training.experiments.markov.figures import draw
from training.experiments.markov.setups import (
    PAPER_SETUPS,
    RECIPES,
    SEED,
    Setup,
    random_setup,
)
from training.paths import BUILD

MARKOV_DIR = BUILD / "markov"


def run_setup(
    name: str,
    setup: Setup,
    recipe_name: str,
    options: LearningOptions,
    seeds: int,
    out: Path,
    kept: Path,
    test_size: int = TEST_SIZE,
) -> None:
    """All runs of one set-up; writes its results and figures to ``out``, finished runs to ``kept``."""
    recipe = RECIPES[recipe_name]
    options = replace(options, learning_rate=recipe.learning_rate, objective=setup.objective)
    runs = []
    for k, seed in tqdm([(k, options.seed + n) for k in setup.hypotheses for n in range(seeds)], desc=name):
        # For one hypothesis all objectives are the same.
        objective = setup.objective if k > 1 else ObjectiveOptions("wta")
        runs.append(
            run(setup.mixture, k, recipe.model, replace(options, objective=objective, seed=seed), kept, test_size)
        )
    result = experiment(name, setup.mixture, runs, recipe.model, options, recipe_name, test_size)
    write(result, out / "result.json")
    draw(result, out)
    for k, figures in result["summary"].items():
        accuracy = f", winner = true chain {figures['accuracy']['mean']:.2%}" if k != "1" else ""
        print(
            f"{name} K={k}: loss {figures['loss']['mean']:.4f} ± {figures['loss']['std']:.4f}{accuracy}, "
            f"matrices off by at most {figures['first_position']['error']:.3f} at the first position, "
            f"{figures['later_positions']['error']:.3f} later"
        )
    print(f"{out}/result.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", choices=[*PAPER_SETUPS, "random"], required=True)
    parser.add_argument("--recipe", choices=sorted(RECIPES), help="default: tuned, or quick for random chains")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from --seed on")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--batch-size", type=int, default=LearningOptions.batch_size)
    parser.add_argument("--states", type=int, default=4, help="of random chains")
    parser.add_argument("--chains", type=int, default=3, help="how many random chains")
    parser.add_argument("--mixture-seed", type=int, default=0, help="of the draw of random chains")
    parser.add_argument("--out", type=Path, help="folder for the results; by default one under build/markov")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds must be at least 1")
    if args.setup == "random":
        setup = random_setup(args.states, args.chains, args.mixture_seed)
    else:
        setup = PAPER_SETUPS[args.setup]
    recipe = args.recipe or setup.recipe
    name = setup.mixture.name
    folder = MARKOV_DIR / (name if recipe == setup.recipe else f"{name}-{recipe}")
    steps = args.steps or RECIPES[recipe].steps
    options = LearningOptions(steps=steps, batch_size=args.batch_size, seed=args.seed)
    run_setup(name, setup, recipe, options, args.seeds, args.out or folder, folder / "runs")


if __name__ == "__main__":
    main()
