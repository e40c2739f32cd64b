"""Import checkpoints of the authors' code (github.com/Victorletzelter/LoRA-MCL) as bundles of plain PEFT adapters.

They lie in folders ``lora0``, ``lora1``, ... Trained sequentially, each holds one hypothesis. Trained grouped,
``lora0`` holds all K as the weights of two grouped convolutions of kernel 1,

    A [K * r, in, 1] and B [K * out, r, 1]: hypothesis k is rows k r to (k + 1) r of A and k out to (k + 1) out of B

and the configuration does not say so; the number of dimensions does. Module paths are those of older transformers.
Only safetensors are read: pickle files can run code.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.adapters.linear import LINEAR_CLASSES
from lora_mcl.adapters.peft_folder import (
    CONFIG_FILE,
    KEY_PREFIX,
    WEIGHTS_FILE,
    AdapterTensors,
    write_folder,
    wrong_type,
)
from lora_mcl.adapters.spec import MAX_RANK, unsupported
from lora_mcl.bundle.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.bundle.export import MODEL_CLASSES
from lora_mcl.errors import BundleError, OptionsError, first_line
from lora_mcl.json_file import read_json
from lora_mcl.models.base import load_model_config
from lora_mcl.output_paths import make_output_folder

PROMPTS = {
    "image": "Provide a one-sentence caption for the provided image.",
    "audio": "Generate the caption in English:",
    "text": "",
}
# The audio runs gave sound and prompt bare, without the base's chat template (Qwen2-Audio/dataloading.py).
CHAT_TEMPLATES = {
    "audio": (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{% if part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )
}
# From module paths of the checkpoints to current ones; what none matches keeps its path.
_RENAMED = {
    "image": ((r"model\.layers\.", "model.language_model.layers."),),
    "audio": (
        (r"language_model\.model\.layers\.", "model.language_model.layers."),
        (r"audio_tower\.layers\.", "model.audio_tower.layers."),
    ),
    "text": (),
}
# Fields that only the authors' package writes.
_PACKAGE_FIELD = re.compile(r"num_hyps|use_group_lora|wta_\w+")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")


@dataclass(frozen=True)
class OfficialAdapters:
    """Adapters of one checkpoint.

    Attributes:
        rank, alpha, dropout: as in training; alpha / rank, or alpha / sqrt(rank) with ``use_rslora``, is the factor the
            adapters were trained with.
        own_alpha: the alpha that the checkpoint implies, which ``alpha`` may override.
        folder: where they were read from.
        some_layers: whether the configuration restricts the adapters to some layers.
        hypotheses: for each one its tensors, by current module path.
        grouped: whether they came from grouped convolutions.
    """

    rank: int
    alpha: float
    dropout: float
    hypotheses: tuple[AdapterTensors, ...]
    grouped: bool
    use_rslora: bool
    own_alpha: float
    folder: Path
    some_layers: bool


def import_official(
    checkpoint: Path,
    base: str | Path,
    modality: str,
    out: Path,
    *,
    prompt: str | None = None,
    alpha: float | None = None,
    baseline: Path | None = None,
    revision: str | None = None,
) -> Bundle:
    """Write the bundle of a checkpoint into ``out`` and return it.

    Args:
        checkpoint: the folder with ``lora0``, or one above it.
        base: the base model in current transformers form: a folder or a Hub id. Its configuration is read, to check
            that every tensor has its place; its weights are not.
        modality: "image" (LLaVA), "audio" (Qwen2-Audio) or "text" (a plain Llama).
        prompt: the instruction; by default that of ``PROMPTS``.
        alpha: overrides the one the checkpoint implies.
        baseline: checkpoint of a run with one hypothesis, for beam and diverse beam search.
        revision: commit, tag or branch of a base given as a Hub id.

    Raises:
        OptionsError: ``out`` is not empty or cannot be written to, or ``modality`` is unknown.
        BundleError: the checkpoint cannot be read or does not fit the base; nothing is written then.
    """
    if modality not in MODEL_CLASSES:
        raise OptionsError(f"modality must be one of {', '.join(MODEL_CLASSES)}; got {modality!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionsError(f"{out} exists and is not an empty folder: nothing was written.")
    model = _skeleton(base, modality, revision)
    read = read_official(checkpoint, modality, alpha)
    make_output_folder(out.parent, "--out")
    # Next to its destination, so that a base given as a folder is as far from it.
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "bundle"
        paths = _write(read, model, folder, "hypotheses/{}", base)
        single = None
        if baseline is not None:
            other = read_official(baseline, modality, alpha)
            if len(other.hypotheses) != 1:
                raise BundleError(f"{baseline} holds {len(other.hypotheses)} hypotheses: a baseline is one adapter.")
            single = AdapterRef(_write(other, model, folder, "baseline", base)[0], "LoRA-MLE")
        bundle = Bundle(
            folder=folder,
            name=out.resolve().name,
            base=BaseRef.of(base, out, revision),
            prompt=PROMPTS[modality] if prompt is None else prompt,
            hypotheses=tuple(AdapterRef(path, f"Hypothesis {k + 1}") for k, path in enumerate(paths)),
            baseline=single,
            modality=modality,
            chat_template=CHAT_TEMPLATES.get(modality),
            training={
                "imported_from": f"official LoRA-MCL checkpoint {checkpoint.resolve().name}",
                "layout": "grouped convolutions" if read.grouped else "one folder per hypothesis",
                "rank": read.rank,
                "alpha": read.alpha,
                **({"alpha_of_checkpoint": read.own_alpha} if read.alpha != read.own_alpha else {}),
            },
        )
        # Tensors that have no place in the base, or places without a tensor, are named here.
        try:
            AdapterStack.from_peft(model, bundle.adapter_folders())
        except BundleError as error:
            # The folder it names is a temporary one.
            problem = str(error).replace(f"{folder}{os.sep}", "")
            raise BundleError(f"{checkpoint} does not fit {base}: {problem}") from error
        if out.exists():
            out.rmdir()
        shutil.copytree(folder, out)
    bundle = replace(bundle, folder=out)
    save_bundle(bundle)
    return bundle


def read_official(checkpoint: Path, modality: str, alpha: float | None = None) -> OfficialAdapters:
    """Read a checkpoint's adapters, split and renamed.

    Raises:
        BundleError: there are none, they are in pickle files, or are not LoRA-MCL adapters.
    """
    folders = _adapter_folders(checkpoint)
    config, first = _read_config(folders[0]), _read_weights(folders[0], modality)
    rank = config["r"]
    grouped = any(tensor.ndim == 3 for tensor in first.values())
    if grouped:
        written = [folder for folder in folders[1:] if (folder / WEIGHTS_FILE).is_file()]
        if full := [folder.name for folder in written if _read_weights(folder, modality)]:
            raise BundleError(f"{folders[0]} holds all hypotheses, yet {', '.join(full)} hold tensors too")
        hypotheses = _split(first, rank, folders[0])
    else:
        for folder in folders[1:]:
            other = _read_config(folder)
            if any(other.get(name) != config.get(name) for name in ("r", "lora_alpha", "use_rslora")):
                raise BundleError(f"{folder} has another rank, alpha or use_rslora than {folders[0]}")
        others = [_read_weights(folder, modality) for folder in folders[1:]]
        hypotheses = [_pairs(tensors, folder) for tensors, folder in zip([first, *others], folders, strict=True)]
    for tensors in (first,) if grouped else (first, *others):
        _check_targets(tensors, config, folders[0])
    # Grouped layers of the audio code and of the package add the output of several adapters as it is, without
    # alpha / r, and that of one adapter with it; those of the image code were trained through their slices, with it.
    several = grouped and len(hypotheses) > 1
    unscaled = several and (modality == "audio" or any(map(_PACKAGE_FIELD.fullmatch, config)))
    own_alpha = float(rank) if unscaled else float(config["lora_alpha"])
    return OfficialAdapters(
        rank=rank,
        alpha=own_alpha if alpha is None else alpha,
        dropout=float(config.get("lora_dropout") or 0.0),
        hypotheses=tuple(hypotheses),
        grouped=grouped,
        use_rslora=bool(config.get("use_rslora")) and not unscaled,
        own_alpha=own_alpha,
        folder=folders[0].parent,
        some_layers=config.get("layers_to_transform") is not None,
    )


def _adapter_folders(checkpoint: Path) -> list[Path]:
    """``lora0``, ``lora1``, ... in order."""
    if not checkpoint.is_dir():
        raise BundleError(f"There is no folder {checkpoint}.")
    for root in (checkpoint, checkpoint / "adapter_model", checkpoint / "best" / "adapter_model"):
        numbered = {int(f.name[4:]): f for f in root.glob("lora*") if f.is_dir() and f.name[4:].isdigit()}
        if numbered:
            if sorted(numbered) != list(range(len(numbered))):
                raise BundleError(f"{root} has {', '.join(f'lora{k}' for k in sorted(numbered))}: some are missing.")
            return [numbered[k] for k in sorted(numbered)]
    raise BundleError(f"{checkpoint} has no folder lora0, nor have adapter_model and best/adapter_model in it.")


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path} must hold a JSON object")
    plain = {name: value for name, value in config.items() if not _PACKAGE_FIELD.fullmatch(name)}
    if problem := unsupported(plain) or wrong_type(plain):
        raise BundleError(f"{path}: {problem}")
    if plain.get("rank_pattern") or plain.get("alpha_pattern"):
        raise BundleError(f"{path}: rank_pattern and alpha_pattern are not of the official runs")
    for name, most in (("r", MAX_RANK), ("lora_alpha", sys.float_info.max)):
        if config.get(name) is None or not 0 < config[name] <= most:
            raise BundleError(f"{path}: {name} must be a positive number, at most {most:g}; got {config.get(name)!r}")
    if not 0 <= (config.get("lora_dropout") or 0) < 1:
        raise BundleError(f"{path}: lora_dropout must be in [0, 1); got {config['lora_dropout']!r}")
    return config


def _read_weights(folder: Path, modality: str) -> dict[str, Tensor]:
    """{current module path + ".lora_A" or ".lora_B": tensor} of one folder."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
        advice = (
            f"; {', '.join(pickles)} is a pickle file, which can run code when read, and is never loaded. If you trust "
            "it, convert it where it was made: safetensors.torch.save_file(torch.load(file, weights_only=True), "
            f"{WEIGHTS_FILE!r})"
            if pickles
            else ""
        )
        raise BundleError(f"{path} is missing{advice}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    named = {}
    for key, tensor in tensors.items():
        if ".expert" in key or "router" in key:
            raise BundleError(f"{path}: {key} is of a mixture of experts, which is not LoRA-MCL: nothing to import")
        match = re.fullmatch(re.escape(KEY_PREFIX) + r"(.+)\.(lora_[AB])\.weight", key)
        if match is None or tensor.ndim not in (2, 3) or (tensor.ndim == 3 and tensor.shape[2] != 1):
            raise BundleError(f"{path}: {key} {list(tensor.shape)} is not a LoRA matrix or grouped convolution")
        named[f"{current_path(match[1], modality)}.{match[2]}"] = tensor
    return named


def current_path(module: str, modality: str) -> str:
    """The path in current transformers of a module of the checkpoints."""
    for old, new in _RENAMED[modality]:
        if re.match(old, module):
            return re.sub(old, new, module, count=1)
    return module


def _check_targets(tensors: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a checkpoint that lacks all tensors of a module name that its configuration targets."""
    targets = config.get("target_modules")
    modules = {name.rpartition(".")[0] for name in tensors}
    for target in targets if isinstance(targets, list) else []:
        if not any(module == target or module.endswith(f".{target}") for module in modules):
            raise BundleError(f"{folder} has no tensors of {target}, which target_modules names: fetch it again")


def _check_layers(modules: set[str], model: nn.Module, folder: Path) -> None:
    """Refuse a checkpoint in which some layers lack a module that others have."""
    linears = [name for name, module in model.named_modules() if isinstance(module, LINEAR_CLASSES)]
    kinds = set(map(_kind, modules))
    if missing := [name for name in linears if _kind(name) in kinds and name not in modules]:
        raise BundleError(
            f"{folder} has no tensors of {missing[0]}, although other layers have theirs: fetch the checkpoint again"
        )


def _kind(module: str) -> str:
    """A module path without its layer numbers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "\0", module)


def _split(tensors: Mapping[str, Tensor], rank: int, folder: Path) -> list[AdapterTensors]:
    """Grouped convolutions as K adapters."""
    flat = {name: tensor.squeeze(2) if tensor.ndim == 3 else tensor for name, tensor in tensors.items()}
    rows = {len(tensor) for name, tensor in flat.items() if name.endswith("lora_A")}
    count = max(rows, default=0) // rank
    if rows != {count * rank} or count == 0:
        raise BundleError(f"{folder}: lora_A have {sorted(rows)} rows, not one multiple of the rank {rank}")
    for name, tensor in flat.items():
        if len(tensor) % count:
            raise BundleError(f"{folder}: {name} has {len(tensor)} rows, which {count} hypotheses cannot share")
    parts = {name: tensor.chunk(count) for name, tensor in flat.items()}
    return [_pairs({name: part[k].clone() for name, part in parts.items()}, folder) for k in range(count)]


def _pairs(tensors: Mapping[str, Tensor], folder: Path) -> AdapterTensors:
    modules = sorted({name.rpartition(".")[0] for name in tensors})
    if not modules:
        raise BundleError(f"{folder} holds no tensors")
    for module in modules:
        for part in ("lora_A", "lora_B"):
            if f"{module}.{part}" not in tensors:
                raise BundleError(f"{folder}: {module}.{part} is missing")
    return {module: (tensors[f"{module}.lora_A"], tensors[f"{module}.lora_B"]) for module in modules}


def _skeleton(base: str | Path, modality: str, revision: str | None) -> PreTrainedModel:
    """The base on the meta device: names and shapes without weights."""
    config = load_model_config(base, revision)
    model_class = MODEL_CLASSES[modality]
    if modality != "text" and not isinstance(config, model_class.config_class):
        wanted = model_class.config_class.model_type
        raise BundleError(f"{base} is a {config.model_type!r} model; {modality} needs a {wanted!r} one")
    try:
        with torch.device("meta"):
            if modality == "text":
                return model_class.from_config(config, trust_remote_code=False)
            return model_class(config)
    except Exception as error:  # transformers raises what it likes at settings that do not go together
        raise BundleError(f"The base model {base} cannot be built: {first_line(error)}") from error


def _write(read: OfficialAdapters, model: nn.Module, folder: Path, path: str, base: str | Path) -> list[str]:
    """PEFT folders at ``path`` with each hypothesis' number; returns the paths."""
    paths = []
    for k, pairs in enumerate(read.hypotheses):
        if not read.some_layers:
            _check_layers(set(pairs), model, read.folder)
        spec = AdapterSpec(
            f"hypothesis-{k}",
            read.rank,
            read.alpha,
            read.dropout,
            _targets(set(pairs), model),
            use_rslora=read.use_rslora,
        )
        paths.append(path.format(k))
        write_folder(spec, pairs, folder / paths[-1], None if Path(base).is_dir() else str(base))
    return paths


def _targets(modules: set[str], model: nn.Module) -> str | tuple[str, ...]:
    """A pattern over layer numbers that selects exactly ``modules`` in the model, or else their names."""
    kinds = sorted(set(map(_kind, modules)))
    pattern = "|".join(re.escape(kind).replace(re.escape("\0"), r"\d+") for kind in kinds)
    linears = {name for name, module in model.named_modules() if isinstance(module, LINEAR_CLASSES)}
    return pattern if {name for name in linears if re.fullmatch(pattern, name)} == modules else tuple(modules)
