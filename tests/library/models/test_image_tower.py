"""The two-part tower: its layout, its bars, and what survives saving."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from lora_mcl.models import EfficientNetTowerConfig, ImageTower, ImageTowerConfig
from lora_mcl.models.detections import CHANNEL_SCALE, Detections, channel_count
from lora_mcl.models.image_tower import GREY, PERSON, TAG_THRESHOLD, as_shown, detector_pixels
from lora_mcl.models.yolov3_tiny import COCO_CLASSES, NUM_CLASSES

WIDTHS = {"stem_width": 4, "stage_widths": (4,) * 7, "stage_depths": (1,) * 7, "head_width": 6}


def config(**changes) -> ImageTowerConfig:
    classifier = EfficientNetTowerConfig(image_size=64, num_classes=5, tag_dim=3, mean_cell=True, **WIDTHS)
    return ImageTowerConfig(classifier_config=classifier, **changes)


@pytest.fixture(scope="module")
def tower() -> ImageTower:
    torch.manual_seed(0)
    return ImageTower(config()).eval()


def test_the_default_geometry_is_the_embedded_models():
    found = ImageTowerConfig()
    assert (found.image_size, found.patch_size, found.grid) == (256, 64, 4)
    assert found.detector_channels == channel_count(NUM_CLASSES) == 242
    assert found.tag_channels == 1000
    assert found.hidden_size == 5 * (112 + 192 + 320 + 128) + 1000 + 242 == 5002


@torch.inference_mode()
def test_a_patch_is_the_classifiers_then_the_pictures_tags_then_the_detectors(tower):
    pixels = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-0.99, 1)
    width, grid = tower.config.classifier_config.hidden_size, tower.config.grid
    hidden = tower(pixels).last_hidden_state
    assert hidden.shape == (3, 1 + grid**2, tower.config.hidden_size)
    assert not hidden[:, 0].any()
    torch.testing.assert_close(hidden[:, 1:, :width], tower.classifier(pixels).last_hidden_state[:, 1:])
    pooled = tower.classifier.features(pixels).mean((1, 2))  # the classifier reads the mean of its cells
    tags = tower.picture_tags(pooled)[:, None].expand(-1, grid**2, -1)
    torch.testing.assert_close(hidden[:, 1:, width : width + 5], tags)
    for one, found in zip(hidden, tower.detect(pixels), strict=True):
        torch.testing.assert_close(one[1:, width + 5 :], tower.detector_patches(found))
    assert torch.equal(tower(pixels, return_dict=False)[0], hidden)


@torch.inference_mode()
def test_of_drawings_the_classifiers_patches_alone_are_shown_and_of_others_tags_and_boxes_alone(tower):
    pixels = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-0.99, 1)
    width, plain = tower.config.classifier_config.hidden_size, tower(pixels).last_hidden_state
    shapes = tower.classifier.cells(pixels)[0]  # [B, G, G, S]
    gated = ImageTower(config(drawing_cells=2)).eval()
    gated.load_state_dict(tower.state_dict(), strict=False)
    # The head by hand: a cell's first shape, against a threshold between the second and the third view.
    torch.nn.init.zeros_(gated.drawing_head.weight)
    gated.drawing_head.weight[0, 0] = 1
    surest = shapes[..., 0].flatten(1).sort(1, descending=True).values[:, :2].mean(1)
    order = surest.argsort()
    gated.drawing_head.bias.fill_(-float(surest[order[:2]].mean()))
    torch.testing.assert_close(gated.drawing_logits(shapes), surest + gated.drawing_head.bias)
    found = gated(pixels).last_hidden_state
    drawn = found[order[1:]]
    assert not drawn[..., width:].any() and torch.equal(drawn[..., :width], plain[order[1:], :, :width])
    hidden = found[order[0]]
    assert not hidden[:, :width].any() and torch.equal(hidden[:, width:], plain[order[0], :, width:])
    assert torch.equal(gated(pixels[order[:1]]).last_hidden_state[0], hidden), "alone as in company"


@pytest.mark.parametrize("wrong", [{"drawing_cells": -1}, {"drawing_cells": 2, "person_score": 0.0}])
def test_settings_of_the_head_are_checked(wrong):
    with pytest.raises(ValueError, match="drawing_cells must be 0 or more and person_score above 0"):
        config(**wrong)


def test_what_is_shown_by_hand():
    patches = torch.arange(1.0, 17).view(2, 2, 4)  # two views of two patches: channels 0 and 1 are the classifier's
    shown = as_shown(patches, torch.tensor([True, False]), 2)
    assert shown.tolist() == [[[1, 2, 0, 0], [5, 6, 0, 0]], [[0, 0, 11, 12], [0, 0, 15, 16]]]
    assert torch.equal(as_shown(patches[0], torch.tensor(True), 2), shown[0]), "one decision for all views"


@torch.inference_mode()
def test_where_the_detector_is_sure_of_a_person_there_are_no_drawings(tower, monkeypatch):
    pixels = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-0.99, 1)
    width = tower.config.classifier_config.hidden_size
    gated = ImageTower(config(drawing_cells=2, person_score=0.4)).eval()
    gated.load_state_dict(tower.state_dict(), strict=False)
    torch.nn.init.zeros_(gated.drawing_head.weight)
    gated.drawing_head.bias.fill_(1)  # By the cells alone every view holds drawings.

    def view(*boxes: tuple[str, float]) -> Detections:
        classes = torch.tensor([COCO_CLASSES.index(name) for name, _ in boxes], dtype=torch.long)
        return Detections(torch.full((len(boxes), 4), 0.5), classes, torch.tensor([score for _, score in boxes]))

    found = [view(("dog", 0.9), ("person", 0.39)), view(("person", 0.5), ("person", 0.2)), view(), view(("dog", 0.9))]
    monkeypatch.setattr(gated, "detect", lambda pixels: found[: len(pixels)])
    shown = gated(pixels).last_hidden_state[:, 1:, :width].flatten(1).any(1)
    assert shown.tolist() == [True, False, True, True]
    assert (found[1].best_score(PERSON), found[2].best_score(PERSON)) == (0.5, 0)
    assert config(drawing_cells=2).person_score > 1, "a tower without the limit is as before"


def test_the_head_is_there_only_if_it_is_configured(tower, tmp_path):
    assert not any("drawing" in name for name in tower.state_dict())
    gated = ImageTower(config(drawing_cells=2))
    torch.nn.init.normal_(gated.drawing_head.weight)
    gated.save_pretrained(tmp_path / "tower")
    loaded, info = ImageTower.from_pretrained(tmp_path / "tower", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and loaded.config.drawing_cells == 2
    assert torch.equal(loaded.drawing_head.weight, gated.drawing_head.weight)


def test_tags_are_square_roots_of_the_likely_shares(tower, monkeypatch):
    shares = torch.tensor([[0.64, 0.25, 0.09, 0.0100, 0.0099], [0.0, 1.0, 0.0, 0.0, 0.0]])
    monkeypatch.setattr(tower.classifier, "probabilities", lambda features: shares)
    assert TAG_THRESHOLD == 0.01
    want = [[0.8, 0.5, 0.3, 0.1, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(tower.picture_tags(torch.zeros(2, 6)) / CHANNEL_SCALE, torch.tensor(want))


@torch.inference_mode()
def test_the_detectors_boxes_reach_their_patches(tower, monkeypatch):
    """A head that is sure of class 7 in one cell: bottom right, of the 2 x 2 cells of a 64-pixel picture."""
    prediction = torch.zeros(1, 4, 3, 5 + NUM_CLASSES)
    prediction[0, 3, 1] = torch.tensor([0.8, 0.7, 0.5, 0.25, 1.0] + [0.0] * NUM_CLASSES)
    prediction[0, 3, 1, 5 + 7] = 0.75
    monkeypatch.setattr(tower.detector, "forward", lambda pixels: (prediction, torch.zeros(1, 16, 3, 85)))
    (found,) = tower.detect(torch.zeros(1, 3, 64, 64))
    assert (found.classes.tolist(), found.scores.tolist()) == ([7], [0.75])
    patches = tower.detector_patches(found) / CHANNEL_SCALE
    torch.testing.assert_close(patches[:, NUM_CLASSES + 2 + 7], torch.full((tower.config.grid**2,), 0.75))
    assert patches[-1, 7] == 0.75


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels * 255 - 127) / 128


def test_letterbox_bars_become_grey_and_nothing_else_changes():
    pixels = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    pixels[0, :, :3] = 0
    pixels[0, :, 10:] = 0
    pixels[1, :, :, :2] = 0
    pixels[:, :, 6] = 0  # a black line inside the picture
    want = pixels.clone()
    want[0, :, :3] = want[0, :, 10:] = want[1, :, :, :2] = GREY
    torch.testing.assert_close(detector_pixels(normalised(pixels)), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bars_are_found_in_half_precision(dtype):
    pixels = torch.full((1, 3, 8, 8), 0.5)
    pixels[:, :, :2] = 0
    found = detector_pixels(normalised(pixels).to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), torch.full((1, 3, 8, 8), 0.5), atol=5e-3, rtol=0)


def test_saving_in_half_precision_keeps_the_weights(tower, tmp_path):
    half = ImageTower(tower.config)
    half.load_state_dict(tower.state_dict())
    half.half().save_pretrained(tmp_path / "tower")
    loaded, info = ImageTower.from_pretrained(tmp_path / "tower", dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    for name, weight in tower.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float()), name
    assert isinstance(AutoConfig.from_pretrained(tmp_path / "tower"), ImageTowerConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path / "tower"), ImageTower)


def test_a_configuration_survives_json(tmp_path):
    before = config()
    before.save_pretrained(tmp_path)
    after = ImageTowerConfig.from_pretrained(tmp_path)
    assert isinstance(after.classifier_config, EfficientNetTowerConfig)
    assert after.to_dict() == before.to_dict() and after.hidden_size == before.hidden_size
