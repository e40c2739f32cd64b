"""Projector alignment of the audio model: sounds resemble their names (``training.embedded.common.alignment``).

    python -m training.embedded.audio.align

The positions at which a sound is heard must resemble the token embeddings of its words, and the clip as a whole those
of its background. The result, in ``build/audio/aligned/``, is where ``training.embedded.audio.base`` starts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from lora_mcl.models.qwen2_audio import AudioLanguageModel
from training.embedded.audio.annotation.solo_clips import heard
from training.embedded.audio.build_base import save_half
from training.embedded.audio.features import UNTRAINED_DIR
from training.embedded.audio.visits import Visit, open_stream
from training.embedded.audio.world.lexicon import Clause, load_lexicon
from training.embedded.common.alignment import AlignmentLearner, AlignmentTrainer, naming_matrix
from training.embedded.common.packages import BUILD_DIR
from training.embedded.common.run import run_parser, training_arguments, write_summary

ALIGNED_DIR = BUILD_DIR / "audio" / "aligned"
CHECKPOINTS_DIR = BUILD_DIR / "audio" / "align-checkpoints"
FEATURE_DROPOUT = 0.3


def names(clause: Clause) -> tuple[str, str]:
    """What a sound is called in both languages, without articles: they tell nothing apart."""
    articles = ("a ", "an ", "the ", "un ", "une ", "des ", "de la ", "de l'", "du ", "le ", "la ", "l'")
    subjects = []
    for subject in (clause.en, clause.fr):
        article = next((article for article in articles if subject.startswith(article)), "")
        subjects.append(subject[len(article) :])
    return f"{subjects[0]} {clause.verb}", f"{subjects[1]} {clause.verbe}"


class AlignmentCollator:
    """From visits to what ``AlignmentLearner`` reads."""

    def __init__(self, events: Sequence[str], beds: Sequence[str]) -> None:
        self.events = {sound: index for index, sound in enumerate(events)}
        self.beds = {sound: index for index, sound in enumerate(beds)}

    def __call__(self, visits: Sequence[Visit]) -> dict[str, Tensor]:
        features = torch.stack([visit.features for visit in visits])
        medium, sounds, here = [], [], []
        for row, visit in enumerate(visits):
            for event, spans in zip(visit.item.scene.events, visit.item.spans, strict=True):
                medium.append(row)
                sounds.append(self.events[event.sound])
                here.append(heard(spans, features.shape[1]))
        return {
            "features": features,
            "medium": torch.tensor(medium, dtype=torch.long),
            "thing": torch.tensor(sounds, dtype=torch.long),
            "here": torch.stack(here) if here else torch.zeros(0, features.shape[1], dtype=torch.bool),
            "place": torch.tensor([self.beds.get(visit.item.scene.background, -100) for visit in visits]),
        }


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = AudioLanguageModel.load(UNTRAINED_DIR)
    lexicon = load_lexicon()
    vocab = media.model.get_input_embeddings().weight.shape[0]
    learner = AlignmentLearner(
        media.model,
        naming_matrix([names(lexicon.sounds[sound].clause) for sound in lexicon.events], media.tokenizer, vocab),
        naming_matrix([names(lexicon.sounds[sound].clause) for sound in lexicon.beds], media.tokenizer, vocab),
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
        train_dataset=open_stream(steps * batch_size, batch_size, seed + 2, short_share=0.5),
        data_collator=AlignmentCollator(lexicon.events, lexicon.beds),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    save_half(media.model, media.processor, ALIGNED_DIR)
    write_summary(ALIGNED_DIR / "training.json", trainer, time.perf_counter() - started)


def main() -> None:
    options = run_parser(__doc__, steps=1600, batch_size=96, learning_rate=1.5e-3).parse_args()
    train(**vars(options))


if __name__ == "__main__":
    main()
