"""The vision tower: parity with the original network, dense tags, and its geometry."""

import json
import math

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from lora_mcl.models import EfficientNetTower, EfficientNetTowerConfig
from lora_mcl.models.efficientnet import STAGE_EXPANSIONS, STAGE_KERNELS, STAGE_STRIDES
from tests.support.paths import ROOT
from training.embedded.image.tower import BATCH_NORM_EPSILON, convert, tag_embedding

FIXTURE = ROOT / "tests/support/fixtures" / "efficientnet_lite0.json"
EMBEDDED_MODEL = ROOT / "assets" / "models" / "image"

TINY = EfficientNetTowerConfig(
    image_size=128,
    stem_width=8,
    stage_widths=(4, 6, 8, 8, 12, 12, 16),
    stage_depths=(1, 2, 1, 2, 1, 2, 1),
    head_width=24,
    num_classes=10,
    tag_dim=5,
)


def picture(size: int = 256) -> torch.Tensor:
    """A picture [1, 3, size, size] with edges and gradients, normalised, the same on every machine."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = ((x - 0.6 * size) ** 2 + (y - 0.5 * size) ** 2 < (0.25 * size) ** 2).float()
    stripes = (x // 16 % 2).float()
    values = torch.stack([255 * disc, 255 * y / size, 128 * stripes + 64 * disc])
    return ((values - 127) / 128)[None]


def random_original(config: EfficientNetTowerConfig) -> dict[str, torch.Tensor]:
    """A checkpoint in the layout of the original package, with random weights and BatchNorm statistics."""
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def layer(convolution, norm, out_channels, in_channels, kernel):
        shape = (out_channels, in_channels, kernel, kernel)
        weights[f"{convolution}.weight"] = torch.randn(shape, generator=generator) / math.sqrt(in_channels * kernel**2)
        weights[f"{norm}.weight"] = 0.5 + torch.rand(out_channels, generator=generator)
        weights[f"{norm}.bias"] = torch.randn(out_channels, generator=generator)
        weights[f"{norm}.running_mean"] = torch.randn(out_channels, generator=generator)
        weights[f"{norm}.running_var"] = 0.5 + torch.rand(out_channels, generator=generator)
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    layer("_conv_stem", "_bn0", config.stem_width, 3, 3)
    for index, (width_in, width_out, kernel, _, expansion) in enumerate(blocks(config)):
        inner = width_in * expansion
        if expansion > 1:
            layer(f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0", inner, width_in, 1)
        layer(f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1", inner, 1, kernel)
        layer(f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2", width_out, inner, 1)
    layer("_conv_head", "_bn1", config.head_width, config.stage_widths[-1], 1)
    weights["_fc.weight"] = torch.randn(config.num_classes, config.head_width, generator=generator)
    weights["_fc.bias"] = torch.randn(config.num_classes, generator=generator)
    return weights


def blocks(config):
    width = config.stem_width
    stages = zip(config.stage_widths, config.stage_depths, STAGE_KERNELS, STAGE_STRIDES, STAGE_EXPANSIONS, strict=True)
    for out_width, depth, kernel, stride, expansion in stages:
        for index in range(depth):
            yield width, out_width, kernel, 1 if index else stride, expansion
            width = out_width


def original_features(weights, config, x):
    """The trunk as the original computes it: TensorFlow SAME padding, convolution, BatchNorm, ReLU6."""

    def layer(x, convolution, norm, stride=1, depthwise=False, activate=True):
        kernel = weights[f"{convolution}.weight"]
        size = kernel.shape[-1]
        total = max((math.ceil(x.shape[-1] / stride) - 1) * stride + size - x.shape[-1], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)
        norms = (weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        x = F.batch_norm(x, *norms, eps=BATCH_NORM_EPSILON)
        return F.relu6(x) if activate else x

    x = layer(x, "_conv_stem", "_bn0", stride=2)
    for index, (width_in, width_out, _, stride, expansion) in enumerate(blocks(config)):
        name, y = f"_blocks.{index}", x
        if expansion > 1:
            y = layer(y, f"{name}._expand_conv", f"{name}._bn0")
        y = layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True)
        y = layer(y, f"{name}._project_conv", f"{name}._bn2", activate=False)
        x = x + y if stride == 1 and width_in == width_out else y
    return layer(x, "_conv_head", "_bn1").permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def tiny() -> EfficientNetTower:
    return convert(random_original(TINY), TINY)


@torch.no_grad()
def test_converted_trunk_equals_the_original_with_batch_norm(tiny):
    expected = original_features(random_original(TINY), TINY, picture(128))
    found = tiny.features(picture(128))
    assert found.shape == (1, 4, 4, TINY.head_width)
    assert 0.05 < expected.mean() < 5.9, "degenerate test weights"
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_embedded_weights_give_the_published_logits():
    """fp16 storage is the only difference to the original's logits, stored in the fixture."""
    from lora_mcl.models import ImageLanguageModel

    fixture = json.loads(FIXTURE.read_text())
    tower = ImageLanguageModel.load(EMBEDDED_MODEL).model.model.vision_tower.classifier
    features = tower.features(picture())
    logits = tower.classifier(features.mean((1, 2)))[0]
    expected = torch.tensor(fixture["logits"])
    assert logits.argmax() == expected.argmax()
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)


@torch.no_grad()
def test_the_head_on_each_cell_averages_to_the_head_on_the_pooled_features(tiny):
    features = tiny.features(picture(128))
    dense = tiny.classifier(features).mean((1, 2))
    torch.testing.assert_close(dense, tiny.classifier(features.mean((1, 2))), atol=1e-5, rtol=0)
    torch.testing.assert_close(tiny.probabilities(features), tiny.classifier(features).softmax(-1))


@torch.no_grad()
def test_a_patch_lists_its_cells_row_by_row_shapes_then_tags(tiny):
    shapes, _ = tiny.cells(picture(128))
    probabilities = tiny.probabilities(tiny.features(picture(128)))
    patches = tiny.assemble(shapes, probabilities)
    cell = TINY.shape_width + TINY.tag_dim
    assert patches.shape == (1, 4, 4 * cell) == (1, 4, TINY.hidden_size)
    for patch, (top, left) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        for position, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            found = patches[0, patch, position * cell : (position + 1) * cell]
            tags = probabilities[0, top + row, left + column] @ tiny.tag_embedding
            expected = torch.cat([shapes[0, top + row, left + column], tags])
            torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_forward_puts_a_dummy_before_the_patches(tiny):
    output = tiny(picture(128))
    assert len(output.hidden_states) == 1
    hidden = output.hidden_states[-1]
    assert hidden.shape == (1, 1 + 4, TINY.hidden_size)
    assert not hidden[:, 0].any()
    shapes, head = tiny.cells(picture(128))
    torch.testing.assert_close(hidden[:, 1:], tiny.assemble(shapes, tiny.probabilities(head)))


@torch.no_grad()
def test_shapes_are_the_stages_outputs_averaged_over_each_cell_and_normalised(tiny):
    outputs = []
    handles = [
        tiny.blocks[last].register_forward_hook(lambda module, inputs, output: outputs.append(output))
        for last in (sum(TINY.stage_depths[:stages]) - 1 for stages in (5, 6, 7))
    ]
    shapes, _ = tiny.cells(picture(128))
    for handle in handles:
        handle.remove()
    fine, *coarse = outputs
    assert [stage.shape for stage in outputs] == [(1, 12, 8, 8), (1, 12, 4, 4), (1, 16, 4, 4)]
    expected = [fine.unflatten(-1, (4, 2)).unflatten(-3, (4, 2)).mean((-1, -3)), *coarse]
    for found, stage in zip(shapes.split((12, 12, 16), dim=-1), expected, strict=True):
        centred = stage - stage.mean(1, keepdim=True)
        scale = (stage.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(found, (centred / scale).permute(0, 2, 3, 1), atol=1e-4, rtol=1e-4)


def test_default_geometry_is_the_embedded_one():
    config = EfficientNetTowerConfig()
    assert (config.patch_size, config.hidden_size) == (64, 3008)


@pytest.mark.parametrize(
    "bad", [{"image_size": 200}, {"stage_widths": (8, 8)}, {"stage_depths": (1,)}, {"shape_stages": (5, 7)}]
)
def test_impossible_geometry_is_refused(bad):
    with pytest.raises(ValueError):
        EfficientNetTowerConfig(**bad)


@torch.no_grad()
def test_save_and_load_through_the_auto_classes(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, EfficientNetTower)
    torch.testing.assert_close(loaded(picture(128)).last_hidden_state, tiny(picture(128)).last_hidden_state)


def test_tag_embedding_keeps_class_geometry_at_the_wanted_length():
    classifier = torch.randn(12, 30, generator=torch.Generator().manual_seed(0)) + 5
    tags = tag_embedding(classifier, tag_dim=11, length=20.0)
    assert tags.shape == (12, 11)
    assert tags.norm(dim=1).mean().item() == pytest.approx(20, rel=1e-4)
    # 11 directions hold 12 centred points entirely: distances are those of the classifier, up to the scale.
    found, expected = torch.pdist(tags), torch.pdist(classifier)
    torch.testing.assert_close(found / found.mean(), expected / expected.mean(), atol=1e-4, rtol=0)
