"""Base class of the image and the audio model: loading, the roles of their tokens, the prompt.

A subclass names its transformers classes and turns an image or a sound into the language model's input. Decoding
needs nothing else, and is the same for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from lora_mcl.errors import BundleError, OptionsError, first_line
from lora_mcl.hub_id import is_hub_id
from lora_mcl.modality import Modality


@dataclass(frozen=True)
class EncodedPrompt:
    """Prompts ready for the language model, media included.

    Attributes:
        inputs_embeds: [B, T, D], the embeddings of the T prompt positions; B is 1 unless copies were asked for.
        attention_mask: [B, T], int64, all ones.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor


class MediaLanguageModel(ABC):
    """A language model that reads images or sounds, with its processor.

    Attributes:
        model: the model, in eval mode, parameters frozen.
        processor: its processor.
    """

    modality: ClassVar[Modality]
    config_class: ClassVar[type[PreTrainedConfig]]
    model_class: ClassVar[type[PreTrainedModel]]
    # Modules that stay as they are when the rest is held in 4 bits.
    media_modules: ClassVar[tuple[str, ...]]

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin):
        self.model = model
        self.processor = processor

    @classmethod
    def load(
        cls,
        base: str | Path,
        *,
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        device_map: str | Mapping[str, Any] | None = None,
        load_in_4bit: bool = False,
        chat_template: str | None = None,
    ) -> Self:
        """Load a model from a folder or, by its id, from the Hugging Face Hub.

        Args:
            base: the folder, or the Hub id (with ``revision``).
            dtype: of the weights; in 4 bits, of the computation and of what is not held in 4 bits.
            device: where all of it goes; not with ``device_map``.
            device_map: accelerate's placement over several devices, such as "auto" or {module: device}.
            load_in_4bit: hold the language model's linear layers in 4 bits (NF4 with double quantisation:
                Dettmers et al. 2023, "QLoRA"); media tower, projector and output layer keep ``dtype``.
            chat_template: Jinja text in place of the processor's own.

        Raises:
            BundleError: there is no complete model of this kind there, it does not fit on the devices, or the chat
                template does not lay out a prompt with one image or sound.
        """
        config = cls._load_config(base, revision)
        # Without a map, and unquantised, no other library takes part in placing the weights.
        mapped = device_map if device_map is not None else {"": device} if load_in_4bit else None
        try:
            model, loading = cls.model_class.from_pretrained(
                base,
                revision=revision,
                trust_remote_code=False,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                device_map=mapped,
                quantization_config=cls._four_bits(dtype) if load_in_4bit else None,
            )
            processor = cls._load_processor(base, revision)
        except ImportError as error:
            raise BundleError(f"Loading {base!s} this way needs another package: {first_line(error)}") from error
        except Exception as error:  # transformers raises what it likes at files that are malformed
            raise BundleError(f"The model in {base!s} cannot be loaded: {first_line(error)}") from error
        if loading["missing_keys"]:
            # transformers would fill these with random numbers and only warn.
            some = ", ".join(sorted(loading["missing_keys"])[:3])
            raise BundleError(f"The weights in {base!s} are incomplete (no {some}): fetch them again.")
        if any(parameter.is_meta for parameter in model.parameters()):
            # Offloaded weights: adapters cannot be placed next to them.
            raise BundleError(
                f"{base!s} does not fit on the devices of this device map: give it more, or load it in 4 bits."
            )
        if mapped is None:
            model = model.to(device)
        if chat_template is not None:
            processor.chat_template = chat_template
        language_model = cls(model.eval().requires_grad_(False), processor)
        language_model._check_template()
        return language_model

    def use_channels_last(self) -> None:
        """Lay the weights of 2-D convolutions out as they are read: otherwise they are copied for every picture.

        Not for training: FSDP and DeepSpeed take contiguous weights only.
        """
        for module in self.model.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)

    @classmethod
    def _load_config(cls, base: str | Path, revision: str | None) -> PreTrainedConfig:
        config = load_model_config(base, revision)
        if not isinstance(config, cls.config_class):
            wanted = cls.config_class.model_type
            raise BundleError(f"{base!s} holds a {config.model_type!r} model; a {wanted!r} model is needed here.")
        return config

    @classmethod
    def _four_bits(cls, dtype: torch.dtype) -> BitsAndBytesConfig:
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=[*cls.media_modules, "lm_head"],
        )

    @classmethod
    @abstractmethod
    def _load_processor(cls, base: str | Path, revision: str | None) -> ProcessorMixin:
        """Load the processor that belongs to the model."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Tokens that end a caption."""
        eos = self.model.generation_config.eos_token_id
        if eos is None:
            eos = self.tokenizer.eos_token_id
        return tuple(eos) if isinstance(eos, list) else (eos,)

    @property
    def pad_token_id(self) -> int:
        """Token that fills rows already finished."""
        pad = self.tokenizer.pad_token_id
        return self.eos_token_ids[0] if pad is None else pad

    @property
    @abstractmethod
    def media_token_ids(self) -> tuple[int, ...]:
        """Tokens that stand for the image or sound in a prompt."""

    @property
    def forbidden_token_ids(self) -> tuple[int, ...]:
        """Tokens that no caption may hold: those of images or sounds, and padding unless it also ends captions."""
        return tuple(sorted({*self.media_token_ids, self.pad_token_id} - set(self.eos_token_ids)))

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of a caption's tokens, special tokens left out."""
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=True).strip()

    @property
    @abstractmethod
    def placeholder(self) -> str:
        """Text that stands for the image or sound in a prompt."""

    def conversation(self, media: Any, prompt: str) -> list[dict[str, Any]]:
        """One user turn, the image or sound then ``prompt``, as chat templates take it.

        Raises:
            OptionsError: if the prompt contains the placeholder.
        """
        if self.placeholder in prompt:
            raise OptionsError(f"The prompt must not contain {self.placeholder!r}: the {self.modality} is added to it.")
        parts = [{"type": self.modality, self.modality: media}, {"type": "text", "text": prompt}]
        return [{"role": "user", "content": parts}]

    def _check_template(self) -> None:
        where = self.model.name_or_path
        try:
            text = self.processor.apply_chat_template(self.conversation("", "prompt"), add_generation_prompt=True)
        except Exception as error:  # a template is a program and raises anything
            raise BundleError(f"The chat template for {where} cannot be used: {first_line(error)}") from error
        if text.count(self.placeholder) != 1 or "prompt" not in text:
            raise BundleError(
                f"The chat template for {where} must hold the prompt and, once, {self.placeholder!r}; "
                f"it gives {text[:200]!r}."
            )


def load_model_config(base: str | Path, revision: str | None = None) -> PreTrainedConfig:
    """Configuration of a base model, a folder or Hub id.

    Raises:
        BundleError: there is none, or the model brings Python code of its own, which is never run.
    """
    if not Path(base).is_dir() and not is_hub_id(str(base)):
        raise BundleError(
            f"There is no base model at {base!s}: give a folder that holds one, or a Hub id (owner/name or name)."
        )
    try:
        fields, _ = PreTrainedConfig.get_config_dict(base, revision=revision)
        if "auto_map" in fields:
            raise BundleError(
                f"{base!s} brings its own code (auto_map in its config.json), which is never run: give a base model of "
                "transformers' own classes."
            )
        return AutoConfig.from_pretrained(base, revision=revision, trust_remote_code=False)
    except BundleError:
        raise
    except Exception as error:  # as above
        raise BundleError(f"{base!s} holds no model that can be read: {first_line(error)}") from error


def use_eager_attention_on_cpu(model: PreTrainedModel) -> None:
    """Switch to plain attention where there is no GPU: on sequences as short as captions it trains a quarter faster."""
    if not torch.cuda.is_available():
        model.set_attn_implementation("eager")
