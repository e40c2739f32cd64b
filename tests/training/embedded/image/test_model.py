"""The untrained image model's projector: channels of one concept start alike."""

import torch

from lora_mcl.models.image_tower import ImageTowerConfig
from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.image.model import share_columns
from training.embedded.image.world.lexicon import load_lexicon


def test_channels_of_one_concept_share_a_column_and_no_others_do():
    config = ImageTowerConfig()
    before = torch.randn(3, config.hidden_size, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    share_columns(after, config)
    tags = config.classifier_config.hidden_size
    scores = tags + 1000
    best = scores + 80 + 2
    assert torch.equal(after[:, :tags], before[:, :tags]), "what is dense stays as it is"
    dog, cat = (load_lexicon()[name].imagenet for name in ("dog", "cat"))
    assert len(dog) > 100
    for name, classes in (("dog", dog), ("cat", cat)):
        index = COCO_CLASSES.index(name)
        columns = [*(tags + imagenet for imagenet in classes), scores + index, best + index]
        shared = after[:, columns]
        assert torch.equal(shared, shared[:, :1].expand_as(shared))
    assert not torch.equal(after[:, tags + dog[0]], after[:, tags + cat[0]])
    counts = slice(best + 80, None)
    assert torch.equal(after[:, counts], before[:, counts]), "how many there are is another matter"
    assert torch.equal(after[:, scores + 80 : best], before[:, scores + 80 : best]), "and so is a box's size"
