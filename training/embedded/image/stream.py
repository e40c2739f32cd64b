"""Open the training stream over whatever features are cached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.image.captions.grammar import load_grammar
from training.embedded.image.features import CACHE_DIR
from training.embedded.image.render.patches import PhotoSimulator
from training.embedded.image.visits import CachedPictures, CaptionVisits, EmptyPlaces
from training.embedded.image.world.lexicon import load_lexicon


def adapters_stream(
    media: ImageLanguageModel, folder: Path, length: int, block: int, seed: int, mode_shares: Sequence[float] | None
) -> CaptionVisits:
    """What adapters see; ``block`` has no meaning here."""
    return open_stream(
        media,
        length,
        seed,
        simulated_share=0.1,
        photograph_share=0.08,
        mode_shares=mode_shares,
        folder=folder,
    )


def open_stream(
    media: ImageLanguageModel,
    length: int,
    seed: int,
    *,
    simulated_share: float,
    photograph_share: float,
    mode_shares: Sequence[float] | None = None,
    folder: Path | None = None,
) -> CaptionVisits:
    """``length`` visits: composites, simulated photographs of ImageNet things, and real photographs.

    Args:
        folder: of the cached features, by default where ``features`` puts them.

    Raises FileNotFoundError if no features are cached.
    """
    tower, folder = media.model.model.vision_tower, folder or CACHE_DIR
    return CaptionVisits(
        CachedPictures.open(list((folder / "train").glob("[0-9][0-9][0-9]"))),
        load_grammar(),
        length,
        seed,
        simulator=PhotoSimulator(tower),
        backgrounds=EmptyPlaces.open(list((folder / "empty").glob("[0-9][0-9][0-9]"))),
        classes={concept.id: concept.imagenet for concept in load_lexicon().values() if concept.imagenet},
        simulated_share=simulated_share,
        photographs=CachedPictures.open(list((folder / "photographs").glob("[0-9][0-9][0-9]"))),
        photograph_share=photograph_share,
        tower=tower.config,
        mode_shares=mode_shares,
    )
