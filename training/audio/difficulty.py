"""How hard is each sound to recognise in a recording by somebody else? Writes ``vague.csv``.

    python -m training.audio.difficulty

The training recordings are parted by their packages. A classifier on Whisper's own features learns from all parts but
one and names the recordings of that one; a sound's recall over all parts says how well it can be told at all. The lower
it is, the more often, from ``CLEAR`` to ``UNCLEAR``, annotators are vague about the sound. No recording of the test is
used. Sounds that fewer than two packages have cannot be measured so and are left out; so are instruments, of
which most of the training hears renderings.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import zlib
from collections import Counter, defaultdict
from functools import partial
from multiprocessing import get_context

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import Qwen2AudioEncoder, WhisperFeatureExtractor

from training.audio.alone import alone
from training.audio.clips import SHORT_SECONDS
from training.audio.lexicon import VAGUE_CSV, load_lexicon
from training.audio.material import load_material
from training.audio.probe import WEIGHTS, pooled
from training.audio.recordings import load_sounds
from training.audio.waves import RATE
from training.audio.whisper import LAYERS, log_mel_extractor, pretrained_encoder
from training.probing import fit

PARTS = 5
MOST = 16
"""Recordings of a sound that are measured."""
CLEAR, UNCLEAR = 0.1, 0.5
PRIOR = (1.0, 3.0)
"""One hit in three, added to what was counted: a sound of two recordings is not clear because one was recognised."""


def part(package: str) -> int:
    """Which part a package is in."""
    return zlib.crc32(package.encode()) % PARTS


def vague(hits: int, recordings: int) -> float:
    """How often annotators are vague about a sound of which ``hits`` of so many recordings were recognised."""
    recall = (hits + PRIOR[0]) / (recordings + PRIOR[1])
    return round(CLEAR + (UNCLEAR - CLEAR) * (1 - recall), 2)


def encode(extractor: WhisperFeatureExtractor, sound: str) -> list[tuple[str, int, Tensor]]:
    """The sound, the part and the features [C] of each of its measured recordings."""
    torch.set_num_threads(1)
    encoder, material = Qwen2AudioEncoder.from_pretrained(WEIGHTS).eval(), load_material("train")
    chosen = material.recordings(sound)
    random.Random(sound).shuffle(chosen)
    out = []
    for recording in chosen[:MOST]:
        _, clip = alone(sound, material, random.Random(f"difficulty/{recording.id}"), recording)
        log_mel = extractor(clip.wave, sampling_rate=RATE, return_tensors="pt")["input_features"]
        said = pooled(encoder, log_mel, clip.spans[0], SHORT_SECONDS)[LAYERS - 1]
        out.append((sound, part(recording.package), said))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    pretrained_encoder(4).save_pretrained(WEIGHTS)
    events, packages = load_lexicon().events, defaultdict(set)
    for recording in load_sounds():
        if recording.split == "train":
            packages[recording.sound].add(recording.package)
    with get_context("spawn").Pool(args.workers) as pool:
        work = partial(encode, log_mel_extractor())
        parts = list(tqdm(pool.imap(work, load_material("train").events), unit="sound"))
    rows = [row for of_sound in parts for row in of_sound]
    labels = torch.tensor([events.index(sound) for sound, _, _ in rows])
    where, features = torch.tensor([part for _, part, _ in rows]), torch.stack([said for _, _, said in rows])
    right = torch.zeros(len(rows), dtype=torch.bool)
    for number in range(PARTS):
        out = where == number
        model = fit(features[~out], labels[~out])
        with torch.no_grad():
            right[out] = model(features[out]).argmax(1) == labels[out]
    hits, total = Counter(labels[right].tolist()), Counter(labels.tolist())
    with VAGUE_CSV.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["sound", "recordings", "recognised", "vague"])
        for index, sound in enumerate(events):
            if len(packages[sound]) >= 2 and load_lexicon().sounds[sound].kind == "event":
                writer.writerow([sound, total[index], hits[index], vague(hits[index], total[index])])
    print(f"{int(right.sum())} of {len(rows)} recordings of {len(total)} sounds recognised")


if __name__ == "__main__":
    main()
