"""Projector alignment of the image model: patches resemble names (``training.embedded.common.alignment``).

    python -m training.embedded.image.align

The patches where a thing stands must resemble the token embeddings of its names, and the picture as a whole those of
its place. The result, in ``build/image/aligned/``, is where ``training.embedded.image.base`` starts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common.alignment import AlignmentLearner, AlignmentTrainer, naming_matrix
from training.embedded.common.packages import BUILD_DIR
from training.embedded.common.run import run_parser, training_arguments, write_summary
from training.embedded.image.build_base import save_half
from training.embedded.image.features import UNTRAINED_DIR
from training.embedded.image.stream import open_stream
from training.embedded.image.visits import Visit
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.scene import SLOTS

ALIGNED_DIR = BUILD_DIR / "image" / "aligned"
CHECKPOINTS_DIR = BUILD_DIR / "image" / "align-checkpoints"
FEATURE_DROPOUT = 0.4


def slot_columns(side: int) -> Tensor:
    """[3, side] bool: the patch columns in which a thing of each slot may stand."""
    centres = (torch.arange(side) + 0.5) / side
    middles = torch.tensor([(index + 0.5) / len(SLOTS) for index in range(len(SLOTS))])
    return (centres[None] - middles[:, None]).abs() < 0.27


class AlignmentCollator:
    """From visits to what ``AlignmentLearner`` reads."""

    def __init__(self, things: Sequence[str], places: Sequence[str]) -> None:
        self.things = {concept: index for index, concept in enumerate(things)}
        self.places = {place: index for index, place in enumerate(places)}

    def __call__(self, visits: Sequence[Visit]) -> dict[str, Tensor]:
        features = torch.stack([visit.patches[0] for visit in visits])
        side = round(features.shape[1] ** 0.5)
        columns = slot_columns(side)[:, None, :].expand(-1, side, -1).reshape(len(SLOTS), -1)
        found = [(row, thing) for row, visit in enumerate(visits) for thing in visit.scene.things]
        return {
            "features": features,
            "medium": torch.tensor([row for row, _ in found]),
            "thing": torch.tensor([self.things[thing.concept] for _, thing in found]),
            "here": columns[[SLOTS.index(thing.slot) for _, thing in found]],
            "place": torch.tensor([self.places.get(visit.scene.place, -100) for visit in visits]),
        }


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = ImageLanguageModel.load(UNTRAINED_DIR)
    lexicon, places = load_lexicon(), load_places()
    vocab = media.model.get_input_embeddings().weight.shape[0]
    learner = AlignmentLearner(
        media.model,
        naming_matrix([(c.en, c.fr) for c in lexicon.values()], media.tokenizer, vocab),
        naming_matrix([(p.en_noun, p.fr_noun) for p in places.values()], media.tokenizer, vocab),
        FEATURE_DROPOUT,
    )
    trainer = AlignmentTrainer(
        learner,
        training_arguments(
            CHECKPOINTS_DIR,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=0.05,
            warmup=0.05,
            seed=seed,
        ),
        train_dataset=open_stream(media, steps * batch_size, seed + 2, simulated_share=0.1, photograph_share=0.03),
        data_collator=AlignmentCollator(list(lexicon), list(places)),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    save_half(media.model, media.processor, ALIGNED_DIR)
    write_summary(ALIGNED_DIR / "training.json", trainer, time.perf_counter() - started)


def main() -> None:
    options = run_parser(__doc__, steps=1600, batch_size=128, learning_rate=1.5e-3).parse_args()
    train(**vars(options))


if __name__ == "__main__":
    main()
