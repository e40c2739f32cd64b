"""The tower in a weights file of its own: stock classes load it, and another training leaves it as it was."""

import hashlib
import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_mcl.errors import BundleError
from tests.support.embedded import build_tiny
from training.embedded.build_base import save_half
from training.embedded.common.weight_files import (
    INDEX_FILE,
    TOWER_FILE,
    TRAINED_FILE,
    split_weights,
    weights_id,
)


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_split_model_loads_equal_and_a_new_training_leaves_the_towers_file(domain, folder):
    whole = domain.architecture.model_class.load(folder)
    weights = load_file(folder / "model.safetensors")
    split_weights(folder, f"{domain.architecture.tower}.")
    assert not (folder / "model.safetensors").exists()
    tower, trained = load_file(folder / TOWER_FILE), load_file(folder / TRAINED_FILE)
    assert all(name.startswith(f"{domain.architecture.tower}.") for name in tower)
    assert not any(domain.architecture.tower in name for name in trained)
    assert {**tower, **trained}.keys() == weights.keys()
    assert all(torch.equal({**tower, **trained}[name], weight) for name, weight in weights.items())
    index = json.loads((folder / INDEX_FILE).read_text())
    assert index["weight_map"].keys() == weights.keys()
    assert index["metadata"]["total_size"] == sum(weight.nbytes for weight in weights.values())

    loaded = domain.architecture.model_class.load(folder)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight), name

    before = {file: digest(folder / file) for file in (TOWER_FILE, TRAINED_FILE)}
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if domain.architecture.tower not in name:
                parameter.add_(0.01)
    save_half(loaded.model, loaded.processor, folder)
    split_weights(folder, f"{domain.architecture.tower}.")
    assert digest(folder / TOWER_FILE) == before[TOWER_FILE]
    assert digest(folder / TRAINED_FILE) != before[TRAINED_FILE]

    (folder / TRAINED_FILE).unlink()
    with pytest.raises(BundleError, match=str(folder)):
        domain.architecture.model_class.load(folder)


@pytest.mark.parametrize(("prefix", "message"), [("no_such_tower.", "with the prefix"), ("", "without the prefix")])
def test_a_prefix_that_leaves_a_file_empty_is_refused(tmp_path, prefix, message):
    build_tiny("image", tmp_path)
    with pytest.raises(ValueError, match=message):
        split_weights(tmp_path, prefix)
    assert (tmp_path / "model.safetensors").is_file() and not (tmp_path / TOWER_FILE).exists()
    with pytest.raises(FileNotFoundError):
        split_weights(tmp_path / "nowhere", "vision_tower.")


def test_a_weight_that_changes_changes_the_id(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        weights_id(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    ids = []
    for second in (0.0, 0.0, 1.0):
        save_file({"a": torch.zeros(3)}, tmp_path / "model-00001-of-00002.safetensors")
        save_file({"b": torch.tensor([second])}, tmp_path / "model-00002-of-00002.safetensors")
        ids.append(weights_id(tmp_path))
    assert ids[0] == ids[1] != ids[2] and all(re.fullmatch("[0-9a-f]{8}", one) for one in ids)
