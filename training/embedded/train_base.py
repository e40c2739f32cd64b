"""Train an embedded base: projector and language model, all annotators mixed, tower frozen.

    python -m training.embedded.train_base image

A run that was cut short goes on from its last checkpoint. The model is written to ``build/image/base``.
"""

from __future__ import annotations

from functools import partial

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


def train(domain: Domain, settings: StageSettings, seed: int = 0, precision: Precision = "float32") -> None:
    """Train everything but the tower of the aligned model."""
    torch.manual_seed(seed)
    model = domain.architecture.model_class.load(domain.aligned_dir)
    use_eager_attention_on_cpu(model.model)
    length = settings.steps * settings.batch_size
    tower = getattr(model.model.model, domain.architecture.tower)
    trainer = BaseTrainer(
        BaseModule(model.model, tower, partial(encode_prompts, domain), settings.feature_dropout),
        training_arguments(domain.work / "base-checkpoints", settings, warmup=0.03, seed=seed, precision=precision),
        train_dataset=domain.training.open_dataset(
            model, domain.features_dir, "base", length, settings.batch_size, seed, None
        ),
        data_collator=SampleCollator(model),
    )
    train_and_save(trainer, model, domain.base_dir)


def main() -> None:
    args = training_parser(__doc__).parse_args()
    domain = load_domain(args.domain)
    train(domain, settings_from(args, domain.training.base), args.seed, args.precision)


if __name__ == "__main__":
    main()
