"""The image model's part of the stages: pictures composed of drawings on photographs, seen by EfficientNet-Lite0."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lora_mcl.models.image_tower import ImageTower, ImageTowerConfig
from lora_mcl.models.llava_next import ImageLanguageModel, embed_prompt
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import (
    Annotators,
    Architecture,
    Domain,
    Item,
    LanguageModelSize,
    Rendering,
    Reporting,
    Stage,
    StageSettings,
    Training,
)
from training.embedded.common.shards import shard_folders
from training.embedded.image.captions.grammar import MODES, caption, load_grammar
from training.embedded.image.captions.scoring import judge
from training.embedded.image.card import COLUMNS, LABELS, NEVER_NAMED, passages
from training.embedded.image.dataset import EmptyPlaces, ImageDataset
from training.embedded.image.detector import pretrained_detector
from training.embedded.image.encode import encode_pictures, head_features
from training.embedded.image.evaluation import photograph_measures, split_measures
from training.embedded.image.examples import write_examples
from training.embedded.image.material.assets import Material, load_material
from training.embedded.image.model import IMAGE as IMAGE_TOKEN
from training.embedded.image.model import build_model
from training.embedded.image.probe import probe
from training.embedded.image.render.patches import as_tower_shows
from training.embedded.image.render.photo_simulator import PhotoSimulator
from training.embedded.image.render.pictures import SEEDS, draw, draw_photograph, material_split
from training.embedded.image.render.simulated_content import (
    CLEAR,
    SELDOM_PLACED,
    UNCLEAR,
    ContentSampler,
    Simulation,
)
from training.embedded.image.tower import pretrained_tower
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.sampler import sample_scene
from training.embedded.image.world.scene import SLOTS, Scene, Thing

SHARES: dict[Stage, tuple[float, float, Simulation]] = {
    "align": (0.25, 0.05, CLEAR),
    "base": (0.28, 0.06, UNCLEAR),
    "adapters": (0.4, 0.12, SELDOM_PLACED),
}
"""Of each stage's samples, the shares of simulated and of real photographs, and how the former are drawn."""


def any_scene(rng: random.Random) -> Scene:
    """A scene of any concepts and places, whether or not there are pictures of them."""
    return sample_scene(rng, list(load_lexicon()), list(load_places()))


def tower() -> ImageTower:
    """The two pretrained parts in one tower."""
    tower = ImageTower(ImageTowerConfig())
    tower.classifier.load_state_dict(pretrained_tower(tower.config.classifier_config).state_dict())
    tower.detector.load_state_dict(pretrained_detector().state_dict())
    return tower.eval()


def render(split: str, number: int, material: Material) -> tuple[Item, Image.Image]:
    """Item and picture ``number`` of a split."""
    scene, image = draw_photograph(number) if split == "photographs" else draw(split, number, material)
    return Item(scene, (image.height, image.width)), image


def extra_arrays(split: str, model: ImageLanguageModel, images: Sequence[Image.Image]) -> dict[str, np.ndarray]:
    """Of empty places, the mean head features [N, C] that simulated photographs start from."""
    return {"heads": np.stack([head_features(model, image) for image in images])} if split == "empty" else {}


def read_item(raw: dict[str, Any]) -> Item:
    things = tuple(Thing(**thing) for thing in raw["scene"]["things"])
    return Item(Scene(raw["scene"]["place"], things), tuple(raw["size"]), tuple(raw["rows"]))


def embed_batch(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    return embed_prompt(model, batch["input_ids"], batch["features"], batch["sizes"])


def open_dataset(
    model: ImageLanguageModel,
    folder: Path,
    stage: Stage,
    length: int,
    batch_size: int,
    seed: int,
    mode_shares: Sequence[float] | None,
) -> ImageDataset:
    """The samples of a stage (``Training.open_dataset``); the batch size has no influence.

    Raises:
        FileNotFoundError: no features are cached.
    """
    tower = model.model.model.vision_tower
    simulated_share, photograph_share, simulation = SHARES[stage]
    composed, empty, photographs = (
        CachedFeatures.open(IMAGE, split, folder) for split in ("train", "empty", "photographs")
    )
    heads = tuple(np.load(shard / "heads.npy", mmap_mode="r") for shard in shard_folders(folder, "empty"))
    return ImageDataset(
        composed,
        load_grammar(),
        length,
        seed,
        simulator=PhotoSimulator(tower),
        backgrounds=EmptyPlaces(empty, heads),
        contents=ContentSampler(load_lexicon(), simulation),
        simulated_share=simulated_share,
        photographs=photographs,
        photograph_share=photograph_share,
        tower=tower.config,
        mode_shares=mode_shares,
        all_modes=stage not in ("align", "adapters"),
    )


def alignment_names() -> tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]]:
    things = {concept.id: (concept.en, concept.fr) for concept in load_lexicon().values()}
    return things, {place.id: (place.en_noun, place.fr_noun) for place in load_places().values()}


def slot_columns(side: int) -> Tensor:
    """[3, side] bool: the patch columns in which a thing of each slot may stand."""
    centres = (torch.arange(side) + 0.5) / side
    middles = torch.tensor([(index + 0.5) / len(SLOTS) for index in range(len(SLOTS))])
    return (centres[None] - middles[:, None]).abs() < 0.27


@functools.cache
def slot_positions(positions: int) -> Tensor:
    """[3, P] bool: of a square grid of P patches, those where a thing of each slot may stand."""
    side = round(positions**0.5)
    return slot_columns(side)[:, None, :].expand(-1, side, -1).reshape(len(SLOTS), positions)


def locate(item: Item, positions: int) -> tuple[list[tuple[str, Tensor]], str | None]:
    """Each thing of a picture with the patches where it may be ([P] bool), and the picture's place."""
    where = slot_positions(positions)
    return [(thing.concept, where[SLOTS.index(thing.slot)]) for thing in item.scene.things], item.scene.place


def training_facts() -> dict[str, Any]:
    return {
        "concepts": sum(concept.role == "sprite" for concept in load_lexicon().values()),
        "places": len(load_places()),
    }


IMAGE = Domain(
    name="image",
    architecture=Architecture(
        model_class=ImageLanguageModel,
        tower="vision_tower",
        pretrained_tower=tower,
        build_model=build_model,
        language_model=LanguageModelSize(vocab_size=3072),
        special_tokens={"image_token": IMAGE_TOKEN},
        tokenizer_scenes=20_000,
        trained_tower="vision_tower.drawing_head.",
    ),
    annotators=Annotators(
        modes=MODES,
        labels=LABELS,
        sample_scene=any_scene,
        caption=caption,
        judge=judge,
        annotation_files=(),
    ),
    rendering=Rendering(
        splits=tuple(SEEDS),
        exact_splits=tuple(SEEDS),
        load_material=load_material,
        material_split=material_split,
        render=render,
        encode=encode_pictures,
        extra_arrays=extra_arrays,
        read_item=read_item,
        as_tower_shows=lambda model, features: as_tower_shows(model.model.model.vision_tower, features),
    ),
    training=Training(
        embed_prompt=embed_batch,
        open_dataset=open_dataset,
        alignment_names=alignment_names,
        locate=locate,
        align=StageSettings(steps=1200, batch_size=128, learning_rate=1.5e-3, feature_dropout=0.4),
        base=StageSettings(steps=6500, batch_size=32, learning_rate=1.5e-3, feature_dropout=0.3),
    ),
    reporting=Reporting(
        split_measures=split_measures,
        other_measures=photograph_measures,
        score_columns=COLUMNS,
        never_named=NEVER_NAMED,
        passages=passages,
        training_facts=training_facts,
        probe=probe,
        write_examples=write_examples,
    ),
)
