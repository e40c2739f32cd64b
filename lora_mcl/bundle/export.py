"""Merge one hypothesis of a bundle into its base: a plain model that any engine loads, without adapters."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoModelForCausalLM, PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.bundle.bundle import Bundle
from lora_mcl.errors import BundleError, OptionsError, first_line
from lora_mcl.models import LANGUAGE_MODELS
from lora_mcl.models.base import load_model_config
from lora_mcl.output_paths import make_output_folder

MODEL_CLASSES = {modality: kind.model_class for modality, kind in LANGUAGE_MODELS.items()} | {
    "text": AutoModelForCausalLM
}
"""The transformers class of a bundle's base, by the bundle's modality."""
# Files of a model other than its weights and configuration: tokenizer, processor, chat template.
_COMPANIONS = ("*.json", "*.jinja", "*.model", "*.txt")
_OWN = ("config.json", "generation_config.json", "*.index.json", "training.json")


def export_merged(bundle: Bundle, hypothesis: int, out: Path) -> None:
    """Write the base with adapter ``hypothesis`` (counted from 0) added to its weights, and its processor.

    The weights keep the dtype they are stored in; the sum is computed in float32 and rounded once.

    Raises:
        OptionsError: there is no such hypothesis, or ``out`` is not empty or cannot be written to.
        BundleError: the base or the adapter cannot be read, or they do not fit.
    """
    count = len(bundle.hypotheses)
    if not 0 <= hypothesis < count:
        raise OptionsError(f"{bundle.name} has hypotheses 0 to {count - 1}; there is no {hypothesis}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionsError(f"{out} exists and is not an empty folder: nothing was written.")
    make_output_folder(out.parent, "--out")
    model = load_base(bundle)
    name = f"hypothesis-{hypothesis}"
    stack = AdapterStack.from_peft(model, {name: bundle.adapter_folders()[name]})
    out.mkdir(parents=True, exist_ok=True)
    stack.merge(name).save_pretrained(out)
    _copy_companions(bundle, out)


def load_base(bundle: Bundle) -> PreTrainedModel:
    """The bundle's base on the CPU, in the dtype it is stored in.

    Raises:
        BundleError: it is missing or incomplete.
    """
    location = bundle.base_location()
    config = load_model_config(location, bundle.base.revision)
    try:
        model, loading = MODEL_CLASSES[bundle.modality].from_pretrained(
            location,
            config=config,
            revision=bundle.base.revision,
            dtype="auto",
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises what it likes at files that are malformed
        raise BundleError(f"The base model {location} cannot be loaded: {first_line(error)}") from error
    if loading["missing_keys"]:
        some = ", ".join(sorted(loading["missing_keys"])[:3])
        raise BundleError(f"The weights in {location} are incomplete (no {some}): fetch them again.")
    return model.eval()


def _copy_companions(bundle: Bundle, out: Path) -> None:
    location = bundle.base_location()
    if not isinstance(location, Path):
        try:
            location = Path(
                snapshot_download(
                    location,
                    revision=bundle.base.revision,
                    allow_patterns=list(_COMPANIONS),
                    ignore_patterns=list(_OWN),
                )
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise BundleError(f"The tokenizer of {location} could not be fetched: {error}") from error
    for file in sorted({file for pattern in _COMPANIONS for file in location.glob(pattern)}):
        if not any(file.match(pattern) for pattern in _OWN):
            shutil.copyfile(file, out / file.name)
