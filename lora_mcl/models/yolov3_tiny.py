"""YOLOv3-tiny: a detector of COCO's 80 classes.

The network (Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement"; the tiny variant's layer list) has
13 convolutions and two heads. A head predicts, for each of its cells and for each of 3 anchors (typical box
sizes), one box, how sure it is that a thing is there, and how likely each class is for that thing. The coarse
head has a cell every 32 pixels and finds large things; the fine one has a cell every 16 and finds smaller ones.

Batch normalisation is folded into the convolutions when weights are converted, so the stored network has
convolutions with biases only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COCO_CLASSES = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
)
NUM_CLASSES = len(COCO_CLASSES)
STRIDES = (32, 16)
ANCHORS = (((81, 82), (135, 169), (344, 319)), ((23, 27), (37, 58), (81, 82)))
"""Anchor widths and heights in pixels, of the coarse head and of the fine one.

The published weights were trained with anchors 1, 2 and 3 of the six on the fine head (its first cfg's mask),
although later cfg files say 0, 1 and 2: with those, its boxes come out half as large as the coarse head's boxes of
the same things.
"""
HEAD_WIDTH = 3 * (4 + 1 + NUM_CLASSES)
LEAK = 0.1

# (input channels, output channels, kernel) of each convolution, in the order of the published weights file.
CONVOLUTIONS = (
    (3, 16, 3),
    (16, 32, 3),
    (32, 64, 3),
    (64, 128, 3),
    (128, 256, 3),
    (256, 512, 3),
    (512, 1024, 3),
    (1024, 256, 1),
    (256, 512, 3),
    (512, HEAD_WIDTH, 1),
    (256, 128, 1),
    (128 + 256, 256, 3),
    (256, HEAD_WIDTH, 1),
)
COARSE_HEAD, FINE_HEAD = 9, 12
"""The convolutions whose outputs are predictions; all others are followed by a leaky ReLU."""


class YoloV3Tiny(nn.Module):
    """RGB pictures -> boxes, objectness and class probabilities of every cell and anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, out, kernel, padding=kernel // 2) for width, out, kernel in CONVOLUTIONS
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predictions of the coarse and of the fine head, each [B, cells, 3, 85], float32.

        The last axis is (centre x, centre y, width, height), fractions of the picture's sides; objectness; and
        80 class probabilities, each of its own (a person may be a player as well). Cells run row by row.

        Args:
            pixels: [B, 3, S, S], values 0..1, S a multiple of 32; bars of a letterboxed picture are 0.5.
        """
        x = pixels.to(self.convolutions[0].weight.dtype).contiguous(memory_format=torch.channels_last)
        for index in range(4):
            x = F.max_pool2d(self._leaky(index, x), 2)
        fine = self._leaky(4, x)  # [B, 256, S/16, S/16]
        x = self._leaky(5, F.max_pool2d(fine, 2))  # [B, 512, S/32, S/32]
        # Darknet's stride-1 pooling keeps the size: it pads one row below and one column on the right.
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, stride=1)
        middle = self._leaky(7, self._leaky(6, x))  # [B, 256, S/32, S/32]
        coarse_head = self.convolutions[COARSE_HEAD](self._leaky(8, middle))
        up = F.interpolate(self._leaky(10, middle), scale_factor=2, mode="nearest")
        fine_head = self.convolutions[FINE_HEAD](self._leaky(11, torch.cat([up, fine], dim=1)))
        return (
            decode(coarse_head, STRIDES[0], ANCHORS[0]),
            decode(fine_head, STRIDES[1], ANCHORS[1]),
        )

    def _leaky(self, index: int, x: Tensor) -> Tensor:
        return F.leaky_relu(self.convolutions[index](x), LEAK, inplace=True)


def decode(head: Tensor, stride: int, anchors: tuple[tuple[int, int], ...]) -> Tensor:
    """Turn a head's output [B, A * (5 + N), H, W] into predictions [B, H * W, A, 5 + N] (YOLOv3, section 2.1)."""
    batch, channels, height, width = head.shape
    raw = head.float().permute(0, 2, 3, 1).reshape(batch, height * width, len(anchors), channels // len(anchors))
    rows, columns = torch.meshgrid(
        torch.arange(height, device=head.device), torch.arange(width, device=head.device), indexing="ij"
    )
    corners = torch.stack([columns, rows], dim=-1).view(1, -1, 1, 2)  # [1, cells, 1, (x, y)]
    size = torch.tensor([width, height], device=head.device)
    centres = (raw[..., :2].sigmoid() + corners) / size
    sides = raw[..., 2:4].clamp(max=8).exp() * torch.tensor(anchors, device=head.device) / (size * stride)
    return torch.cat([centres, sides, raw[..., 4:].sigmoid()], dim=-1)
