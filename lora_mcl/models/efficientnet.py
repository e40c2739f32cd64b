"""EfficientNet-Lite0 as a vision tower for LLaVA-NeXT, with dense class tags.

The backbone (Tan & Le 2019, "EfficientNet"; Lite variant: ReLU6, no squeeze-and-excite) turns an image into a
grid of cells, one every 32 pixels. Its ImageNet classifier is linear after average pooling, so it can be
applied to every cell on its own: the cell's class probabilities, embedded by one vector per class, say *what*
is there in terms the network was trained to name. What the network was not trained to name (drawings) shows
better in its middle: the head's features keep what photographs of ImageNet classes need, and lose shapes that
the outputs of earlier stages still hold. A cell is [shapes, tags], with the shapes those stages' outputs, each
layer-normalised; ``cells_per_patch`` x ``cells_per_patch`` neighbouring cells are stacked into one patch (pixel
shuffle) to keep the language model's sequence short. A patch may also carry the mean of all cells: no single one shows
where a picture was taken.

Batch normalisation is folded into the convolutions when weights are converted, so the stored network has
convolutions with biases only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

TRUNK_STRIDE = 32
STAGE_KERNELS = (3, 3, 5, 3, 5, 5, 3)
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
STAGE_EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)


class EfficientNetTowerConfig(PreTrainedConfig):
    """Geometry of the tower; the defaults are EfficientNet-Lite0 on 256-pixel images.

    Attributes:
        image_size: side of the square input, in pixels; a multiple of ``patch_size``.
        stem_width, stage_widths, stage_depths, head_width: channels and blocks of the backbone.
        num_classes: classes of the ImageNet head.
        tag_dim: channels of a class's tag vector.
        shape_stages: the stages, counted from 0, whose outputs are a cell's shapes.
        cells_per_patch: a patch is a square of this many backbone cells on each side.
        mean_cell: whether each patch ends with the mean of the picture's cells.
    """

    model_type = "efficientnet_tower"
    base_config_key = "vision_config"

    image_size: int = 256
    num_channels: int = 3
    stem_width: int = 32
    stage_widths: list[int] | tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    stage_depths: list[int] | tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    head_width: int = 1280
    num_classes: int = 1000
    tag_dim: int = 128
    shape_stages: list[int] | tuple[int, ...] = (4, 5, 6)
    cells_per_patch: int = 2
    mean_cell: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        stages = len(STAGE_KERNELS)
        if len(self.stage_widths) != stages or len(self.stage_depths) != stages:
            raise ValueError(f"stage_widths and stage_depths need {stages} values each")
        if not all(0 <= stage < stages for stage in self.shape_stages):
            raise ValueError(f"shape_stages must be within 0..{stages - 1}, got {self.shape_stages}")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")

    @property
    def patch_size(self) -> int:
        """Side of a patch, in pixels."""
        return TRUNK_STRIDE * self.cells_per_patch

    @property
    def shape_width(self) -> int:
        """Channels of a cell's shapes."""
        return sum(self.stage_widths[stage] for stage in self.shape_stages)

    @property
    def cell_width(self) -> int:
        """Channels of a cell: its shapes and tags."""
        return self.shape_width + self.tag_dim

    @property
    def hidden_size(self) -> int:
        """Channels of a patch: its cells, stacked, and perhaps the picture's mean cell."""
        return (self.cells_per_patch**2 + self.mean_cell) * self.cell_width


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding of even inputs: at stride 2 the odd row, column go last."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return super().forward(x)
        # A kernel with zeros in front and as much padding on each side gives the same: with padding at one side more
        # than at the other, the input, which is much larger than the kernel, would have to be copied.
        kernel = F.pad(self.weight, (1, 0, 1, 0))
        return F.conv2d(x, kernel, self.bias, self.stride, self.padding, groups=self.groups)


class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel (k x k), project (1x1); plus the input where the shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = in_channels * expansion
        self.expand = SameConv2d(in_channels, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv2d(inner, out_channels, 1)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class EfficientNetTower(PreTrainedModel):
    """Image -> [dummy CLS, patches...], in the form LLaVA-NeXT expects of a vision tower.

    With G cells on a side, C head channels, S shape channels, N classes, P patches and D = ``config.hidden_size``:
    ``pixel_values`` is [B, 3, S, S], normalised to (value - 127) / 128 with values in 0..255.
    """

    config: EfficientNetTowerConfig
    config_class = EfficientNetTowerConfig
    base_model_prefix = "vision_tower"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ["InvertedResidual"]

    def __init__(self, config: EfficientNetTowerConfig):
        super().__init__(config)
        self.stem = SameConv2d(config.num_channels, config.stem_width, 3, stride=2)
        blocks, width = [], config.stem_width
        for out_width, depth, kernel, stride, expansion in zip(
            config.stage_widths,
            config.stage_depths,
            STAGE_KERNELS,
            STAGE_STRIDES,
            STAGE_EXPANSIONS,
            strict=True,
        ):
            for index in range(depth):
                blocks.append(InvertedResidual(width, out_width, kernel, 1 if index else stride, expansion))
                width = out_width
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv2d(width, config.head_width, 1)
        self.classifier = nn.Linear(config.head_width, config.num_classes)
        self.tag_embedding = nn.Parameter(torch.empty(config.num_classes, config.tag_dim))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, EfficientNetTower):
            init.normal_(module.tag_embedding, std=self.config.initializer_range)

    def cells(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cells' shapes [B, G, G, S] and their head features [B, G, G, C], the latter in 0..6.

        Shapes of a finer stage are averaged over each cell; each stage's are normalised to mean 0 and variance 1
        over its channels, since stages differ in scale.
        """
        x = pixel_values.to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last)
        grid = (x.shape[-2] // TRUNK_STRIDE, x.shape[-1] // TRUNK_STRIDE)
        x = F.relu6(self.stem(x), inplace=True)
        shapes, start = [], 0
        for stage, depth in enumerate(self.config.stage_depths):
            for block in self.blocks[start : start + depth]:
                x = block(x)
            start += depth
            if stage in self.config.shape_stages:
                pooled = F.adaptive_avg_pool2d(x, grid).permute(0, 2, 3, 1)
                shapes.append(F.layer_norm(pooled, pooled.shape[-1:]))
        head = F.relu6(self.head(x), inplace=True).permute(0, 2, 3, 1)
        return torch.cat(shapes, dim=-1), head

    def features(self, pixel_values: Tensor) -> Tensor:
        """Return the cells' head features [B, G, G, C], which the classifier reads; each value in 0..6."""
        return self.cells(pixel_values)[1]

    def probabilities(self, features: Tensor) -> Tensor:
        """Return each cell's class probabilities [B, G, G, N] from its head features [B, G, G, C]."""
        return self.classifier(features).softmax(-1, dtype=torch.float32).to(features.dtype)

    def assemble(self, shapes: Tensor, probabilities: Tensor) -> Tensor:
        """Return patches [B, P, D] made of cells' shapes [B, G, G, S] and class probabilities [B, G, G, N].

        A patch lists its cells row by row, each as its shapes then its tags, and last the mean cell if
        ``config.mean_cell``.
        """
        cells = torch.cat([shapes, probabilities @ self.tag_embedding], dim=-1)
        batch, height, width, channels = cells.shape
        side = self.config.cells_per_patch
        cells = cells.reshape(batch, height // side, side, width // side, side, channels)
        patches = cells.permute(0, 1, 3, 2, 4, 5).reshape(batch, -1, side * side * channels)
        if not self.config.mean_cell:
            return patches
        mean = cells.mean((1, 2, 3, 4))[:, None].expand(-1, patches.shape[1], -1)
        return torch.cat([patches, mean], dim=-1)

    def forward(self, pixel_values: Tensor, return_dict: bool | None = None, **kwargs) -> BaseModelOutput | tuple:
        """Return hidden states [B, 1 + P, D]; position 0 is zeros, for LLaVA's "default" selection to drop.

        ``hidden_states`` has a single entry, so the model's ``vision_feature_layer`` must be -1.
        """
        shapes, head = self.cells(pixel_values)
        patches = self.assemble(shapes, self.probabilities(head))
        hidden = F.pad(patches, (0, 0, 1, 0))
        output = BaseModelOutput(last_hidden_state=hidden, hidden_states=(hidden,))
        return output.to_tuple() if return_dict is False else output


AutoConfig.register(EfficientNetTowerConfig.model_type, EfficientNetTowerConfig, exist_ok=True)
AutoModel.register(EfficientNetTowerConfig, EfficientNetTower, exist_ok=True)
