"""Adapt the first layers of Whisper's encoder, which know speech, to sounds: ``python -m training.audio.tower``.

The layers learn, with two small classifiers that are thrown away, to tell the one event of a clip from the positions
at which it is heard, and its background from all of them. Only training recordings are heard, mixed two and two, with
bands and moments hidden, so that what is learned holds beyond them. The adapted encoder, in ``build/audio/tower/``, is
the tower of the embedded model, frozen from then on. A run that was cut short goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Qwen2AudioEncoder, WhisperFeatureExtractor

from training.audio.alone import alone, heard
from training.audio.clips import SHORT_SECONDS
from training.audio.lexicon import load_lexicon
from training.audio.material import load_material
from training.audio.waves import RATE
from training.audio.whisper import log_mel_extractor, pretrained_encoder
from training.learner import Learner, LearnerTrainer, run_parser, training_arguments, write_summary
from training.packages import BUILD_DIR

TOWER_DIR = BUILD_DIR / "audio" / "tower"
CLIPS_DIR = BUILD_DIR / "audio" / "tower-clips"
CHECKPOINTS_DIR = BUILD_DIR / "audio" / "tower-checkpoints"
CLIPS = 64
"""Of each sound."""
FRAMES = round(100 * SHORT_SECONDS)
LENGTHS, LENGTH_SHARES = (200, 300, 500), (0.6, 0.3, 0.1)
"""Frames of 10 ms that a batch's crops last. Short ones cost less."""
HEADS_RATE = 12.0
"""The classifiers start at random, so they learn faster than the encoder."""
HIDDEN_BANDS, WIDEST_BAND, LONGEST_GAP = 2, 12, 25
TILT, GAIN = 0.15, 0.1
"""Standard deviations of a random slope and level of the log-mel picture."""
MIX = 0.4
"""Parameter of the beta distribution that the loudness of two mixed clips is drawn from."""


@dataclass(frozen=True)
class Heard:
    """One clip: log-mel picture [M, F] float32, positions [F / 4] bool of its event, event and background (or -100)."""

    log_mel: Tensor
    here: Tensor
    event: int
    bed: int


def write_clips(extractor: WhisperFeatureExtractor, count: int, sound: str) -> None:
    """Render and keep ``count`` clips of one sound, unless they are there."""
    file = CLIPS_DIR / f"{sound}.npz"
    if file.is_file():
        return
    torch.set_num_threads(1)
    material, beds = load_material("train"), load_lexicon().beds
    pictures, here, backgrounds = [], [], []
    for number in range(count):
        scene, clip = alone(sound, material, random.Random(f"tower/{sound}/{number}"))
        picture = extractor(clip.wave, sampling_rate=RATE, return_tensors="np")["input_features"][0]
        pictures.append(picture[:, :FRAMES].astype(np.float16))
        here.append(heard(clip.spans[0], FRAMES // 4).numpy())
        backgrounds.append(-100 if scene.background is None else beds.index(scene.background))
    partial_file = file.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial_file, pictures=np.stack(pictures), here=np.stack(here), beds=np.array(backgrounds))
    partial_file.rename(file)


class Clips(Dataset):
    """Visit number j is a random clip, fixed by (seed, j)."""

    def __init__(self, folder: Path, length: int, seed: int) -> None:
        self.length, self.seed, events = length, seed, load_lexicon().events
        files = sorted(folder.glob("*.npz"))
        if not files:
            raise FileNotFoundError(f"no clips in {folder}")
        self.arrays = [(events.index(file.stem), dict(np.load(file))) for file in files if "." not in file.stem]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Heard:
        rng = random.Random(f"{self.seed}/{number}")
        event, arrays = rng.choice(self.arrays)
        row = rng.randrange(len(arrays["beds"]))
        picture, here = (torch.from_numpy(arrays[name][row]) for name in ("pictures", "here"))
        return Heard(picture.float(), here, event, int(arrays["beds"][row]))


class Mixer:
    """Batches of mixed crops; all chance comes from ``seed`` and the number of the batch."""

    def __init__(self, seed: int) -> None:
        self.seed, self.batches = seed, 0

    def __call__(self, clips: Sequence[Heard]) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, self.batches))
        self.batches += 1
        frames = int(rng.choice(LENGTHS, p=LENGTH_SHARES))
        crops = [self._crop(clip, frames, rng) for clip in clips]
        pictures, here = torch.stack([picture for picture, _ in crops]), torch.stack([mask for _, mask in crops])
        other = torch.from_numpy(rng.permutation(len(clips)))
        share = float(rng.beta(MIX, MIX))
        return {
            "log_mel": mixed(pictures, pictures[other], share),
            "here": here | here[other],
            "event": torch.tensor([clip.event for clip in clips]),
            "bed": torch.tensor([clip.bed for clip in clips]),
            "other": other,
            "share": torch.tensor(share),
            "start": torch.from_numpy(rng.integers(0, 500 - frames // 2 + 1, len(clips))),
        }

    def _crop(self, clip: Heard, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """``frames`` that begin at, or up to 0.6 s before, the event."""
        first = 4 * int(clip.here.float().argmax()) - int(rng.integers(0, 60))
        at = min(max(first, 0), FRAMES - frames) // 4 * 4
        picture, level = clip.log_mel[:, at : at + frames].clone(), clip.log_mel.mean()
        for _ in range(HIDDEN_BANDS):
            band = int(rng.integers(0, len(picture)))
            picture[band : band + int(rng.integers(0, WIDEST_BAND))] = level
        gap = int(rng.integers(0, frames))
        picture[:, gap : gap + int(rng.integers(0, LONGEST_GAP))] = level
        slope = torch.linspace(-1, 1, len(picture))[:, None] * float(rng.normal(0, TILT))
        return picture + slope + float(rng.normal(0, GAIN)), clip.here[at // 4 : (at + frames) // 4]


def mixed(one: Tensor, other: Tensor, share: float) -> Tensor:
    """The log-mel pictures of two clips' sum, ``share`` of the energy being the first's: Whisper's scale is
    (log10 energy + 4) / 4."""
    energy = share * 10 ** (4 * one - 4) + (1 - share) * 10 ** (4 * other - 4)
    return (energy.clamp_min(1e-10).log10() + 4) / 4


class TowerLearner(Learner):
    """The encoder and two classifiers on what it says.

    Args:
        encoder: the layers to adapt.
        events, beds: how many there are to tell apart.
    """

    def __init__(self, encoder: Qwen2AudioEncoder, events: int, beds: int) -> None:
        super().__init__()
        self.encoder, width = encoder, encoder.config.d_model
        encoder.requires_grad_(True)
        for kept in (encoder.embed_positions, encoder.layer_norm):
            kept.requires_grad_(False)
        self.events = nn.Sequential(nn.Linear(width, 512), nn.GELU(), nn.Dropout(0.3), nn.Linear(512, events))
        self.beds = nn.Linear(width, beds)

    def said(self, log_mel: Tensor, start: Tensor) -> Tensor:
        """[B, F / 4, C]: pairs of positions joined, of pictures [B, M, F] that begin at positions ``start`` [B]."""
        hidden = F.gelu(self.encoder.conv1(log_mel))
        hidden = F.gelu(self.encoder.conv2(hidden)).transpose(1, 2)
        places = start[:, None] + torch.arange(hidden.shape[1])
        hidden = hidden + self.encoder.embed_positions.weight[places]
        for layer in self.encoder.layers:
            hidden = layer(hidden, None)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        pairs = hidden.float().unflatten(1, (-1, 2)).mean(2)
        return F.layer_norm(pairs, pairs.shape[-1:])

    def forward(
        self, log_mel: Tensor, here: Tensor, event: Tensor, bed: Tensor, other: Tensor, share: Tensor, start: Tensor
    ) -> Tensor:
        """Loss of B mixed clips, clip b being ``share`` itself and the rest clip ``other[b]``."""
        said = self.said(log_mel, start)
        mask = here[..., None].to(said.dtype)
        of_events = self.events((said * mask).sum(1) / mask.sum(1).clamp_min(1))
        of_beds = self.beds(said.mean(1))
        loss = torch.zeros(())
        for weight, event_, bed_ in ((share, event, bed), (1 - share, event[other], bed[other])):
            loss = loss + weight * F.cross_entropy(of_events, event_, label_smoothing=0.1)
            if (bed_ >= 0).any():
                loss = loss + 0.5 * weight * F.cross_entropy(of_beds, bed_)
        return loss


class TowerTrainer(LearnerTrainer):
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        if self.optimizer is None:
            rate, named = self.args.learning_rate, list(self.model.trainable())
            groups = [
                {"params": [w for n, w in named if n.startswith("encoder.")], "lr": rate},
                {"params": [w for n, w in named if not n.startswith("encoder.")], "lr": HEADS_RATE * rate},
            ]
            self.optimizer = torch.optim.AdamW(groups, weight_decay=self.args.weight_decay)
        return self.optimizer


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    lexicon = load_lexicon()
    learner = TowerLearner(pretrained_encoder(), len(lexicon.events), len(lexicon.beds))
    trainer = TowerTrainer(
        learner,
        training_arguments(
            CHECKPOINTS_DIR,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=0.05,
            warmup=0.05,
            seed=seed,
        ),
        train_dataset=Clips(CLIPS_DIR, steps * batch_size, seed),
        data_collator=Mixer(seed),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    learner.encoder.save_pretrained(TOWER_DIR)
    write_summary(TOWER_DIR / "training.json", trainer, time.perf_counter() - started)


def main() -> None:
    parser: argparse.ArgumentParser = run_parser(__doc__, steps=800, batch_size=64, learning_rate=8e-5)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that render clips")
    options = vars(parser.parse_args())
    CLIPS_DIR.mkdir(parents=True, exist_ok=True)
    sounds = load_material("train").events
    with get_context("spawn").Pool(options.pop("workers")) as pool:
        work = partial(write_clips, log_mel_extractor(), CLIPS)
        list(tqdm(pool.imap_unordered(work, sounds), total=len(sounds), unit="sound"))
    train(**options)


if __name__ == "__main__":
    main()
