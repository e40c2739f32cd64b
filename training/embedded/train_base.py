"""Train an embedded base: projector and language model, all annotators mixed, tower frozen.

    python -m training.embedded.train_base image
    python -m training.embedded.train_base image --refine

A run that was cut short goes on from its last checkpoint. The model is written to ``build/image/base``; that of the
second round, which the image model alone has, to ``build/image/refined``.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch

from lora_mcl.models.base import use_eager_attention_on_cpu
from training.embedded.common.base_module import BaseModule, BaseTrainer
from training.embedded.common.collator import SampleCollator, encode_prompts
from training.embedded.common.domain import Domain, StageSettings, load_domain
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
    stage: Literal["base", "refine"] = "base",
) -> None:
    """Train everything but the tower of the aligned model, or of the base's first round."""
    torch.manual_seed(seed)
    first = stage == "base"
    model = domain.architecture.model_class.load(domain.aligned_dir if first else domain.first_base_dir)
    use_eager_attention_on_cpu(model.model)
    length = settings.steps * settings.batch_size
    tower = getattr(model.model.model, domain.architecture.tower)
    trainer = BaseTrainer(
        BaseModule(model.model, tower, partial(encode_prompts, domain), settings.feature_dropout),
        training_arguments(domain.work / f"{stage}-checkpoints", settings, warmup=0.03, seed=seed, precision=precision),
        train_dataset=domain.training.open_dataset(
            model, domain.features_dir, stage, length, settings.batch_size, seed, None
        ),
        data_collator=SampleCollator(model),
    )
    train_and_save(trainer, model, domain.first_base_dir if first else domain.base_dir)


def main() -> None:
    parser = training_parser(__doc__)
    parser.add_argument("--refine", action="store_true", help="train the second round, after the first")
    args = parser.parse_args()
    domain = load_domain(args.domain)
    settings, stage = (domain.training.refine, "refine") if args.refine else (domain.training.base, "base")
    if settings is None:
        parser.error(f"the {domain.name} model has no second round: leave out --refine")
    train(domain, settings_from(args, settings), args.seed, args.precision, stage)


if __name__ == "__main__":
    main()
