"""Configurations that train tiny models for a few steps, and what such a run learned."""

from pathlib import Path

import yaml
from safetensors.torch import load_file

from training.run.config import read_section
from training.run.options import TrainConfig


def settings(output: Path, base: Path, media: Path, modality: str = "image", **sections) -> dict:
    """What a YAML file of a short run would hold; ``sections`` change single keys."""
    table = {
        "output": str(output),
        "model": {"base": str(base), "modality": modality, "prompt": "Describe.", "dtype": "float32"},
        "adapters": {"hypotheses": 2, "rank": 2, "alpha": 4},
        "data": {"kind": "folder", "path": str(media), "validation_share": 0.1, "workers": 0},
        "training": {
            "learning_rate": 1e-2,
            "steps": 6,
            "batch_size": 2,
            "precision": "float32",
            "checkpoint_activations": False,
            "log_every": 2,
            "evaluate_every": 3,
            "save_every": 2,
        },
    }
    for name, changes in sections.items():
        table[name] = table.get(name, {}) | changes
    return table


def config(*args, **sections) -> TrainConfig:
    return read_section(TrainConfig, settings(*args, **sections), "test")


RUN = {
    "objective": {"name": "annealed"},
    "step": {"backward": "all"},  # draws of "sampled" are each process's own
    "data": {"validation_share": 0.25, "workers": 0},
}


def config_file(folder, name, base, media, batch_size, **changes):
    """Global batches of four examples; nine captions to validate on, which two processes cannot share evenly."""
    training = {"batch_size": batch_size, "steps": 4, "evaluate_every": 2, "save_every": 2, "learning_rate": 1e-3}
    table = settings(folder / name, base, media, training=training, **(RUN | changes))
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(table))
    return file


def learned(run):
    files = sorted((run / "bundle").rglob("*.safetensors"))
    return {f"{file.relative_to(run)} {key}": tensor for file in files for key, tensor in load_file(file).items()}
