"""Train an embedded base: projector and language model, all annotators mixed, tower frozen.

    python -m training.embedded.train_base image
    python -m training.embedded.train_base audio --round 2

A run that was cut short goes on from its last checkpoint. The model is written to ``build/image/base``. Sounds have a
second round, from the first and on other shares of the same data; it is written to ``base-2``. Layers are compiled
where that works: steps with sounds take about a seventh less time then, those with pictures hardly less.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial

import torch

from lora_mcl.models.base import use_eager_attention_on_cpu
from training.embedded.common.base_module import BaseModule, BaseTrainer
from training.embedded.common.collator import SampleCollator, encode_prompts
from training.embedded.common.compilation import can_compile, compiled_layers
from training.embedded.common.domain import Domain, StageSettings, base_round_name, load_domain
from training.embedded.common.training_stage import (
    Precision,
    settings_from,
    train_and_save,
    training_arguments,
    training_parser,
)


def train(
    domain: Domain,
    settings: StageSettings,
    seed: int = 0,
    precision: Precision = "float32",
    number: int = 1,
    compiled: bool = False,
) -> None:
    """Train everything but the tower: of the aligned model in round 1, then of the round before.

    Args:
        number: of the round.
        compiled: compile the language model's layers; the first step then takes half a minute to two.
    """
    torch.manual_seed(seed)
    start = domain.aligned_dir if number == 1 else domain.base_round_dir(number - 1)
    model = domain.architecture.model_class.load(start)
    use_eager_attention_on_cpu(model.model)
    stage, length = base_round_name(number), settings.steps * settings.batch_size
    tower = getattr(model.model.model, domain.architecture.tower)
    trainer = BaseTrainer(
        BaseModule(model.model, tower, partial(encode_prompts, domain), settings.feature_dropout),
        training_arguments(domain.work / f"{stage}-checkpoints", settings, warmup=0.03, seed=seed, precision=precision),
        train_dataset=domain.training.open_dataset(
            model, domain.features_dir, stage, length, settings.batch_size, seed, None
        ),
        data_collator=SampleCollator(model),
    )
    with compiled_layers(model.model) if compiled else nullcontext():
        train_and_save(trainer, model, domain.base_round_dir(number))


def main() -> None:
    parser = training_parser(__doc__)
    parser.add_argument("--round", type=int, default=1, help="which round of the base (default: 1)")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the layers with torch.compile (default: where that works; it asks for a C++ compiler)",
    )
    args = parser.parse_args()
    domain = load_domain(args.domain)
    rounds = domain.training.base_rounds
    if not 1 <= args.round <= len(rounds):
        parser.error(f"--round: the {domain.name} model has {len(rounds)}; got {args.round}")
    compiled = can_compile() if args.compile is None else args.compile
    train(domain, settings_from(args, rounds[args.round - 1]), args.seed, args.precision, args.round, compiled)


if __name__ == "__main__":
    main()
