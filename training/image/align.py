"""Teach the projector to speak in words before the language model learns to listen.

    python -m training.image.align

From random weights, a language model first learns to ignore the picture, and takes very long to start looking. So,
as LLaVA aligns its projector first, the projector is trained alone for a few minutes: the patches where a thing stands,
weighed as attention would weigh them, must resemble the *token embeddings of its name*, in both languages, and the
picture as a whole those of its place. No sentence and no annotator is involved. The result, in
``build/image/aligned/``, is where ``training.image.base`` starts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from lora_mcl.models.llava_next import ImageLanguageModel
from training.image.build_base import save_half
from training.image.features import UNTRAINED_DIR
from training.image.lexicon import load_lexicon
from training.image.places import load_places
from training.image.scene import SLOTS
from training.image.stream import open_stream
from training.image.visits import Visit
from training.learner import Learner, LearnerTrainer, run_parser, training_arguments, write_summary
from training.packages import BUILD_DIR

ALIGNED_DIR = BUILD_DIR / "image" / "aligned"
CHECKPOINTS_DIR = BUILD_DIR / "image" / "align-checkpoints"
FEATURE_DROPOUT = 0.4


def naming_matrix(names: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> Tensor:
    """[N, V]: row n averages the tokens of the names of thing n, each name counting the same."""
    matrix = torch.zeros(len(names), vocab_size)
    for row, synonyms in enumerate(names):
        for name in synonyms:
            tokens = tokenizer(" " + name, add_special_tokens=False)["input_ids"]
            matrix[row].scatter_add_(0, torch.tensor(tokens), torch.full((len(tokens),), 1 / len(tokens)))
    return matrix / matrix.sum(1, keepdim=True)


def slot_columns(side: int) -> Tensor:
    """[3, side] bool: the patch columns in which a thing of each slot may stand."""
    centres = (torch.arange(side) + 0.5) / side
    middles = torch.tensor([(index + 0.5) / len(SLOTS) for index in range(len(SLOTS))])
    return (centres[None] - middles[:, None]).abs() < 0.27


class AlignmentLearner(Learner):
    """Projector and token embeddings, trained to name what a patch shows.

    Args:
        model: the untrained model; its tower and its language model's layers stay as they are.
        things, places: naming matrices [N, V] and [M, V].
    """

    def __init__(self, model: nn.Module, things: Tensor, places: Tensor) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)
        model.model.multi_modal_projector.requires_grad_(True)
        model.get_input_embeddings().requires_grad_(True)
        self.register_buffer("things", things)
        self.register_buffer("places", places)
        self.scale = nn.Parameter(torch.tensor([10.0, 10.0]))
        # Says how much of a thing a patch shows; the language model's own attention takes its place later.
        self.presence = nn.Linear(model.get_input_embeddings().weight.shape[1], 1)

    def forward(self, features: Tensor, picture: Tensor, thing: Tensor, here: Tensor, place: Tensor) -> Tensor:
        """Loss of B pictures with T things in all.

        Args:
            features: [B, P, D] tower output of the overview.
            picture, thing: [T] the picture each thing is in, and its index.
            here: [T, P] bool: the patches where it may stand.
            place: [B] index of the place, -100 where unknown.
        """
        features = F.dropout(features, FEATURE_DROPOUT, self.training)
        patches = self.model.model.multi_modal_projector(features)
        words = self.model.get_input_embeddings().weight
        floor = torch.finfo(patches.dtype).min
        weights = self.presence(patches)[picture, :, 0].masked_fill(~here, floor).softmax(1)
        shown = torch.einsum("tp,tpd->td", weights, patches[picture])
        what = self.scale[0] * shown @ (self.things @ words).T
        where = self.scale[1] * patches.mean(1) @ (self.places @ words).T
        return F.cross_entropy(what, thing) + F.cross_entropy(where, place)


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
            "picture": torch.tensor([row for row, _ in found]),
            "thing": torch.tensor([self.things[thing.concept] for _, thing in found]),
            "here": columns[[SLOTS.index(thing.slot) for _, thing in found]],
            "place": torch.tensor([self.places.get(visit.scene.place, -100) for visit in visits]),
        }


class AlignmentTrainer(LearnerTrainer):
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = ImageLanguageModel.load(UNTRAINED_DIR)
    lexicon, places = load_lexicon(), load_places()
    vocab = media.model.get_input_embeddings().weight.shape[0]
    learner = AlignmentLearner(
        media.model,
        naming_matrix([(c.en, c.fr) for c in lexicon.values()], media.tokenizer, vocab),
        naming_matrix([(p.en_noun, p.fr_noun) for p in places.values()], media.tokenizer, vocab),
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
