"""Train the embedded base: projector and language model, all annotators mixed, tower frozen.

    python -m training.embedded.image.base

A run that was cut short goes on from its last checkpoint. The model lands in ``build/image/base/``.
"""

from __future__ import annotations

import time

import torch

from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common.base import BaseLearner, BaseTrainer, load_for_training
from training.embedded.common.packages import BUILD_DIR
from training.embedded.common.run import run_parser, training_arguments, write_summary
from training.embedded.image.align import ALIGNED_DIR
from training.embedded.image.batches import VisitCollator, encode_prompts
from training.embedded.image.build_base import save_half
from training.embedded.image.stream import open_stream

BASE_DIR = BUILD_DIR / "image" / "base"
ADAPTERS_DIR = BUILD_DIR / "image" / "adapters"
CHECKPOINTS_DIR = BUILD_DIR / "image" / "base-checkpoints"
FEATURE_DROPOUT = 0.3


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = load_for_training(ImageLanguageModel, ALIGNED_DIR)
    trainer = BaseTrainer(
        BaseLearner(media.model, media.model.model.vision_tower, encode_prompts, FEATURE_DROPOUT),
        training_arguments(
            CHECKPOINTS_DIR,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=0.05,
            warmup=0.03,
            seed=seed,
        ),
        train_dataset=open_stream(media, steps * batch_size, seed, simulated_share=0.17, photograph_share=0.06),
        data_collator=VisitCollator(media),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    save_half(media.model, media.processor, BASE_DIR)
    write_summary(BASE_DIR / "training.json", trainer, time.perf_counter() - started)


def main() -> None:
    options = run_parser(__doc__, steps=3200, batch_size=48, learning_rate=1.5e-3).parse_args()
    train(**vars(options))


if __name__ == "__main__":
    main()
