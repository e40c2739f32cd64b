"""The detector: its published weights file, folding, geometry, and what it sees on a committed photograph."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lora_mcl.models import ImageLanguageModel
from lora_mcl.models.image_tower import detector_pixels
from lora_mcl.models.yolov3_tiny import (
    ANCHORS,
    COARSE_HEAD,
    COCO_CLASSES,
    CONVOLUTIONS,
    FINE_HEAD,
    STRIDES,
    YoloV3Tiny,
    decode,
)
from tests.support.paths import ROOT
from training.embedded.image import detector as published
from training.embedded.image.detector import (
    BATCH_NORM_EPSILON,
    HEADER_BYTES,
    WEIGHTS_FILE,
    Convolution,
    convert,
    pretrained_detector,
    read_darknet,
)

PHOTOGRAPHS = ROOT / "assets" / "packs" / "image" / "real" / "test"
NUMBERS = 8_858_734
"""In the published file, after its header."""


def random_file(seed: int = 0) -> bytes:
    """A weights file with the published layout and random numbers that keep activations near 1."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for index, (width, out, kernel) in enumerate(CONVOLUTIONS):
        parts.append(torch.randn(out, generator=generator))
        if index not in (COARSE_HEAD, FINE_HEAD):
            parts.append(torch.rand(out, generator=generator) + 0.5)
            parts.append(torch.randn(out, generator=generator))
            parts.append(torch.rand(out, generator=generator) + 0.5)
        parts.append(torch.randn(out * width * kernel**2, generator=generator) / (width * kernel**2) ** 0.5)
    return bytes(HEADER_BYTES) + torch.cat(parts).numpy().astype("<f4").tobytes()


def published_heads(blob: bytes, pixels: torch.Tensor) -> list[torch.Tensor]:
    """Both heads' raw outputs by the layers as the cfg lists them: convolution, BatchNorm, leaky ReLU."""
    numbers = np.frombuffer(blob, "<f4", offset=HEADER_BYTES)
    at = 0

    def take(*shape):
        nonlocal at
        count = int(np.prod(shape))
        at += count
        return torch.from_numpy(numbers[at - count : at].copy()).reshape(shape)

    layers = []
    for index, (width, out, kernel) in enumerate(CONVOLUTIONS):
        bias = take(out)
        norm = None if index in (COARSE_HEAD, FINE_HEAD) else (take(out), take(out), take(out))
        layers.append((take(out, width, kernel, kernel), bias, norm))
    assert at == len(numbers)

    def layer(index, x):
        weight, bias, norm = layers[index]
        padding = weight.shape[-1] // 2
        if norm is None:
            return F.conv2d(x, weight, bias, padding=padding)
        gamma, mean, variance = norm
        x = F.batch_norm(F.conv2d(x, weight, padding=padding), mean, variance, gamma, bias, eps=BATCH_NORM_EPSILON)
        return F.leaky_relu(x, 0.1)

    x = pixels
    for index in range(4):
        x = F.max_pool2d(layer(index, x), 2)
    route = layer(4, x)
    x = layer(5, F.max_pool2d(route, 2))
    shifted = F.pad(x, (0, 1, 0, 1), value=float("-inf"))
    x = torch.stack([shifted[..., r : r + x.shape[-2], c : c + x.shape[-1]] for r in (0, 1) for c in (0, 1)]).amax(0)
    middle = layer(7, layer(6, x))
    up = layer(10, middle).repeat_interleave(2, -1).repeat_interleave(2, -2)
    return [layer(9, layer(8, middle)), layer(12, layer(11, torch.cat([up, route], 1)))]


@pytest.fixture(scope="module")
def blob() -> bytes:
    return random_file()


def test_the_published_layout_is_consumed_exactly(blob):
    assert (len(blob) - HEADER_BYTES) // 4 == NUMBERS
    assert len(read_darknet(blob)) == len(CONVOLUTIONS)
    for wrong in (blob[:-4], blob + struct.pack("<f", 0.0)):
        with pytest.raises(ValueError, match="YOLOv3-tiny has 8858734"):
            read_darknet(wrong)


def test_folding_by_hand():
    weight, bias = torch.tensor([[[[2.0]]], [[[3.0]]]]), torch.tensor([1.0, -1.0])
    norm = torch.tensor([[4.0, 1.0], [0.5, 0.0], [4 - BATCH_NORM_EPSILON, 1 - BATCH_NORM_EPSILON]])
    folded, shifted = Convolution(weight, bias, norm).folded()
    torch.testing.assert_close(folded.flatten(), torch.tensor([4.0, 3.0]))  # 2 * 4 / sqrt(4), 3 * 1 / 1
    torch.testing.assert_close(shifted, torch.tensor([0.0, -1.0]))  # 1 - 0.5 * 2, -1 - 0
    assert Convolution(weight, bias, None).folded() == (weight, bias)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_the_folded_network_equals_the_published_layers(blob, size):
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(2))
    predictions = convert(read_darknet(blob))(pixels)
    height, width = size
    for found, raw, stride, anchors in zip(predictions, published_heads(blob, pixels), STRIDES, ANCHORS, strict=True):
        assert found.shape == (2, height * width // stride**2, 3, 85) and found.dtype == torch.float32
        torch.testing.assert_close(found, decode(raw, stride, anchors), rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_half_precision_weights_give_the_same_scores(blob):
    """The committed file is fp16; the app computes with it in float32."""
    network = convert(read_darknet(blob))
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    exact = network(pixels)
    for one, other in zip(exact, network.half().float()(pixels), strict=True):
        torch.testing.assert_close(one[..., 4:], other[..., 4:], rtol=0, atol=0.02)


def test_decoding_by_hand():
    head = torch.zeros(1, 3 * 85, 2, 4)
    head[0, 85 + 2, 1, 3] = np.log(2)  # second anchor, width, cell in row 1, column 3
    boxes = decode(head, 32, ANCHORS[0])[0, 1 * 4 + 3]
    torch.testing.assert_close(boxes[1, :4], torch.tensor([3.5 / 4, 1.5 / 2, 2 * 135 / 128, 169 / 64]))
    torch.testing.assert_close(boxes[0, :4], torch.tensor([3.5 / 4, 1.5 / 2, 81 / 128, 82 / 64]))
    assert (boxes[:, 4:] == 0.5).all()


def test_another_file_than_the_published_one_is_refused(tmp_path, monkeypatch, blob):
    path = tmp_path / WEIGHTS_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(blob)
    monkeypatch.setattr(published, "fetch", lambda package: tmp_path)
    with pytest.raises(RuntimeError, match="has sha256 .*, expected dccea06f"):
        pretrained_detector()


@pytest.fixture(scope="module")
def model() -> ImageLanguageModel:
    return ImageLanguageModel.load(ROOT / "assets" / "models" / "image")


@torch.inference_mode()
@pytest.mark.parametrize("name", ["dog", "horse", "sheep", "giraffe_close", "cup"])
def test_a_real_photograph_gives_its_class(model, name):
    with Image.open(PHOTOGRAPHS / f"{name}.jpg") as image:
        views = model.inputs(image, "Caption:")["pixel_values"][0]
    for found in model.model.model.vision_tower.detect(views):
        assert COCO_CLASSES[found.classes[0]] == name.split("_")[0]
        assert found.scores[0] > 0.3


@torch.inference_mode()
def test_both_heads_agree_on_the_size_of_a_thing(model):
    """They do only with the anchors the weights were trained with; cfg files list other ones for the fine head."""
    network: YoloV3Tiny = model.model.model.vision_tower.detector
    horse = COCO_CLASSES.index("horse")
    with Image.open(PHOTOGRAPHS / "horse.jpg") as image:
        view = model.inputs(image, "Caption:")["pixel_values"][0, :1]
    coarse, fine = (
        head[0].flatten(0, 1)[(head[0, ..., 4] * head[0, ..., 5 + horse]).argmax(), :4]
        for head in network(detector_pixels(view))
    )
    assert (coarse[:2] - fine[:2]).abs().max() < 0.1
    assert (coarse[2:] / fine[2:]).log().abs().max() < 0.3
