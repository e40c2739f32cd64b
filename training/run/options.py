"""The settings of a training run, section by section: what ``training/configs/*.yaml`` hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS, AdapterSpec
from lora_mcl.errors import OptionsError
from lora_mcl.gate import Balance
from lora_mcl.modality import Modality
from lora_mcl.models import LANGUAGE_MODELS, MediaLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.option_checks import Count, NonNegative, Positive, Seed, Share, check_fields
from lora_mcl.trainer import StepOptions
from training.data import DataOptions

Dtype = Literal["bfloat16", "float32"]
GateStart = Literal["mixture", "random"]
START_CAPTIONS = 2000
"""Captions of the run's own data that the gate's mixture is fitted to."""
Schedule = Literal["cosine", "linear", "constant", "inverse-sqrt"]


@dataclass(frozen=True)
class RunInfo:
    """Origin and expected cost of a configuration, for readers: the program does not use it.

    Attributes:
        source: paper section or file that the values are taken from, and what was changed.
        hours, memory: expected, and how they were estimated.
    """

    source: str = ""
    hours: str = ""
    memory: str = ""


@dataclass(frozen=True)
class BaseModelOptions:
    """The frozen base.

    Attributes:
        base: folder or Hub id (with ``revision``).
        prompt: the instruction given with all media, in training and in the app.
        chat_template: Jinja text in place of the processor's own.
        dtype: of the frozen weights; adapters are float32.
        load_in_4bit: hold the language model in 4 bits (needs bitsandbytes and a GPU).
    """

    base: str
    modality: Modality
    prompt: str
    revision: str | None = None
    chat_template: str | None = None
    dtype: Dtype = "bfloat16"
    load_in_4bit: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def kind(self) -> type[MediaLanguageModel]:
        return LANGUAGE_MODELS[self.modality]


@dataclass(frozen=True)
class AdapterOptions:
    """K adapters of the same shape; ``hypotheses: 1`` is ordinary LoRA (LoRA-MLE).

    Attributes:
        target_modules: "language-model" for every linear layer of the language model, or as in PEFT.
        init_from: bundle of as many adapters of this shape, whose weights (and gate) the run starts from; by default
            adapters start as PEFT's do, without effect.
    """

    hypotheses: Count = 3
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    target_modules: str | tuple[str, ...] = "language-model"
    exclude_modules: str | tuple[str, ...] = ()
    init_from: Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.specs()

    def specs(self) -> list[AdapterSpec]:
        """One spec per hypothesis."""
        named = self.target_modules == "language-model"
        targets = LANGUAGE_MODEL_LINEARS if named else self.target_modules
        return [
            AdapterSpec(f"hypothesis-{k}", self.rank, self.alpha, self.dropout, targets, self.exclude_modules)
            for k in range(self.hypotheses)
        ]


@dataclass(frozen=True)
class GateOptions:
    """The caption gate, where the objective has one (``lora_mcl.gate``, ``lora_mcl.gate_init``)."""

    balance: Balance = "uniform"
    start: GateStart = "mixture"
    learning_rate: Positive = 3e-2

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrainingOptions:
    """Length, batches, optimizer and checkpoints of a run.

    Attributes:
        epochs, steps: one of the two; a step is one update of the weights.
        batch_size: examples per process and forward pass; each takes K rows.
        accumulation: forward passes per step. A step so sees batch_size * accumulation * processes examples.
        final_learning_rate: of the cosine schedule, as a share of ``learning_rate``.
        warmup: share of the steps in which the learning rate rises.
        precision: "bfloat16" runs the base in bfloat16 by autocast.
        checkpoint_activations: compute activations again in the backward pass instead of keeping them.
        evaluate_every, save_every, log_every: steps. Checkpoints are also made wherever is evaluated.
        keep_best: end with the weights of the best validation.
        patience: stop after this many validations without a better one; never by default.
        checkpoints: how many are kept, the best one not counted.
        wandb: also report to Weights & Biases, which must be installed; TensorBoard is always written.

    Raises:
        OptionsError: a field is out of range.
    """

    learning_rate: Positive
    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 1
    accumulation: Count = 1
    schedule: Schedule = "cosine"
    final_learning_rate: Share = 0.0
    warmup: Share = 0.03
    weight_decay: NonNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    adam_epsilon: Positive = 1e-8
    gradient_clip: NonNegative = 1.0
    precision: Dtype = "bfloat16"
    checkpoint_activations: bool = True
    seed: Seed = 0
    log_every: Count = 10
    evaluate_every: Count = 500
    save_every: Count = 500
    keep_best: bool = True
    patience: Count | None = None
    checkpoints: Count = 2
    wandb: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.epochs is None) == (self.steps is None):
            raise OptionsError("give either epochs or steps")
        if self.final_learning_rate and self.schedule != "cosine":
            raise OptionsError("final_learning_rate belongs to the cosine schedule")


@dataclass(frozen=True)
class BundleOptions:
    """Contents of the bundle other than the adapters.

    Attributes:
        labels: a heading for each hypothesis; "Hypothesis 1", ... by default.
        baseline: bundle of a LoRA-MLE run (``hypotheses: 1``) on the same base, for the columns of beam search.
        license: of the adapters, in Hub terms such as "apache-2.0", for the card.
    """

    labels: tuple[str, ...] = ()
    baseline: Path | None = None
    license: str | None = None


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run.

    Attributes:
        output: folder of the run: checkpoints, logs, summary, and the bundle in ``output/bundle``.

    Raises:
        OptionsError: sections contradict each other.
    """

    output: Path
    model: BaseModelOptions
    data: DataOptions
    training: TrainingOptions
    about: RunInfo = field(default_factory=RunInfo)
    adapters: AdapterOptions = field(default_factory=AdapterOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    gate: GateOptions = field(default_factory=GateOptions)
    step: StepOptions = field(default_factory=StepOptions)
    bundle: BundleOptions = field(default_factory=BundleOptions)

    def __post_init__(self) -> None:
        labels, hypotheses = len(self.bundle.labels), self.adapters.hypotheses
        if labels not in (0, hypotheses):
            raise OptionsError(f"bundle.labels: give one per hypothesis, {hypotheses}; got {labels}")
        if self.training.patience is not None and not self.data.validates:
            raise OptionsError("training.patience needs a validation: data.validation_path or data.validation_share")
        if self.data.modality not in (None, self.model.modality):
            raise OptionsError(f"data.modality is {self.data.modality} and model.modality {self.model.modality}")
