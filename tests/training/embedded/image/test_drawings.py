"""The head that distinguishes drawings from photographs, and where it is kept."""

import pytest
import torch

from lora_mcl.models import ImageTower, ImageTowerConfig
from lora_mcl.models.llava_next import ImageLanguageModel
from tests.support.embedded import TINY, in_folder
from training.embedded import features
from training.embedded.build_base import build_base, sample_captions
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.weight_files import TOWER_FILE, split_weights
from training.embedded.image import drawings
from training.embedded.image.material.assets import PACK_DIR
from training.embedded.image.render.patches import as_tower_shows


def kind(count: int, drawn_cells: int, seed: int) -> torch.Tensor:
    """Shapes [N, 16, 5] of noise; in some cells of each the third channel is high."""
    shapes = torch.randn(count, 16, 5, generator=torch.Generator().manual_seed(seed)) + 7
    shapes[:, :drawn_cells, 2] += 8
    return shapes.half()


def test_a_few_cells_decide(monkeypatch):
    monkeypatch.setattr(drawings, "CELLS", 3)
    monkeypatch.setattr(drawings, "STEPS", 200)
    head = drawings.fit([kind(40, 3, 0), kind(30, 0, 1), kind(20, 0, 2)])
    assert head.weight[0].argmax() == 2

    def logits(shapes: torch.Tensor) -> torch.Tensor:
        return head(shapes.float()).squeeze(-1).topk(3, dim=1).values.mean(1)

    with torch.inference_mode():
        drawn, plain = logits(kind(50, 3, 3)), logits(kind(50, 0, 4))
        assert (drawn > 0).float().mean() > 0.8 and (plain < 0).all()
        # The threshold leaves the share of the training drawings below it.
        assert int((logits(kind(40, 3, 0)) < 0).sum()) == pytest.approx(drawings.TAKEN_FOR_PHOTOGRAPHS * 40, abs=1)


def test_cached_views_hold_what_the_detector_found(tmp_path):
    domain = in_folder("image", tmp_path)
    domain.work.mkdir(parents=True)
    build_base(
        domain, domain.untrained_dir, sample_captions(domain, 150, 0), TINY, tower=ImageTower(ImageTowerConfig())
    )
    features.write_shard(domain, "photographs", 0, 6)
    cached = CachedFeatures.open(domain, "photographs", domain.features_dir)
    views = drawings.cached_views(cached, ImageTowerConfig(), 6)
    count = sum(cached.features(index).shape[0] for index in range(len(cached)))
    assert views.shapes.shape == (count, 64, 624) and views.people.shape == (count,)
    assert ((views.people >= 0) & (views.people <= 1)).all()


@torch.inference_mode()
def test_cached_features_are_shown_as_the_finished_tower_shows_them():
    torch.manual_seed(0)
    plain = ImageTower(ImageTowerConfig()).eval()
    gated = ImageTower(ImageTowerConfig(drawing_cells=drawings.CELLS)).eval()
    gated.load_state_dict(plain.state_dict(), strict=False)
    pixels = torch.randn(4, 3, 256, 256).clamp(-0.99, 1)
    torch.nn.init.normal_(gated.drawing_head.weight)
    gated.drawing_head.bias.zero_()
    logits = gated.drawing_logits(plain.classifier.cells(pixels)[0]).sort().values
    gated.drawing_head.bias -= logits[1:3].mean()  # half of the views hold drawings
    whole, shown = (tower(pixels).last_hidden_state[:, 1:] for tower in (plain, gated))
    torch.testing.assert_close(as_tower_shows(gated, whole), shown)
    assert int(shown[..., : plain.config.classifier_config.hidden_size].flatten(1).any(1).sum()) == 2
    assert torch.equal(as_tower_shows(plain, whole), whole), "without the head all views are shown whole"


def test_the_base_has_the_head_and_the_towers_file_does_not(tmp_path, monkeypatch):
    domain = in_folder("image", tmp_path)
    domain.work.mkdir(parents=True)
    tower = ImageTower(ImageTowerConfig())
    for folder in (domain.untrained_dir, domain.base_dir):
        build_base(domain, folder, sample_captions(domain, 150, 0), TINY, tower=tower)
    for split in ("train", "photographs", "empty", "test"):
        features.write_shard(domain, split, 0, 4)
    monkeypatch.setattr(drawings, "STEPS", 3)
    photographs = [one for one in drawings.test_photographs(PACK_DIR) if one[0].source.id in ("chelsea", "coffee")]
    monkeypatch.setattr(drawings, "test_photographs", lambda root: photographs)
    found = drawings.add_head(domain, PACK_DIR)
    assert found["views_of_test_photographs"] == 4
    assert all(0 <= share <= 1 for part in ("training", "test") for share in found[part].values())
    loaded = ImageLanguageModel.load(domain.base_dir).model.model.vision_tower
    assert loaded.config.person_score == found["person_score"] >= 0.1
    assert loaded.config.drawing_cells == drawings.CELLS and loaded.drawing_head.weight.shape == (1, 624)
    # What it is trained on is cached of a tower without it, so that it can be trained again.
    assert drawings.add_head(domain, PACK_DIR) == found
    split_weights(domain.base_dir, f"{domain.architecture.tower}.", domain.architecture.trained_tower)
    assert "drawing_head" not in (domain.base_dir / TOWER_FILE).read_bytes()[:200_000].decode("latin-1")
    again = ImageLanguageModel.load(domain.base_dir).model.model.vision_tower
    assert torch.equal(again.drawing_head.weight, loaded.drawing_head.weight)
