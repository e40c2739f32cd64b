"""Train the embedded base: projector and language model, tower frozen.

Every annotator captions every clip, which is read once for the three of them: reading it is most of the work.

    python -m training.embedded.audio.base

A run that was cut short goes on from its last checkpoint. The model lands in ``build/audio/base/``.
"""

from __future__ import annotations

import time

import torch

from lora_mcl.models.qwen2_audio import AudioLanguageModel
from training.embedded.audio.align import ALIGNED_DIR
from training.embedded.audio.batches import VisitCollator, encode_prompts
from training.embedded.audio.build_base import save_half
from training.embedded.audio.visits import open_stream
from training.embedded.common.base import BaseLearner, BaseTrainer, load_for_training
from training.embedded.common.packages import BUILD_DIR
from training.embedded.common.run import run_parser, training_arguments, write_summary

BASE_DIR = BUILD_DIR / "audio" / "base"
CHECKPOINTS_DIR = BUILD_DIR / "audio" / "base-checkpoints"
FEATURE_DROPOUT = 0.3
ADAPTERS_DIR = BUILD_DIR / "audio" / "adapters"


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = load_for_training(AudioLanguageModel, ALIGNED_DIR)
    trainer = BaseTrainer(
        BaseLearner(media.model, media.model.model.audio_tower, encode_prompts, FEATURE_DROPOUT),
        training_arguments(
            CHECKPOINTS_DIR,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=0.05,
            warmup=0.03,
            seed=seed,
        ),
        train_dataset=open_stream(steps * batch_size, batch_size, seed, all_modes=True),
        data_collator=VisitCollator(media),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    save_half(media.model, media.processor, BASE_DIR)
    write_summary(BASE_DIR / "training.json", trainer, time.perf_counter() - started)


def main() -> None:
    options = run_parser(__doc__, steps=2300, batch_size=32, learning_rate=1.5e-3).parse_args()
    train(**vars(options))


if __name__ == "__main__":
    main()
