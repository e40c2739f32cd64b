"""The embedded image model's vision tower: a classifier's dense features and a detector's boxes, side by side.

EfficientNet-Lite0 (``efficientnet.py``) describes every patch, drawings too, and names the picture as a whole by
ImageNet's classes; YOLOv3-tiny (``yolov3_tiny.py``) finds where on a photograph things of COCO's 80 classes stand, and
how many. Both read the same pixels. A patch is the classifier's patch, the picture's tags, and the channels of
``detections.patch_channels``.

A captioner that learned shapes from drawings is misled by those of photographs, and what both networks, which learned
from photographs, call a drawing is mostly wrong. So of a view with drawings the classifier's patches alone can be
shown, and of any other the picture's tags and the boxes alone. Which views hold drawings is decided by their cells, and
by whether the detector is sure of a person.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from lora_mcl.models.detections import CHANNEL_SCALE, Detections, channel_count, patch_channels, suppress
from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from lora_mcl.models.yolov3_tiny import COCO_CLASSES, YoloV3Tiny

GREY = 0.5
"""The bars that the detector was trained on."""
PERSON = COCO_CLASSES.index("person")
TAG_THRESHOLD = 0.01
"""Of the picture's classes, less likely ones are not among its tags."""


def detector_pixels(pixel_values: Tensor) -> Tensor:
    """Pixels [B, 3, S, S] in 0..1 from the tower's normalised ones, with grey bars in place of black ones.

    The image processor pads a picture with black. A bar is an unbroken run of black rows or columns from an edge.
    """
    pixels = (pixel_values.float() * 128 + 127) / 255
    dark = (pixels.abs() < 2e-3).all(1)  # [B, S, S]
    bars = _edge_runs(dark.all(2))[:, :, None] | _edge_runs(dark.all(1))[:, None, :]
    return torch.where(bars[:, None], torch.full_like(pixels, GREY), pixels).to(pixel_values.dtype)


def _edge_runs(dark: Tensor) -> Tensor:
    """Where ``dark`` [B, S] is true without a break from either end."""
    return dark.long().cumprod(1).bool() | dark.flip(1).long().cumprod(1).flip(1).bool()


def as_shown(patches: Tensor, drawings: Tensor, width: int) -> Tensor:
    """Patches of views with drawings without tags and boxes, and of other views without the classifier's patches.

    Args:
        patches: [..., P, D] whole.
        drawings: [...] bool, whether each view holds drawings.
        width: the classifier's channels, the first of D.

    Returns:
        [..., P, D] with zeros for what is not shown.
    """
    of_classifier = torch.arange(patches.shape[-1], device=patches.device) < width  # [D]
    return torch.where(of_classifier == drawings[..., None, None], patches, torch.zeros_like(patches))


def mean_of_surest(cells: Tensor, count: int) -> Tensor:
    """Mean [B] of the ``count`` largest of each view's cell logits [B, G * G]; of all if there are fewer."""
    return cells.topk(min(count, cells.shape[1]), dim=1).values.mean(1)


class ImageTowerConfig(PreTrainedConfig):
    """Geometry of the tower.

    Attributes:
        classifier_config: of the EfficientNet part, or its fields as a dictionary.
        drawing_cells: of a view's cells, the number whose mean decides whether it holds drawings; 0: all views are
            shown whole.
        person_score: a view where the detector is this sure of a person, or surer, holds no drawings; above 1: none is.
    """

    model_type = "image_tower"
    base_config_key = "vision_config"
    sub_configs = {"classifier_config": EfficientNetTowerConfig}

    classifier_config: EfficientNetTowerConfig | dict[str, Any] | None = None
    drawing_cells: int = 0
    person_score: float = 2.0
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if self.classifier_config is None:
            self.classifier_config = EfficientNetTowerConfig(mean_cell=True)
        elif isinstance(self.classifier_config, dict):
            self.classifier_config = EfficientNetTowerConfig(**self.classifier_config)
        if self.drawing_cells < 0 or self.person_score <= 0:
            raise ValueError(
                f"drawing_cells must be 0 or more and person_score above 0, not {self.drawing_cells} and "
                f"{self.person_score}"
            )
        super().__post_init__(**kwargs)

    @property
    def image_size(self) -> int:
        """Side of the square input, in pixels."""
        return self.classifier_config.image_size

    @property
    def patch_size(self) -> int:
        """Side of a patch, in pixels."""
        return self.classifier_config.patch_size

    @property
    def grid(self) -> int:
        """Patches on each side of the image."""
        return self.image_size // self.patch_size

    @property
    def detector_channels(self) -> int:
        """Channels of a patch that the detector gives."""
        return channel_count(len(COCO_CLASSES))

    @property
    def tag_channels(self) -> int:
        """Channels of a patch for the picture's tags: one for each class of the classifier."""
        return self.classifier_config.num_classes

    @property
    def hidden_size(self) -> int:
        """Channels of a patch: the classifier's, the picture's tags, the detector's."""
        return self.classifier_config.hidden_size + self.tag_channels + self.detector_channels


class ImageTower(PreTrainedModel):
    """Image -> [dummy CLS, patches...], in the form LLaVA-NeXT expects of a vision tower.

    ``pixel_values`` is [B, 3, S, S], normalised to (value - 127) / 128 with values in 0..255.
    """

    config: ImageTowerConfig
    config_class = ImageTowerConfig
    base_model_prefix = "vision_tower"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ["InvertedResidual"]

    def __init__(self, config: ImageTowerConfig):
        super().__init__(config)
        self.classifier = EfficientNetTower(config.classifier_config)
        self.detector = YoloV3Tiny()
        if config.drawing_cells:
            self.drawing_head = nn.Linear(config.classifier_config.shape_width, 1)
        self.post_init()

    def detect(self, pixel_values: Tensor) -> list[Detections]:
        """What the detector finds in each of B views."""
        heads = self.detector(detector_pixels(pixel_values))
        found = torch.cat([head.flatten(1, 2) for head in heads], dim=1).cpu()  # [B, boxes, 4 + 1 + classes]
        return [suppress(view[:, :4], view[:, 4:5] * view[:, 5:]) for view in found]

    def detector_patches(self, found: Detections) -> Tensor:
        """Channels [P, ``detector_channels``] of one view."""
        return patch_channels(found, self.config.grid, len(COCO_CLASSES))

    def picture_tags(self, features: Tensor) -> Tensor:
        """Tags [..., N] of pictures from their mean head features [..., C]: square roots of the likely classes' shares.

        The network was trained to classify the mean of its cells, so this is surer than any cell's own tags.
        """
        shares = self.classifier.probabilities(features)
        return CHANNEL_SCALE * torch.where(shares >= TAG_THRESHOLD, shares.sqrt(), torch.zeros_like(shares))

    def drawing_logits(self, shapes: Tensor) -> Tensor:
        """Log odds [B] that views hold drawings, from their cells' shapes [B, G, G, S].

        The mean of the ``drawing_cells`` surest cells, since drawings may cover a small part of a photograph.
        """
        return mean_of_surest(self.drawing_head(shapes).flatten(1), self.config.drawing_cells)

    def drawings(self, shapes: Tensor, people: Tensor) -> Tensor:
        """Whether views hold drawings [B], from their cells' shapes [B, G, G, S] and the best score [B] of a person."""
        return (self.drawing_logits(shapes) > 0) & (people < self.config.person_score)

    def forward(self, pixel_values: Tensor, return_dict: bool | None = None, **kwargs) -> BaseModelOutput | tuple:
        """Hidden states [B, 1 + P, D]; position 0 is zeros, for LLaVA's "default" selection to drop.

        ``hidden_states`` has a single entry, so the model's ``vision_feature_layer`` must be -1.
        """
        shapes, head = self.classifier.cells(pixel_values)
        patches = self.classifier.assemble(shapes, self.classifier.probabilities(head))  # [B, P, D of the classifier]
        found = self.detect(pixel_values)
        # What holds of the whole picture stands in each of its patches.
        tags = self.picture_tags(head.mean((1, 2)))[:, None].expand(-1, patches.shape[1], -1)  # [B, P, N]
        boxes = torch.stack([self.detector_patches(view) for view in found])
        whole = torch.cat([patches, tags, boxes.to(patches)], dim=-1)  # [B, P, D]
        if self.config.drawing_cells:
            people = torch.tensor([view.best_score(PERSON) for view in found])
            drawings = self.drawings(shapes, people.to(shapes.device))
            whole = as_shown(whole, drawings, patches.shape[-1])
        hidden = F.pad(whole, (0, 0, 1, 0))
        output = BaseModelOutput(last_hidden_state=hidden, hidden_states=(hidden,))
        return output.to_tuple() if return_dict is False else output


AutoConfig.register(ImageTowerConfig.model_type, ImageTowerConfig, exist_ok=True)
AutoModel.register(ImageTowerConfig, ImageTower, exist_ok=True)
