"""How well sounds can be distinguished after each of Whisper's layers.

Every clip holds one sound on a background, and the encoder's output is averaged over exactly the time it lasts: no
captioner has it that easy. A small classifier learns the sounds from training recordings. ``seen`` are new clips of
these, ``unseen`` clips of recordings from the packages held out.
"""

from __future__ import annotations

import random
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import Qwen2AudioEncoder, WhisperFeatureExtractor

from training.embedded.audio.annotation.solo_clips import POSITION_SECONDS, positions_in, solo_clip
from training.embedded.audio.material.assets import load_material
from training.embedded.audio.render.clips import SHORT_SECONDS, material_split
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.render.render import Span
from training.embedded.audio.whisper import log_mel_extractor, pretrained_encoder
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.probing import accuracy, fit
from training.paths import BUILD

WEIGHTS = BUILD / "audio" / "probe-encoder"
LAYERS = 4
CLIPS = {"train": 8, "seen": 2, "test": 3}
"""Of each sound."""


@torch.inference_mode()
def pooled(encoder: Qwen2AudioEncoder, log_mel: Tensor, spans: tuple[Span, ...], seconds: float) -> Tensor:
    """[L, C]: each layer's output of a clip's log-mel [1, M, F], pairs of positions joined, averaged over ``spans``."""
    outputs: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda _m, _i, out: outputs.append(out)) for layer in encoder.layers]
    try:
        encoder(log_mel)
    finally:
        for handle in handles:
            handle.remove()
    hidden = torch.stack([one[0] if one.ndim == 3 else one for one in outputs])
    layers, positions, channels = hidden.shape
    pairs = F.layer_norm(hidden.view(layers, positions // 2, 2, channels).mean(2), (channels,))
    length = round(seconds / POSITION_SECONDS)
    return pairs[:, :length][:, positions_in(spans, length)].mean(1)


def encode(extractor: WhisperFeatureExtractor, task: tuple[str, str]) -> np.ndarray:
    """[N, L, C] of the clips of one sound in one split."""
    split, sound = task
    torch.set_num_threads(1)
    material = load_material(material_split(split))
    encoder = Qwen2AudioEncoder.from_pretrained(WEIGHTS).eval()
    out = []
    for number in range(CLIPS[split]):
        _, clip = solo_clip(sound, material, random.Random(f"probe/{split}/{sound}/{number}"))
        log_mel = extractor(clip.samples, sampling_rate=RATE, return_tensors="pt")["input_features"]
        out.append(pooled(encoder, log_mel, clip.spans[0], SHORT_SECONDS))
    return torch.stack(out).numpy()


def probe(workers: int) -> dict[str, Any]:
    """Accuracies after each layer."""
    pretrained_encoder(LAYERS).save_pretrained(WEIGHTS)
    sounds = load_lexicon().events
    tasks = [(split, sound) for split in CLIPS for sound in load_material(material_split(split)).events]
    with get_context("spawn").Pool(workers) as pool:
        parts = list(tqdm(pool.imap(partial(encode, log_mel_extractor()), tasks), total=len(tasks), unit="sound"))
    features, labels = {}, {}
    for split in CLIPS:
        mine = [(sound, part) for (of, sound), part in zip(tasks, parts, strict=True) if of == split]
        features[split] = torch.from_numpy(np.concatenate([part for _, part in mine]))
        labels[split] = torch.tensor([sounds.index(sound) for sound, part in mine for _ in range(len(part))])
    layers = {}
    for layer in range(LAYERS):
        model = fit(features["train"][:, layer], labels["train"])
        layers[str(layer + 1)] = {
            name: accuracy(model, features[split][:, layer], labels[split])
            for name, split in (("seen", "seen"), ("unseen", "test"))
        }
    clips = {split: len(labels[split]) for split in CLIPS}
    return {
        "sounds": len(sounds),
        "sounds_unseen": len(set(labels["test"].tolist())),
        "clips": clips,
        "layers": layers,
    }
