"""Ablations: the method's open questions by experiment, three seeds each.

    python -m training.experiments.ablations markov
    python -m training.experiments.ablations sweeps   # number of hypotheses, epsilon, temperature; Markov chains too
    python -m training.experiments.ablations image    # needs the base and the cached features of the image model

Writes ``assets/results/method-markov.json`` (``-sweeps``, ``-image``), and curves next to it. What a run cut short has
finished is kept under ``build/experiments``; a question may be asked alone with --only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from training.experiments.ablations.figures import draw
from training.experiments.ablations.variants import report, run_variants, table, write
from training.paths import BUILD, RESULTS

RESULTS_DIR = RESULTS
COLUMNS = {
    "markov": ("loss", "excess", "accuracy", "chains_covered", "used", "steps", "seconds"),
    "sweeps": ("loss", "excess", "accuracy", "chains_covered", "used", "apart"),
    "image": ("loss", "main_nll", "stability", "distinct", "used", "steps", "seconds"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=sorted(COLUMNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of the variants that do not go by seconds")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="these variants, by name")
    parser.add_argument("--out", type=Path, default=RESULTS_DIR)
    args = parser.parse_args()
    # Imported here, so that each experiment needs only its own data.
    if args.data == "markov":
        from training.experiments.ablations import markov as experiment
    elif args.data == "sweeps":
        from training.experiments.ablations import sweeps as experiment
    else:
        from training.experiments.ablations import image as experiment
    variants = experiment.VARIANTS
    if args.only:
        if unknown := set(args.only) - set(variants):
            parser.error(f"no variant {', '.join(sorted(unknown))}; there are: {'; '.join(variants)}")
        variants = {name: variant for name, variant in variants.items() if name in args.only}
        if missing := {other for variant in variants.values() for other in variant.seconds_of or ()} - set(variants):
            parser.error(f"also needed for its seconds: {', '.join(sorted(missing))}")
    torch.set_num_threads(experiment.THREADS)
    steps = args.steps or experiment.STEPS
    kept = BUILD / "experiments" / f"{args.data}-runs"
    runs = run_variants(variants, range(args.seeds), steps, kept, experiment.train)
    settings = {
        "data": args.data,
        "steps": steps,
        "batch_size": experiment.BATCH,
        "learning_rate": experiment.LEARNING_RATE,
        "threads": torch.get_num_threads(),
    }
    result = report(variants, runs, settings)
    write(result, args.out / f"method-{args.data}.json")
    draw(result, args.out / f"method-{args.data}.png")
    print(table(result, COLUMNS[args.data]))


if __name__ == "__main__":
    main()
