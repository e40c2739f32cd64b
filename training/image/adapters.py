"""Train adapters on the frozen embedded base: LoRA-MCL with any assignment, or LoRA-MLE (one hypothesis).

    python -m training.image.adapters --run caption-gate
    python -m training.image.adapters --run relaxed
    python -m training.image.adapters --run mle
    python -m training.image.adapters --run mle-wide
    python -m training.image.adapters --run caption-gate --backward sampled --as gate-sampled

All runs see the same pictures and captions in the same order and take the same number of steps. A run that was
cut short goes on from its last checkpoint. The adapters land in ``build/image/adapters/<run>/<k>/`` as standard
PEFT folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import TrainerCallback

from lora_mcl.models.llava_next import ImageLanguageModel
from training.base import load_for_training, with_dropout
from training.image.base import BASE_DIR, FEATURE_DROPOUT
from training.image.batches import VisitCollator, encode_prompts
from training.image.grammar import MODES
from training.image.stream import open_stream
from training.mcl import MultipleChoiceLearner
from training.packages import BUILD_DIR
from training.runs import Run, adapters_parser, chosen, train_run

ADAPTERS_DIR = BUILD_DIR / "image" / "adapters"


def train(
    run: Run,
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> MultipleChoiceLearner:
    """Train one run and save its adapters, gate and summary in ``folder``, called by the folder's name."""
    torch.manual_seed(seed)
    media = load_for_training(ImageLanguageModel, BASE_DIR)
    visits = open_stream(
        media,
        steps * batch_size,
        seed + 1,
        simulated_share=0.1,
        photograph_share=0.08,
        mode_shares=run.mode_shares,
    )
    return train_run(
        run,
        media,
        visits,
        VisitCollator(media),
        lambda batch: encode_prompts(media.model, with_dropout(batch, FEATURE_DROPOUT, media.model.training)),
        folder,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        callbacks=callbacks,
    )


def main() -> None:
    run, name, settings = chosen(adapters_parser(__doc__, MODES, steps=450))
    train(run, ADAPTERS_DIR / name, **settings)


if __name__ == "__main__":
    main()
