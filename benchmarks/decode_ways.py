"""The three ways to fill the page that ``benchmarks.decode`` compares, and the two models it compares them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE, load_bundle
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Engine, Greedy, LogitsOptions, Prompt
from lora_mcl.models import EncodedPrompt, ImageLanguageModel
from training.paths import ASSETS

NUM_BEAMS = 3
DIVERSITY_PENALTY = 0.8
BASELINE = "baseline"
SHARPNESS = 4.0
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
EXAMPLE = ASSETS / "examples" / "image" / "northern-lights.jpg"


@dataclass(frozen=True)
class Subject:
    """A model, its prompt and its adapters.

    Attributes:
        model: the base, without adapters.
        inputs: what ``generate`` takes for the prompt; one row.
        encode: makes the embedded prompt for the engine, the media tower's work included.
        folders: PEFT folders by name, the K hypotheses first, the baseline last.
        eos_token_ids, pad_token_id, forbidden_token_ids: the model's.
        max_new_tokens: where captions are cut.
    """

    model: PreTrainedModel
    inputs: dict[str, Tensor]
    encode: Callable[[], Prompt]
    folders: dict[str, Path]
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    forbidden_token_ids: tuple[int, ...]
    max_new_tokens: int

    @property
    def hypotheses(self) -> list[str]:
        """Names of the hypotheses."""
        return [name for name in self.folders if name != BASELINE]


@dataclass(frozen=True)
class LlamaShape:
    """A Llama of about 100 M random weights, and the prompt it reads."""

    hidden_size: int = 768
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    vocab_size: int = 16_384
    prompt_tokens: int = 600
    max_new_tokens: int = 48
    rank: int = 8
    first_adapted_layer: int = 0

    def subject(self, hypotheses: int, folder: Path) -> Subject:
        """The model with random adapters, written to ``folder``. Nothing ends a caption but its length."""
        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            vocab_size=self.vocab_size,
            max_position_embeddings=self.prompt_tokens + self.max_new_tokens,
            bos_token_id=None,
            eos_token_id=None,
        )
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
        # So sharp that no two continuations are as good to within rounding: the ways are to agree on every token.
        model.lm_head.weight.mul_(SHARPNESS)
        names = [*(f"hypothesis-{k}" for k in range(hypotheses)), BASELINE]
        adapted = tuple(range(self.first_adapted_layer, self.num_hidden_layers))
        specs = [
            AdapterSpec(name, self.rank, 2.0 * self.rank, target_modules=LINEARS, layers_to_transform=adapted)
            for name in names
        ]
        stack = AdapterStack.attach(model, specs)
        with torch.no_grad():
            for layer in stack.layers.values():
                layer.lora_B.normal_(std=0.1)
        for name in names:
            stack.save(name, folder / name)
        stack.detach()
        model.requires_grad_(False)
        ids = torch.randint(1, self.vocab_size, (1, self.prompt_tokens))
        mask = torch.ones_like(ids)

        def encode() -> EncodedPrompt:
            return EncodedPrompt(model.get_input_embeddings()(ids), mask)

        folders = {name: folder / name for name in names}
        return Subject(
            model, {"input_ids": ids, "attention_mask": mask}, encode, folders, (), 0, (), self.max_new_tokens
        )


def embedded_subject(hypotheses: int, bundle_folder: Path = EMBEDDED_BUNDLE, image: Path = EXAMPLE) -> Subject:
    """The embedded image model on an example picture. Its trained hypotheses are repeated where K is larger."""
    bundle = load_bundle(bundle_folder)
    language_model = ImageLanguageModel.load(bundle.base_location())
    picture = Image.open(image).convert("RGB")
    own = bundle.adapter_folders()
    trained = [folder for name, folder in own.items() if name != BASELINE]
    folders = {f"hypothesis-{k}": trained[k % len(trained)] for k in range(hypotheses)}
    return Subject(
        language_model.model,
        dict(language_model.inputs(picture, bundle.prompt)),
        lambda: language_model.encode(picture, bundle.prompt),
        {**folders, BASELINE: own[BASELINE]},
        language_model.eos_token_ids,
        language_model.pad_token_id,
        language_model.forbidden_token_ids,
        bundle.generation.max_new_tokens,
    )


@dataclass(frozen=True)
class Answer:
    """What a way answered: seconds until every column had a token and until the end; tokens by column."""

    first: float
    total: float
    columns: dict[str, list[list[int]]]


class Stamp(LogitsProcessor):
    """Notes when ``generate`` has the scores of the first token."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.at = self.at or time.perf_counter()
        return scores


class PeftWays:
    """Filling the page with PEFT and transformers, as their documentation shows."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        names = iter(subject.folders.items())
        first, folder = next(names)
        self.model = PeftModel.from_pretrained(subject.model, folder, adapter_name=first)
        for name, folder in names:
            self.model.load_adapter(folder, adapter_name=name)
        self.model.eval()

    def sequential(self) -> Answer:
        """One adapter after the other, one ``generate`` per column."""

        def hypotheses() -> Iterator[tuple[str, list[list[int]], float]]:
            for name in self.subject.hypotheses:
                self.model.set_adapter(name)
                yield (name, *self._generate(self.subject.inputs))

        return self._fill(hypotheses)

    def mixed_batch(self) -> Answer:
        """The hypotheses as one batch with an adapter for each row; the baselines apart."""

        def hypotheses() -> Iterator[tuple[str, list[list[int]], float]]:
            names = self.subject.hypotheses
            inputs = {
                key: value.repeat(len(names), *[1] * (value.ndim - 1)) for key, value in self.subject.inputs.items()
            }
            rows, at = self._generate(inputs, adapter_names=names)
            for name, row in zip(names, rows, strict=True):
                yield name, [row], at

        return self._fill(hypotheses)

    def _fill(self, hypotheses: Callable[[], Iterator[tuple[str, list[list[int]], float]]]) -> Answer:
        started = time.perf_counter()
        columns = {}
        for name, rows, _ in hypotheses():
            columns[name] = rows
        self.model.set_adapter(BASELINE)
        columns["beam"], _ = self._generate(self.subject.inputs, num_beams=NUM_BEAMS, num_return_sequences=NUM_BEAMS)
        columns["diverse-beam"], first = self._diverse_beam()
        return Answer(first - started, time.perf_counter() - started, columns)

    @torch.no_grad()
    def _generate(self, inputs: dict[str, Tensor], **options: Any) -> tuple[list[list[int]], float]:
        subject, stamp = self.subject, Stamp()
        output = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=subject.max_new_tokens,
            eos_token_id=list(subject.eos_token_ids) or None,
            pad_token_id=subject.pad_token_id,
            suppress_tokens=list(subject.forbidden_token_ids) or None,
            logits_processor=LogitsProcessorList([stamp]),
            **options,
        )
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [_until_end(row, subject.eos_token_ids) for row in rows], stamp.at

    def _diverse_beam(self) -> tuple[list[list[int]], float]:
        """transformers 5 has no diverse beam search, so ours stands in, alone on the PEFT model."""
        engine = Engine(self.model.get_base_model(), None, self.subject.eos_token_ids, self.subject.pad_token_id)
        column = ColumnRequest("diverse-beam", -1, DiverseBeamSearch(NUM_BEAMS, NUM_BEAMS, DIVERSITY_PENALTY))
        columns, first = run_engine(engine, self.subject, [column])
        return columns["diverse-beam"], first


class EngineWay:
    """Filling the page with one decode of the lockstep engine."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.stack = AdapterStack.from_peft(subject.model, subject.folders)
        self.engine = Engine(subject.model, self.stack, subject.eos_token_ids, subject.pad_token_id)
        baseline = self.stack.index(BASELINE)
        self.requests = [
            *(ColumnRequest(name, self.stack.index(name), Greedy()) for name in subject.hypotheses),
            ColumnRequest("beam", baseline, BeamSearch(NUM_BEAMS)),
            ColumnRequest("diverse-beam", baseline, DiverseBeamSearch(NUM_BEAMS, NUM_BEAMS, DIVERSITY_PENALTY)),
        ]

    def lockstep(self) -> Answer:
        """All columns together."""
        started = time.perf_counter()
        columns, first = run_engine(self.engine, self.subject, self.requests)
        return Answer(first - started, time.perf_counter() - started, columns)


def run_engine(
    engine: Engine, subject: Subject, requests: list[ColumnRequest]
) -> tuple[dict[str, list[list[int]]], float]:
    """Decode to the end; the tokens by column, and when all columns had their first."""
    columns: dict[str, list[list[int]]] = {}
    first = None
    events = engine.decode(
        subject.encode(),
        requests,
        max_new_tokens=subject.max_new_tokens,
        logits_options=LogitsOptions(forbidden_token_ids=subject.forbidden_token_ids),
    )
    for event in events:
        first = first or time.perf_counter()
        for id, candidates in event.columns.items():
            columns[id] = [list(candidate.tokens) for candidate in candidates]
    return columns, first


def _until_end(row: list[int], eos_token_ids: tuple[int, ...]) -> list[int]:
    ends = [index for index, token in enumerate(row) if token in eos_token_ids]
    return row[: ends[0]] if ends else row
