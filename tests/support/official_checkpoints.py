"""Checkpoints laid out as the authors' code writes them, with random weights."""

import json

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, LlavaNextForConditionalGeneration, Qwen2AudioForConditionalGeneration

from tests.support.tiny_models import llama, llava_next, qwen2_audio

K, RANK = 3, 2
CLASSES = {
    "image": LlavaNextForConditionalGeneration,
    "audio": Qwen2AudioForConditionalGeneration,
    "text": AutoModelForCausalLM,
}
TINY = {"image": llava_next, "audio": qwen2_audio, "text": llama}
# Which layers the official runs adapt, by the names of their configuration, and current and former prefixes.
SUFFIXES = {
    "image": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "audio": ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj"),
    "text": ("q_proj", "down_proj"),
}
FORMER = {
    "image": [("model.language_model.layers.", "model.layers.")],
    "audio": [
        ("model.language_model.layers.", "language_model.model.layers."),
        ("model.audio_tower.", "audio_tower."),
    ],
    "text": [],
}


def adapted(model, modality):
    """The modules an official run adapts: no tower but the audio one."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.rsplit(".", 1)[-1] in SUFFIXES[modality]
        and not ("tower" in name and modality == "image")
    ]


def former(name, modality):
    for new, old in FORMER[modality]:
        name = name.replace(new, old, 1)
    return f"base_model.model.{name}"


def config(**changes):
    """What PEFT 0.14 writes, without the fields that are None."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "lora_dropout": 0.1,
        "bias": "none",
        "target_modules": ["q_proj"],
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "loftq_config": {},
        "use_dora": False,
        "use_rslora": False,
        "lora_bias": False,
        "rank_pattern": {},
        "alpha_pattern": {},
    } | changes


def draw(model, modality, seed=0):
    """Grouped weights of every adapted module: A [K r, in, 1] and B [K out, r, 1]."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name in adapted(model, modality):
        linear = model.get_submodule(name)
        a = 0.5 * torch.randn(K * RANK, linear.in_features, 1, generator=generator)
        b = 0.5 * torch.randn(K * linear.out_features, RANK, 1, generator=generator)
        weights[name] = (a, b)
    return weights


def write(folder, modality, tensors, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config(**changes)))
    keyed = {
        f"{former(name, modality)}.lora_{part}.weight": tensor.contiguous()
        for name, pair in tensors.items()
        for part, tensor in zip("AB", pair, strict=True)
    }
    save_file(keyed, folder / "adapter_model.safetensors")


def write_grouped(checkpoint, modality, weights, *, inside="", **changes):
    """All in lora0; the others have a configuration and, in the image code, an empty file."""
    write(checkpoint / inside / "lora0", modality, weights, **changes)
    for k in range(1, K):
        write(checkpoint / inside / f"lora{k}", modality, {}, **changes)
    (checkpoint / "config.json").write_text("{}")
    (checkpoint / "non_lora_trainables.bin").write_bytes(b"\x80\x04N.")
