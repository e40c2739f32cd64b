"""Specification of an adapter: the supported fields of a `peft.LoraConfig`, and the layers they select."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from peft.utils.other import get_pattern_key
from torch import nn
from transformers import PreTrainedModel

from lora_mcl.adapters.linear import LINEAR_CLASSES, LayerAdapter
from lora_mcl.adapters.patterns import check_pattern
from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import is_number, is_whole_number, nearest

LANGUAGE_MODEL_LINEARS = (
    r"(?:(?:.+\.)?language_model\.(?:model\.)?|model\.)?layers\.\d+"
    r"\.(?:self_attn\.(?:q|k|v|o)_proj|mlp\.(?:gate|up|down)_proj)"
)
"""All linear layers of the language model, as a regular expression on the full module name.

Matches LLaVA-NeXT and Qwen2-Audio ("model.language_model.layers.0.self_attn.q_proj") and a plain decoder
("model.layers.0..."); never the media tower ("model.vision_tower...", "model.audio_tower...") nor the
projector.
"""


MAX_RANK = 2**16
"""More than the width of any layer."""

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer except the output embeddings, as `target_modules`."""

HONOURED_FIELDS = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
)
# None of these changes what a trained adapter computes: they record where it comes from, or tune a feature that
# has its own field to switch it on.
_INERT_FIELDS = (
    "peft_type",
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "fan_in_fan_out",
    "megatron_core",
    "qalora_group_size",
)
# The other initialisations rewrite the base weights, so the saved A and B do not fit the base as published.
_PLAIN_INITIALISATIONS = (None, True, False, "gaussian", "orthogonal", "eva")


def unsupported(fields: Mapping[str, Any]) -> str | None:
    """A message naming the field of a LoRA configuration that we would have to ignore, or None."""
    if fields.get("init_lora_weights") not in _PLAIN_INITIALISATIONS:
        return (
            f"init_lora_weights = {fields['init_lora_weights']!r} changes the base weights and is not "
            "supported: convert the adapter to plain LoRA first, with PEFT's "
            "path_initial_model_for_weight_conversion"
        )
    defaults = {f.name: f.default for f in dataclasses.fields(LoraConfig)}
    for name in sorted(set(fields).difference(HONOURED_FIELDS, _INERT_FIELDS, ["init_lora_weights"])):
        if fields[name] and fields[name] != defaults.get(name):
            return f"{name} = {fields[name]!r} is not supported: only plain LoRA adapters are"
    return None


@dataclass(frozen=True)
class AdapterSpec:
    """One adapter. Field names follow this project; meanings are those of `peft.LoraConfig`.

    Attributes:
        name: unique in its stack; no dots.
        rank: r, from 1 to `MAX_RANK`.
        alpha: the adapter's output is scaled by alpha / rank (alpha / sqrt(rank) if `use_rslora`).
        dropout: probability in [0, 1) of dropping an input of the adapter, in training only.
        target_modules: a regular expression matched against the full module name, or a tuple of name
            suffixes, or "all-linear" (which `resolve` writes out for a model).
        exclude_modules: same two forms; takes precedence over `target_modules`.
        layers_to_transform, layers_pattern: restrict suffix targets to these layer indices.
        rank_pattern, alpha_pattern: {regex on the end of the module name: its rank or alpha}.

    Raises:
        OptionsError: a field is out of range, or a regular expression is none or may take very long to match.
    """

    name: str
    rank: int
    alpha: float
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = LANGUAGE_MODEL_LINEARS
    exclude_modules: str | tuple[str, ...] = ()
    layers_to_transform: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict, hash=False)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict, hash=False)
    use_rslora: bool = False

    def __post_init__(self) -> None:
        # Suffixes are a set in meaning: sorted, so that equal specs compare equal.
        object.__setattr__(self, "target_modules", _sorted(self.target_modules))
        object.__setattr__(self, "exclude_modules", _sorted(self.exclude_modules))
        if not self.name or "." in self.name:
            raise OptionsError(f"name must be a non-empty string without dots; got {self.name!r}")
        for label, rank in [
            ("rank", self.rank),
            *((f"rank_pattern[{k}]", v) for k, v in self.rank_pattern.items()),
        ]:
            if not is_whole_number(rank) or rank < 1:
                raise OptionsError(f"adapter {self.name!r}: {label} must be an integer of at least 1; got {rank!r}")
            if rank > MAX_RANK:
                raise OptionsError(f"adapter {self.name!r}: {label} must be at most {MAX_RANK}; got {rank:.3g}")
        for label, alpha in [
            ("alpha", self.alpha),
            *((f"alpha_pattern[{k}]", v) for k, v in self.alpha_pattern.items()),
        ]:
            if not is_number(alpha) or not 0 < alpha <= sys.float_info.max:
                raise OptionsError(f"adapter {self.name!r}: {label} must be a positive number; got {alpha!r}")
        if not is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise OptionsError(f"adapter {self.name!r}: dropout must be in [0, 1); got {self.dropout!r}")
        if not self.target_modules:
            raise OptionsError(f"adapter {self.name!r}: target_modules must not be empty")
        for label, pattern in self._patterns():
            check_pattern(pattern, f"adapter {self.name!r}: {label}")
        if isinstance(self.target_modules, str) and (self.layers_to_transform or self.layers_pattern):
            raise OptionsError(
                f"adapter {self.name!r}: layers_to_transform and layers_pattern need target_modules as name "
                "suffixes, not as a regular expression"
            )

    def _patterns(self) -> Iterator[tuple[str, str]]:
        """Its regular expressions, each with the name of its field."""
        for label in ("target_modules", "exclude_modules"):
            if isinstance(value := getattr(self, label), str):
                yield label, value
        for label in ("layers_pattern", "rank_pattern", "alpha_pattern"):
            for pattern in getattr(self, label):
                yield label, pattern

    @classmethod
    def from_lora_config(cls, name: str, config: LoraConfig) -> "AdapterSpec":
        """The same adapter as `config`.

        Raises:
            OptionsError: `config` uses a feature other than plain LoRA (named), or a field is out of range.
        """
        if problem := unsupported(config.to_dict()):
            raise OptionsError(problem)
        return cls(
            name=name,
            rank=config.r,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            target_modules=config.target_modules or (),
            exclude_modules=config.exclude_modules or (),
            layers_to_transform=_as_tuple(config.layers_to_transform),
            layers_pattern=_as_tuple(config.layers_pattern),
            rank_pattern=dict(config.rank_pattern),
            alpha_pattern=dict(config.alpha_pattern),
            use_rslora=config.use_rslora,
        )

    @classmethod
    def for_new(cls, name: str, config: LoraConfig, model: nn.Module) -> "AdapterSpec":
        """The spec of a new, untrained adapter as `peft.get_peft_model(model, config)` would make it.

        Without `target_modules`, PEFT's own choice for the model's type is taken.

        Raises:
            OptionsError: `config` uses a feature other than plain LoRA (named), or leaves `target_modules` open
                for a model that PEFT has no choice for.
        """
        if config.init_lora_weights is not True:
            raise OptionsError(
                f"init_lora_weights = {config.init_lora_weights!r} is not supported for new adapters: every A is "
                "drawn Kaiming uniform and every B is 0"
            )
        if config.target_modules is None:
            kind = model.config.model_type if isinstance(model, PreTrainedModel) else type(model).__name__
            if kind not in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING:
                raise OptionsError(f"target_modules is missing, and PEFT knows no default for {kind!r} models: set it")
            config = dataclasses.replace(
                config, target_modules=TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING[kind]
            )
        return cls.from_lora_config(name, config).resolve(model)

    def to_lora_config(self, base_name_or_path: str | None = None) -> LoraConfig:
        """The same adapter as a `peft.LoraConfig`."""
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=_str_or_list(self.target_modules),
            exclude_modules=_str_or_list(self.exclude_modules) or None,
            layers_to_transform=list(self.layers_to_transform) or None,
            layers_pattern=list(self.layers_pattern) or None,
            rank_pattern=dict(self.rank_pattern),
            alpha_pattern=dict(self.alpha_pattern),
            use_rslora=self.use_rslora,
            base_model_name_or_path=base_name_or_path,
        )

    def resolve(self, model: nn.Module) -> "AdapterSpec":
        """The adapter with "all-linear" written out as the module names it selects in `model`, like PEFT."""
        if not isinstance(self.target_modules, str) or self.target_modules.lower() != ALL_LINEAR:
            return self
        head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
        names = [n for n, m in model.named_modules() if isinstance(m, LINEAR_CLASSES) and m is not head]
        return dataclasses.replace(self, target_modules=tuple(names) or ALL_LINEAR)

    def check_every_target(self, model: nn.Module) -> None:
        """Refuse a name in `target_modules` that matches no layer: a typo would silently train less.

        Raises:
            OptionsError: there is such a name.
        """
        if isinstance(self.target_modules, str) or len(self.target_modules) == 1:  # `layers` refuses a single one
            return
        names = [name for name, _ in model.named_modules()]
        for target in self.target_modules:
            if not any(name == target or name.endswith(f".{target}") for name in names):
                linears = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, LINEAR_CLASSES)}
                near = nearest(target, sorted(linears))
                advice = f": did you mean {near!r}?" if near else ""
                raise OptionsError(
                    f"adapter {self.name!r}: {target!r} in target_modules matches no module of "
                    f"{type(model).__name__}{advice}"
                )

    def layers(self, model: nn.Module) -> dict[str, LayerAdapter]:
        """The linear layers of `model` that this adapter targets, by full module name, in the model's order.

        Raises:
            OptionsError: no module matches, or a matching module is not a linear layer.
        """
        config = self.to_lora_config()
        found: dict[str, LayerAdapter] = {}
        for module_name, module in model.named_modules():
            if not module_name or not check_target_module_exists(config, module_name):
                continue
            if not isinstance(module, LINEAR_CLASSES):
                raise OptionsError(
                    f"adapter {self.name!r}: target_modules selects {module_name!r}, a "
                    f"{type(module).__name__}; only Linear (and GPT-2's Conv1D) layers can carry an adapter"
                )
            rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern.keys(), module_name), config.r)
            alpha = config.alpha_pattern.get(
                get_pattern_key(config.alpha_pattern.keys(), module_name), config.lora_alpha
            )
            scaling = alpha / math.sqrt(rank) if self.use_rslora else alpha / rank
            found[module_name] = LayerAdapter(rank, scaling, self.dropout)
        if not found:
            raise OptionsError(
                f"adapter {self.name!r}: target_modules {self.target_modules!r} matches no Linear layer of "
                f"{type(model).__name__}"
            )
        return found


def _sorted(names: str | Iterable[str]) -> str | tuple[str, ...]:
    return names if isinstance(names, str) else tuple(sorted(names))


def _str_or_list(names: str | tuple[str, ...]) -> str | list[str]:
    return names if isinstance(names, str) else list(names)


def _as_tuple(value: int | str | list | tuple | None) -> tuple:
    """PEFT accepts one item or a list of them."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int | str) else tuple(value)
