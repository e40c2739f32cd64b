"""Measure how hard each recording is to recognise from others of its sound; writes ``precision.csv``.

    python -m training.embedded.audio.annotation.clip_difficulty

The training recordings are divided into parts by package. A classifier on Whisper's own features learns from all parts
but one and classifies the recordings of that one: where it recognises the sound, annotators name it; where it only
recognises the family, they name that; else they describe its timbre. Recordings of the test are judged by a classifier
trained on all training recordings. A recording whose sound no package of another part has cannot be judged and is left
out.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import Qwen2AudioEncoder, WhisperFeatureExtractor

from training.embedded.audio.annotation.precision import PRECISION_CSV
from training.embedded.audio.annotation.solo_clips import solo_clip
from training.embedded.audio.material.assets import load_material
from training.embedded.audio.material.recordings import Recording, Split
from training.embedded.audio.probe import WEIGHTS, pooled
from training.embedded.audio.render.clips import SHORT_SECONDS
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.whisper import LAYERS, log_mel_extractor, pretrained_encoder
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Precision
from training.embedded.common.probing import fit

PARTS = 5
CLIPS = 2
"""Of each recording; their features are averaged."""
MOST = 24
"""Recordings of a sound that the classifier learns from: tunes are rendered by the dozen."""


def part(package: str) -> int:
    """Which part a package is in."""
    return zlib.crc32(package.encode()) % PARTS


def part_of(recording: Recording) -> int | None:
    """The part a recording of the training is in; None for one of the test."""
    return part(recording.package) if recording.split == "train" else None


def precision_of(likely: Tensor, truth: int, families: Tensor) -> Precision:
    """The precision of a recording, given each sound's probability [S] and family [S]."""
    if int(likely.argmax()) == truth:
        return "sound"
    by_family = torch.zeros(int(families.max()) + 1).index_add_(0, families, likely)
    return "family" if int(by_family.argmax()) == int(families[truth]) else "timbre"


def encode(extractor: WhisperFeatureExtractor, task: tuple[Split, str]) -> list[tuple[Recording, Tensor]]:
    """The features [CLIPS, C] of each recording of one sound in one split."""
    split, sound = task
    torch.set_num_threads(1)
    encoder, material = Qwen2AudioEncoder.from_pretrained(WEIGHTS).eval(), load_material(split)
    out = []
    for recording in material.recordings(sound):
        clips = []
        for number in range(CLIPS):
            _, clip = solo_clip(sound, material, random.Random(f"difficulty/{recording.id}/{number}"), recording)
            log_mel = extractor(clip.samples, sampling_rate=RATE, return_tensors="pt")["input_features"]
            clips.append(pooled(encoder, log_mel, clip.spans[0], SHORT_SECONDS)[LAYERS - 1])
        out.append((recording, torch.stack(clips)))
    return out


def can_be_judged(recordings: Sequence[Recording], one: Recording) -> bool:
    """Whether another package has the recording's sound in another part of the training."""
    return any(
        other.split == "train"
        and other.sound == one.sound
        and other.package != one.package
        and (one.split == "test" or part(other.package) != part(one.package))
        for other in recordings
    )


def judged(rows: Sequence[tuple[Recording, Tensor]], *, steps: int = 900) -> dict[str, Precision]:
    """The precision of each recording that can be judged, by its id.

    Args:
        rows: recordings and their features [CLIPS, C].
        steps: that each classifier is trained.
    """
    sounds, lexicon = load_lexicon().events, load_lexicon()
    names = sorted(lexicon.families)
    families = torch.tensor([names.index(lexicon.sounds[sound].family) for sound in sounds])
    recordings, result = [recording for recording, _ in rows], {}
    for number in (*range(PARTS), None):
        here = [row for row in rows if part_of(row[0]) == number]
        chosen = defaultdict(list)
        for recording, features in random.Random(str(number)).sample(rows, len(rows)):
            if part_of(recording) not in (None, number):
                chosen[recording.sound].append(features)
        inputs = [(sounds.index(sound), one) for sound, some in chosen.items() for one in some[:MOST]]
        labels = torch.tensor([label for label, one in inputs for _ in one])
        model = fit(torch.cat([one for _, one in inputs]), labels, classes=len(sounds), steps=steps)
        for recording, features in here:
            if can_be_judged(recordings, recording):
                with torch.no_grad():
                    likely = model(features).softmax(1).mean(0)
                result[recording.id] = precision_of(likely, sounds.index(recording.sound), families)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    pretrained_encoder(4).save_pretrained(WEIGHTS)
    splits: tuple[Split, ...] = ("train", "test")
    tasks = [(split, sound) for split in splits for sound in load_material(split).events]
    with get_context("spawn").Pool(args.workers) as pool:
        parts = list(tqdm(pool.imap(partial(encode, log_mel_extractor()), tasks), total=len(tasks), unit="sound"))
    rows = [row for of_sound in parts for row in of_sound]
    result = judged(rows)
    with PRECISION_CSV.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["recording", "precision"])
        writer.writerows((recording.id, result[recording.id]) for recording, _ in rows if recording.id in result)
    for split in splits:
        counts = Counter(result.get(recording.id) for recording, _ in rows if recording.split == split)
        print(split, dict(counts))


if __name__ == "__main__":
    main()
