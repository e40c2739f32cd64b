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

import torch

from lora_mcl.models.qwen2_audio import AudioLanguageModel
from training.audio.base import BASE_DIR, SHORT_SHARE
from training.audio.batches import VisitCollator, encode_prompts
from training.audio.visits import open_stream
from training.base import load_for_training
from training.learner import run_parser
from training.packages import BUILD_DIR
from training.runs import RUNS, train_adapters

ADAPTERS_DIR = BUILD_DIR / "audio" / "adapters"


def train(name: str, *, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = load_for_training(AudioLanguageModel, BASE_DIR)
    train_adapters(
        name,
        media,
        open_stream(steps * batch_size, batch_size, seed + 1, short_share=SHORT_SHARE),
        VisitCollator(media),
        lambda batch: encode_prompts(media.model, batch),
        ADAPTERS_DIR / name,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )


def main() -> None:
    parser = run_parser(__doc__, steps=400, batch_size=24, learning_rate=1e-3)
    parser.add_argument("--run", dest="name", choices=sorted(RUNS), required=True)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
