"""The audio model's part of the stages: clips mixed from recordings, instruments and voices, and Whisper's encoder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor, nn
from transformers import Qwen2AudioEncoder

from lora_mcl.models.qwen2_audio import AudioLanguageModel, embed_prompt
from training.embedded.audio.annotation.precision import PRECISION_CSV
from training.embedded.audio.annotation.solo_clips import positions_in
from training.embedded.audio.annotation.timbre import TIMBRES, Timbre
from training.embedded.audio.captions.grammar import MODES, caption, load_grammar
from training.embedded.audio.captions.scoring import judge
from training.embedded.audio.card import COLUMNS, LABELS, NEVER_NAMED, passages
from training.embedded.audio.dataset import AudioDataset, ClipItem
from training.embedded.audio.encode import encode_clips
from training.embedded.audio.evaluation import split_measures
from training.embedded.audio.examples import write_examples
from training.embedded.audio.material.assets import Material, load_material
from training.embedded.audio.model import AUDIO as AUDIO_TOKEN
from training.embedded.audio.model import AUDIO_BOS, AUDIO_EOS, build_model
from training.embedded.audio.probe import probe
from training.embedded.audio.render.clips import SEEDS, draw, material_split
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.whisper import log_mel_extractor, pretrained_encoder, standardise
from training.embedded.audio.world.lexicon import Clause, load_lexicon
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Event, Precision, Scene
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

SHORT_SHARE: dict[Stage, float] = {"align": 0.5, "base": 0.75, "base-2": 0.75, "adapters": 0.75}
"""Of each stage's batches, the share made of five-second clips."""
AUGMENTED_SHARE: dict[Stage, float] = {"align": 0.0, "base": 0.0, "base-2": 0.6, "adapters": 0.5}
"""Of each stage's batches, the share made of augmented clips."""
STANDARDISED_ON = 100
"""Number of training clips whose features are standardised to mean 0 and variance 1."""


def any_scene(rng: random.Random) -> Scene:
    """A scene of any sounds, whether or not there are recordings of them, at any precision."""
    lexicon = load_lexicon()
    scene = sample_scene(rng, lexicon, lexicon.events, lexicon.backgrounds)
    events = tuple(
        replace(
            event,
            tempo=rng.choice(("slow", "fast")) if lexicon.sounds[event.sound].kind == "music" else None,
            precision=rng.choice(get_args(Precision)),
            timbre=rng.choice(TIMBRES),
        )
        for event in scene.events
    )
    return replace(scene, events=events)


def tower() -> Qwen2AudioEncoder:
    """The pretrained encoder, its output standardised on training clips."""
    encoder, material = pretrained_encoder(), load_material("train")
    clips = [draw("train", number, material)[1].samples for number in range(STANDARDISED_ON)]
    standardise(encoder, list(log_mel_extractor()(clips, sampling_rate=RATE, return_tensors="pt")["input_features"]))
    return encoder


def render(split: str, number: int, material: Material) -> tuple[ClipItem, np.ndarray]:
    """Item and samples of clip ``number`` of a split."""
    scene, clip = draw(split, number, material)
    return ClipItem(scene, len(clip.samples), spans=clip.spans), clip.samples


def extra_arrays(split: str, model: AudioLanguageModel, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """None: features are all that is cached of clips."""
    return {}


def read_item(raw: dict[str, Any]) -> ClipItem:
    scene = raw["scene"]
    events = tuple(
        Event(**event | {"timbre": None if event["timbre"] is None else Timbre(**event["timbre"])})
        for event in scene["events"]
    )
    spans = tuple(tuple((start, end) for start, end in some) for some in raw["spans"])
    return ClipItem(Scene(scene["background"], events, scene["layout"]), raw["size"], tuple(raw["rows"]), spans)


def embed_batch(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    return embed_prompt(model, batch["input_ids"], [views[0] for views in batch["features"]])


def open_dataset(
    model: AudioLanguageModel,
    folder: Path,
    stage: Stage,
    length: int,
    batch_size: int,
    seed: int,
    mode_shares: Sequence[float] | None,
) -> AudioDataset:
    """The samples of a stage (``Training.open_dataset``); cached clips serve any ``model``.

    In the base's training every annotator captions every clip, which is encoded once for the three of them: encoding
    is most of the work.

    Raises:
        FileNotFoundError: no features are cached.
    """
    short, augmented = SHORT_SHARE[stage], AUGMENTED_SHARE[stage]
    splits = {
        f"{split}{suffix}": of_split * of_length
        for split, of_split in (("train", 1 - augmented), ("augmented", augmented))
        for suffix, of_length in (("", 1 - short), ("-short", short))
    }
    sources = [(CachedFeatures.open(AUDIO, split, folder), share) for split, share in splits.items() if share]
    all_modes = stage in ("base", "base-2")
    return AudioDataset(sources, load_grammar(), length, batch_size, seed, mode_shares, all_modes=all_modes)


def clause_names(clause: Clause) -> tuple[str, str]:
    """A sound's name in both languages, without articles, which distinguish no sounds."""
    articles = ("a ", "an ", "the ", "un ", "une ", "des ", "de la ", "de l'", "du ", "le ", "la ", "l'")
    subjects = []
    for subject in (clause.en, clause.fr):
        article = next((article for article in articles if subject.startswith(article)), "")
        subjects.append(subject[len(article) :])
    return f"{subjects[0]} {clause.verb}", f"{subjects[1]} {clause.verbe}"


def alignment_names() -> tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]]:
    lexicon = load_lexicon()
    events, backgrounds = (
        {sound: clause_names(lexicon.sounds[sound].clause) for sound in some}
        for some in (lexicon.events, lexicon.backgrounds)
    )
    return events, backgrounds


def locate(item: Item, positions: int) -> tuple[list[tuple[str, Tensor]], str | None]:
    """Each event of a clip with the positions at which it occurs ([P] bool), and the clip's background."""
    assert isinstance(item, ClipItem)
    events = zip(item.scene.events, item.spans, strict=True)
    return [(event.sound, positions_in(spans, positions)) for event, spans in events], item.scene.background


def no_measures(*_: Any) -> dict[str, Any]:
    """Clips are measured on scenes alone."""
    return {}


def training_facts() -> dict[str, Any]:
    lexicon = load_lexicon()
    return {"sounds": len(lexicon.events), "backgrounds": len(lexicon.backgrounds)}


AUDIO = Domain(
    name="audio",
    architecture=Architecture(
        model_class=AudioLanguageModel,
        tower="audio_tower",
        pretrained_tower=tower,
        build_model=build_model,
        language_model=LanguageModelSize(vocab_size=2048),
        special_tokens={"audio_token": AUDIO_TOKEN, "audio_bos_token": AUDIO_BOS, "audio_eos_token": AUDIO_EOS},
        tokenizer_scenes=12_000,
    ),
    annotators=Annotators(
        modes=MODES,
        labels=LABELS,
        sample_scene=any_scene,
        caption=caption,
        judge=judge,
        annotation_files=(PRECISION_CSV,),
    ),
    rendering=Rendering(
        splits=tuple(SEEDS),
        exact_splits=("test", "seen"),
        load_material=load_material,
        material_split=material_split,
        render=render,
        encode=encode_clips,
        extra_arrays=extra_arrays,
        read_item=read_item,
        as_tower_shows=lambda model, features: features,
    ),
    training=Training(
        embed_prompt=embed_batch,
        open_dataset=open_dataset,
        alignment_names=alignment_names,
        locate=locate,
        align=StageSettings(steps=1600, batch_size=96, learning_rate=1.5e-3, feature_dropout=0.3),
        base=StageSettings(steps=2300, batch_size=32, learning_rate=1.5e-3, feature_dropout=0.3),
        further_rounds=(StageSettings(steps=1000, batch_size=32, learning_rate=1e-3, feature_dropout=0.3),),
    ),
    reporting=Reporting(
        split_measures=split_measures,
        other_measures=no_measures,
        score_columns=COLUMNS,
        never_named=NEVER_NAMED,
        passages=passages,
        training_facts=training_facts,
        probe=probe,
        write_examples=write_examples,
    ),
    # Greedy captions would state one clause twice ("then a dog barks, then a dog barks"), which no annotator does.
    no_repeat_ngram_size=3,
)
