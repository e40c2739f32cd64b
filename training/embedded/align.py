"""Align the projector with the names of things, before the language model trains (``common/alignment.py``).

    python -m training.embedded.align image

The positions where a thing stands, or a sound occurs, must resemble the token embeddings of its names, and the input as
a whole those of its place. The result, in ``build/image/aligned``, is where ``training.embedded.train_base`` starts.
"""

from __future__ import annotations

import torch

from training.embedded.common.alignment import AlignmentCollator, AlignmentModule, AlignmentTrainer, naming_matrix
from training.embedded.common.domain import Domain, StageSettings, load_domain
from training.embedded.common.training_stage import (
    Precision,
    settings_from,
    train_and_save,
    training_arguments,
    training_parser,
)


def train(domain: Domain, settings: StageSettings, seed: int = 0, precision: Precision = "float32") -> None:
    """Train projector and token embeddings of the untrained model."""
    torch.manual_seed(seed)
    model = domain.architecture.model_class.load(domain.untrained_dir)
    things, places = domain.training.alignment_names()
    vocab = model.model.get_input_embeddings().weight.shape[0]
    learner = AlignmentModule(
        model.model,
        naming_matrix(list(things.values()), model.tokenizer, vocab),
        naming_matrix(list(places.values()), model.tokenizer, vocab),
        settings.feature_dropout,
    )
    length = settings.steps * settings.batch_size
    trainer = AlignmentTrainer(
        learner,
        training_arguments(domain.work / "align-checkpoints", settings, warmup=0.05, seed=seed, precision=precision),
        train_dataset=domain.training.open_dataset(
            model, domain.features_dir, "align", length, settings.batch_size, seed + 2, None
        ),
        data_collator=AlignmentCollator(domain.training.locate, list(things), list(places)),
    )
    train_and_save(trainer, model, domain.aligned_dir)


def main() -> None:
    args = training_parser(__doc__).parse_args()
    domain = load_domain(args.domain)
    train(domain, settings_from(args, domain.training.align), args.seed, args.precision)


if __name__ == "__main__":
    main()
