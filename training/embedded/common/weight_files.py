"""A model's weights as two safetensors files: the frozen tower, and what training changes.

Training the rest again then leaves the tower's file as it is, byte for byte, and a repository's history grows by the
other one alone.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from training.embedded.common.domain import Domain

TOWER_FILE = "model-00001-of-00002.safetensors"
TRAINED_FILE = "model-00002-of-00002.safetensors"
INDEX_FILE = "model.safetensors.index.json"


def split_weights(folder: Path, prefix: str, trained: str | None = None) -> None:
    """Replace ``model.safetensors`` in ``folder``, as ``save_pretrained`` wrote it, by two files and their index.

    The first file holds the tensors whose names start with ``prefix``, but for those that start with ``trained``.

    Raises:
        FileNotFoundError: there is no ``model.safetensors``.
        ValueError: one of the two files would be empty.
    """
    whole = folder / "model.safetensors"
    weights = load_file(whole)
    tower = {
        name: tensor
        for name, tensor in weights.items()
        if name.startswith(prefix) and not (trained and name.startswith(trained))
    }
    trained = {name: tensor for name, tensor in weights.items() if name not in tower}
    if not tower or not trained:
        raise ValueError(f"{whole} holds no weights {'without' if tower else 'with'} the prefix {prefix!r}")
    files = {TOWER_FILE: tower, TRAINED_FILE: trained}
    for file, part in files.items():
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(tensor.numel() * tensor.element_size() for tensor in weights.values())},
        "weight_map": {name: file for file, part in files.items() for name in sorted(part)},
    }
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    whole.unlink()


def weights_id(folder: Path) -> str:
    """Eight hexadecimal digits that all weights in a folder decide.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no weights (*.safetensors)")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def committed_base(domain: Domain) -> str:
    """Name of the base that the project carries, by its last round and its weights, such as ``base-2-1f3a0c59``.

    Another training of the same rounds has another name.
    """
    return f"{domain.base_dir.name}-{weights_id(domain.model_dir)}"
