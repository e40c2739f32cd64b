"""Open the training stream over whatever features are cached."""

from __future__ import annotations

from collections.abc import Sequence

from lora_mcl.models.llava_next import ImageLanguageModel
from training.image.features import CACHE_DIR
from training.image.grammar import load_grammar
from training.image.lexicon import load_lexicon
from training.image.patches import PhotoSimulator
from training.image.visits import CachedPictures, CaptionVisits, EmptyPlaces


def open_stream(
    media: ImageLanguageModel,
    length: int,
    seed: int,
    *,
    simulated_share: float,
    photograph_share: float,
    mode_shares: Sequence[float] | None = None,
) -> CaptionVisits:
    """``length`` visits: composites, simulated photographs of ImageNet things, and real photographs.

    Raises FileNotFoundError if no features are cached.
    """
    tower = media.model.model.vision_tower
    return CaptionVisits(
        CachedPictures.open(list((CACHE_DIR / "train").glob("[0-9][0-9][0-9]"))),
        load_grammar(),
        length,
        seed,
        simulator=PhotoSimulator(tower),
        backgrounds=EmptyPlaces.open(list((CACHE_DIR / "empty").glob("[0-9][0-9][0-9]"))),
        classes={concept.id: concept.imagenet for concept in load_lexicon().values() if concept.imagenet},
        simulated_share=simulated_share,
        photographs=CachedPictures.open(list((CACHE_DIR / "photographs").glob("[0-9][0-9][0-9]"))),
        photograph_share=photograph_share,
        tower=tower.config,
        mode_shares=mode_shares,
    )
