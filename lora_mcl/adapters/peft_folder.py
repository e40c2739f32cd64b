"""Standard PEFT folders: adapter_config.json + adapter_model.safetensors, one folder per adapter."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lora_mcl.adapters.spec import HONOURED_FIELDS, AdapterSpec, unsupported
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.json_file import read_json
from lora_mcl.option_checks import is_number, is_whole_number

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
KEY_PREFIX = "base_model.model."

AdapterTensors = dict[str, tuple[Tensor, Tensor]]
"""{full module name: (A [rank, in], B [out, rank])}"""


_TEXTS, _WHOLE_NUMBERS = "a string or a list of strings", "an integer or a list of integers"


def _one_or_list_of(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: all(map(is_one, value)) if isinstance(value, list) else is_one(value)


def _of_type(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


_FIELD_TYPES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("r", is_whole_number, "an integer"),
    ("lora_alpha", is_number, "a number"),
    ("lora_dropout", is_number, "a number"),
    ("target_modules", _one_or_list_of(_of_type(str)), _TEXTS),
    ("exclude_modules", _one_or_list_of(_of_type(str)), _TEXTS),
    ("layers_to_transform", _one_or_list_of(is_whole_number), _WHOLE_NUMBERS),
    ("layers_pattern", _one_or_list_of(_of_type(str)), _TEXTS),
    ("rank_pattern", _of_type(dict), "an object"),
    ("alpha_pattern", _of_type(dict), "an object"),
    ("use_rslora", _of_type(bool), "true or false"),
)
_WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def wrong_type(fields: Mapping[str, Any]) -> str | None:
    """A message naming the field of an adapter_config.json whose value is of another type than PEFT's, or None."""
    for field, is_right, meaning in _FIELD_TYPES:
        if fields.get(field) is not None and not is_right(fields[field]):
            return f"{field} must be {meaning}; got {fields[field]!r}"
    return None


def read_config(name: str, folder: Path) -> AdapterSpec:
    """Read adapter_config.json of `folder` as the spec of an adapter called `name`.

    Raises:
        BundleError: the file is missing or malformed, or uses an unsupported feature (named).
    """
    path = Path(folder) / CONFIG_FILE
    try:
        fields = read_json(path)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: {folder} is not a PEFT adapter folder") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BundleError(f"{path} must hold a JSON object")
    if fields.get("peft_type") != "LORA":
        raise BundleError(f"{path}: peft_type must be 'LORA'; got {fields.get('peft_type')!r}")
    if problem := unsupported(fields) or wrong_type(fields):
        raise BundleError(f"{path}: {problem}")
    if not fields.get("target_modules"):
        raise BundleError(f"{path}: target_modules is missing")
    honoured = {key: value for key, value in fields.items() if key in HONOURED_FIELDS and value is not None}
    try:
        return AdapterSpec.from_lora_config(name, LoraConfig(**honoured))
    except (OptionsError, ValueError) as error:
        raise BundleError(f"{path}: {error}") from error


def read_tensors(folder: Path) -> AdapterTensors:
    """Read adapter_model.safetensors of `folder`, on the CPU.

    Raises:
        BundleError: the file is missing, unreadable, or holds something else than pairs of LoRA matrices.
    """
    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        advice = ""
        if (Path(folder) / "adapter_model.bin").exists():
            advice = (
                "; adapter_model.bin is a pickle file, which can run code and is never loaded: "
                "save the adapter again as safetensors"
            )
        raise BundleError(f"{path} is missing{advice}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        module, _, part = key.removeprefix(KEY_PREFIX).rpartition(".lora_")
        is_lora = key.startswith(KEY_PREFIX) and module and part in ("A.weight", "B.weight")
        if not is_lora or tensor.ndim != 2:
            raise BundleError(f"{path}: {key} {list(tensor.shape)} is not a matrix of a plain LoRA adapter")
        if tensor.dtype not in _WEIGHT_TYPES:
            kinds = ", ".join(str(kind).removeprefix("torch.") for kind in _WEIGHT_TYPES)
            raise BundleError(f"{path}: {key} is of type {str(tensor.dtype).removeprefix('torch.')}, not {kinds}")
        if not tensor.isfinite().all():
            raise BundleError(f"{path}: {key} has values that are not finite")
        pairs.setdefault(module, {})[part[0]] = tensor
    for module, pair in pairs.items():
        if len(pair) != 2:
            missing = "B" if "A" in pair else "A"
            raise BundleError(f"{path}: {KEY_PREFIX}{module}.lora_{missing}.weight is missing")
    return {module: (pair["A"], pair["B"]) for module, pair in pairs.items()}


def write_folder(
    spec: AdapterSpec,
    tensors: AdapterTensors,
    folder: Path,
    base_name_or_path: str | None,
    *,
    fan_in_fan_out: bool = False,
) -> None:
    """Write one adapter so that `peft.PeftModel.from_pretrained(base, folder)` loads it.

    `fan_in_fan_out` marks base weights that are stored [in, out], as in GPT-2's Conv1D. Both files depend on
    nothing but their content (sorted keys), so saving twice gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    own = {"inference_mode": True, "fan_in_fan_out": fan_in_fan_out}
    fields = spec.to_lora_config(base_name_or_path).to_dict() | own
    fields = {key: sorted(value) if isinstance(value, set) else value for key, value in fields.items()}
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    flat = {
        f"{KEY_PREFIX}{module}.lora_{part}.weight": tensor.detach().cpu().contiguous()
        for module, pair in tensors.items()
        for part, tensor in zip("AB", pair, strict=True)
    }
    save_file(flat, folder / WEIGHTS_FILE, metadata={"format": "pt"})
