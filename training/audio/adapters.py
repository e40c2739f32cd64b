"""Train adapters on the frozen embedded base: LoRA-MCL with any assignment, or LoRA-MLE (one hypothesis).

    python -m training.audio.adapters --run caption-gate
    python -m training.audio.adapters --run relaxed
    python -m training.audio.adapters --run mle
    python -m training.audio.adapters --run mle-wide

All runs hear the same clips and captions in the same order and take the same number of steps. A run that was cut
short goes on from its last checkpoint. The adapters land in ``build/audio/adapters/<run>/<k>/`` as standard PEFT
folders.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS
from lora_mcl.models.qwen2_audio import AudioLanguageModel
from training.audio.base import BASE_DIR, FEATURE_DROPOUT, SHORT_SHARE
from training.audio.batches import VisitCollator, encode_prompts
from training.audio.grammar import MODES
from training.audio.visits import open_stream
from training.base import load_for_training, with_dropout
from training.packages import BUILD_DIR
from training.runs import Run, adapters_parser, chosen, train_run

ADAPTERS_DIR = BUILD_DIR / "audio" / "adapters"
TARGETS = rf"{LANGUAGE_MODEL_LINEARS}|(?:.+\.)?lm_head"
"""The output layer too. Tied to embeddings this small, a frozen one holds hypotheses back: however long they trained,
each kept a good part of the others' first words, and columns were less stable."""


def train(run: Run, folder: Path, *, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    """Train one run and save its adapters, gate and summary in ``folder``, called by the folder's name."""
    torch.manual_seed(seed)
    run = replace(run, target_modules=TARGETS)
    media = load_for_training(AudioLanguageModel, BASE_DIR)
    train_run(
        run,
        media,
        open_stream(steps * batch_size, batch_size, seed + 1, short_share=SHORT_SHARE, mode_shares=run.mode_shares),
        VisitCollator(media),
        lambda batch: encode_prompts(media.model, with_dropout(batch, FEATURE_DROPOUT, media.model.training)),
        folder,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )


def main() -> None:
    run, name, settings = chosen(adapters_parser(__doc__, MODES, steps=300))
    train(run, ADAPTERS_DIR / name, **settings)


if __name__ == "__main__":
    main()
