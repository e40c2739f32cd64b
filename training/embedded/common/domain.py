"""What differs between the image and the audio model: settings and functions for the stages of ``training/embedded``.

Each stage is one program for both: ``python -m training.embedded.align image``. It takes a ``Domain``, of which there
are two: ``training.embedded.image.domain.IMAGE`` and ``training.embedded.audio.domain.AUDIO``.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import ColumnRequest
from lora_mcl.models.base import MediaLanguageModel
from training.embedded.common.reports import ScoredCaption
from training.paths import ASSETS, BUILD

PROMPT = "Caption:"
"""The instruction of the embedded models; their bundles carry it."""
NAMES = ("image", "audio")

Stage = Literal["align", "base", "base-2", "adapters"]


@dataclass(frozen=True)
class StageSettings:
    """A training stage's settings, chosen for two CPU cores.

    Attributes:
        feature_dropout: share of the tower's features that is hidden in each step.
    """

    steps: int
    batch_size: int
    learning_rate: float
    feature_dropout: float


@dataclass(frozen=True)
class LanguageModelSize:
    """Size of the language model; the defaults give about 4 M parameters. ``vocab_size`` is an upper bound."""

    vocab_size: int
    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    intermediate_size: int = 688
    max_positions: int = 512

    def config(self, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
        """The options of a ``LlamaConfig`` or ``Qwen2Config`` of this size."""
        return {
            "vocab_size": len(tokenizer),
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": self.max_positions,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }


@dataclass(frozen=True)
class Item:
    """One image or clip whose features are cached.

    Attributes:
        scene: what it holds.
        size: of an image (height, width) in pixels, of a clip its number of samples: what the length of a prompt
            depends on.
        rows: where its views' features are in the shard's array; an image has one or two views, a clip one.
    """

    scene: Any
    size: Any
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """The untrained model.

    Attributes:
        model_class: loads the model, tower included.
        tower: name of the tower in ``model.model``.
        pretrained_tower: fetches the tower.
        build_model: from tokenizer, size and tower, the untrained model and its processor.
        language_model: its size.
        special_tokens: of the tokenizer, by the attribute that holds each (``image_token``).
        tokenizer_scenes: number of scenes whose captions the tokenizer is trained on.
        trained_tower: what the names of those weights of the tower start with that are trained here; None if none are.
    """

    model_class: type[MediaLanguageModel]
    tower: str
    pretrained_tower: Callable[[], PreTrainedModel]
    build_model: Callable[
        [PreTrainedTokenizerFast, LanguageModelSize, PreTrainedModel], tuple[PreTrainedModel, ProcessorMixin]
    ]
    language_model: LanguageModelSize
    special_tokens: Mapping[str, str]
    tokenizer_scenes: int
    trained_tower: str | None = None


@dataclass(frozen=True)
class Annotators:
    """The annotators, whose captions the hypotheses are to learn, and the scores of captions.

    S stands for the modality's scene type.

    Attributes:
        modes: the annotators, whose captions the hypotheses are to learn.
        labels: of each mode, the label and the description of the hypothesis that learns it.
        sample_scene: a random S of anything that can be named.
        caption: of an S, by a mode's annotator.
        judge: parses and scores a caption of an S.
        annotation_files: tables that captions depend on; cached scenes made with others are refused.
    """

    modes: tuple[str, ...]
    labels: Mapping[str, tuple[str, str]]
    sample_scene: Callable[[random.Random], Any]
    caption: Callable[[Any, str, random.Random], str]
    judge: Callable[[Any, str], ScoredCaption]
    annotation_files: tuple[Path, ...]


@dataclass(frozen=True)
class Rendering:
    """From scene number n of a split to the tower's cached features.

    S stands for the modality's scene type, M for its input (an image, or a clip's samples).

    Attributes:
        splits: of the cached features.
        exact_splits: those computed in float32, as the app computes; training tolerates bfloat16, which is faster.
        load_material: what scenes of a split (train or test) are rendered from.
        material_split: which of the two a split's scenes are rendered from.
        render: item and M number n of a split: always the same.
        encode: the tower's output of each M, [V, P, D] float16: V views, P positions, D channels. In float32 if
            ``exact``, else in bfloat16.
        extra_arrays: what else a shard of a split holds of its M, by file name.
        read_item: an item of a shard's ``items.json``.
        as_tower_shows: cached features [V, P, D] as the finished tower hands them on: (model, features).
    """

    splits: tuple[str, ...]
    exact_splits: tuple[str, ...]
    load_material: Callable[[Any], Any]
    material_split: Callable[[str], str]
    render: Callable[[str, int, Any], tuple[Item, Any]]
    encode: Callable[[Any, Sequence[Any], bool], Sequence[np.ndarray]]
    extra_arrays: Callable[[str, Any, Sequence[Any]], dict[str, np.ndarray]]
    read_item: Callable[[dict[str, Any]], Item]
    as_tower_shows: Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class Training:
    """What the projector's alignment and the base are trained on.

    Attributes:
        embed_prompt: a batch's prompts as embeddings [B, T, E], its cached features projected among them.
        open_dataset: the training samples of a stage: (model, folder of the features, stage, length, batch size,
            seed, how often each annotator captions).
        alignment_names: the names of things, and of places, by id.
        locate: of an item's P positions, those where each of its things is ([P] bool); and its place.
        align, base: settings of the two stages.
        further_rounds: settings of the base's second and later rounds, each on other shares of the same data.
    """

    embed_prompt: Callable[[nn.Module, dict[str, Any]], Tensor]
    open_dataset: Callable[..., Any]
    alignment_names: Callable[[], tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]]]
    locate: Callable[[Item, int], tuple[list[tuple[str, Tensor]], str | None]]
    align: StageSettings
    base: StageSettings
    further_rounds: tuple[StageSettings, ...] = ()

    @property
    def base_rounds(self) -> tuple[StageSettings, ...]:
        """Of all rounds of the base, the first one's settings first."""
        return (self.base, *self.further_rounds)


@dataclass(frozen=True)
class Reporting:
    """Measures, cards and the page's examples.

    Attributes:
        split_measures: measures of this modality alone on one split: (split's items, captioned S, captions by column).
        other_measures: measures on anything but scenes: (model, adapters, columns to decode).
        score_columns: a score's fields in the cards' tables, with their headings.
        never_named: (mode, field) pairs that an annotator never mentions.
        passages: further passages of the cards: (results, probe's results).
        training_facts: what the bundle records of the data.
        probe: the probe's results, by so many processes.
        write_examples: writes the page's examples into a folder and returns their entries.
    """

    split_measures: Callable[[Sequence[Item], Sequence[Any], Sequence[Mapping[str, list[str]]]], dict[str, Any]]
    other_measures: Callable[[Any, AdapterStack, Sequence[ColumnRequest]], dict[str, Any]]
    score_columns: Mapping[str, str]
    never_named: frozenset[tuple[str, str]]
    passages: Callable[[dict[str, Any], dict[str, Any]], dict[str, str]]
    training_facts: Callable[[], dict[str, Any]]
    probe: Callable[[int], dict[str, Any]]
    write_examples: Callable[[Path], list[dict[str, str]]]


@dataclass(frozen=True)
class Domain:
    """All that the common stages need to know of one modality.

    Attributes:
        name: also of its folders under ``build`` and ``assets``.
        no_repeat_ngram_size: of every column, in the evaluation and in the bundle.
        build, assets: the folders that everything is written to.
    """

    name: str
    architecture: Architecture
    annotators: Annotators
    rendering: Rendering
    training: Training
    reporting: Reporting
    no_repeat_ngram_size: int = 0
    build: Path = BUILD
    assets: Path = ASSETS

    @property
    def work(self) -> Path:
        """The folder of everything that is built and not committed."""
        return self.build / self.name

    @property
    def features_dir(self) -> Path:
        return self.work / "features"

    @property
    def untrained_dir(self) -> Path:
        return self.work / "untrained"

    @property
    def aligned_dir(self) -> Path:
        return self.work / "aligned"

    def base_round_dir(self, number: int) -> Path:
        """The base after so many rounds (1, 2, ...)."""
        return self.work / base_round_name(number)

    @property
    def base_dir(self) -> Path:
        """The base after all its rounds, which adapters are trained on."""
        return self.base_round_dir(len(self.training.base_rounds))

    @property
    def adapters_dir(self) -> Path:
        return self.work / "adapters"

    @property
    def results_file(self) -> Path:
        return self.assets / "results" / f"{self.name}.json"

    @property
    def probe_file(self) -> Path:
        return self.assets / "results" / f"{self.name}_probe.json"

    @property
    def model_dir(self) -> Path:
        return self.assets / "models" / self.name

    @property
    def bundle_dir(self) -> Path:
        return self.assets / "bundles" / self.name

    @property
    def examples_dir(self) -> Path:
        return self.assets / "examples" / self.name


def base_round_name(number: int) -> Stage:
    """Name of a round of the base, as a stage and as a folder: base, base-2."""
    names: tuple[Stage, ...] = ("base", "base-2")
    return names[number - 1]


def load_domain(name: str) -> Domain:
    """The domain of that name. Only its own material and packages are imported."""
    if name == "image":
        from training.embedded.image.domain import IMAGE

        return IMAGE
    if name == "audio":
        from training.embedded.audio.domain import AUDIO

        return AUDIO
    raise ValueError(f"there is no domain {name!r}; choose one of {', '.join(NAMES)}")


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """A command line whose first argument is the domain's name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=NAMES, help="which of the two models")
    return parser


def sample_captions(domain: Domain, scenes: int, seed: int) -> Iterator[str]:
    """Yield the prompt and every annotator's caption of ``scenes`` random scenes."""
    rng = random.Random(seed)
    for _ in range(scenes):
        scene = domain.annotators.sample_scene(rng)
        yield PROMPT
        yield from (domain.annotators.caption(scene, mode, rng) for mode in domain.annotators.modes)


def reference_caption(domain: Domain, item: Item, index: int, mode: str) -> str:
    """The reference caption of a split's item number ``index`` by one annotator: always the same."""
    return domain.annotators.caption(item.scene, mode, random.Random(f"test/{index}/{mode}"))
