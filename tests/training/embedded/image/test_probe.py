"""The tower's probe: a thing alone and its mask, features averaged over it alone, and a classifier that learns."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from training.embedded.common.probing import accuracy, fit
from training.embedded.image.probe import pooled
from training.embedded.image.render.render import Background, render_alone


def test_the_mask_is_where_the_thing_is():
    background = Background(Image.new("RGB", (320, 240), (90, 90, 90)), 0.7)
    sprite = Image.new("RGBA", (60, 80), (230, 20, 20, 255))
    picture, mask = render_alone(sprite, background, 0.5, 256, random.Random(3))
    assert picture.size == mask.size == (256, 256)
    pixels = np.asarray(picture).astype(int)
    red = pixels[..., 0] - pixels[..., 1] > 60
    covered = np.asarray(mask) > 128
    assert (red == covered).mean() > 0.98
    assert 0.4 * 256 < covered.any(1).sum() < 0.66 * 256
    assert picture.tobytes() == render_alone(sprite, background, 0.5, 256, random.Random(3))[0].tobytes()


@pytest.fixture(scope="module")
def tower() -> EfficientNetTower:
    torch.manual_seed(0)
    widths = {"stem_width": 4, "stage_widths": (4,) * 7, "stage_depths": (1,) * 7, "head_width": 12}
    return EfficientNetTower(EfficientNetTowerConfig(image_size=128, num_classes=6, tag_dim=4, **widths)).eval()


@torch.no_grad()
def test_features_are_those_of_the_masked_cells(tower):
    pixels, masks = torch.randn(2, 3, 128, 128), torch.zeros(2, 1, 128, 128)
    masks[0, :, 32:64, 96:] = 1.0
    masks[1, :, :32, :64] = 1.0
    shapes, head = tower.cells(pixels)
    found = pooled(tower, pixels, masks)
    torch.testing.assert_close(found["shapes"][0], shapes[0, 1, 3])
    torch.testing.assert_close(found["head"][1], head[1, 0, :2].mean(0))


def test_the_classifier_learns_what_there_is_to_learn():
    torch.manual_seed(0)
    labels = torch.arange(5).repeat(60)
    inputs = 3 * torch.eye(5, 8)[labels] + torch.randn(300, 8)
    right = accuracy(fit(inputs[:200], labels[:200], steps=60), inputs[200:], labels[200:])
    shuffled = labels[torch.randperm(300)]
    chance = accuracy(fit(inputs[:200], shuffled[:200], steps=60), inputs[200:], shuffled[200:])
    assert right > 0.85 > 0.4 > chance
