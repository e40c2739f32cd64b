"""Hypotheses in another order: everything that goes by their number goes along."""

import json

import torch
from safetensors.torch import load_file, save_file

from training.embedded.order import reorder_bundle, reordered_results, reordered_systems

ORDER = (1, 0, 2)


def test_results_and_systems_go_along():
    split = {
        "likelihood": {
            "caption-gate": {
                "mode_matrix": [[0, 1], [2, 3], [4, 5]],
                "stability": {"main": [1, 0], "share": [0.9, 0.8], "win_share": [[0.1, 0.9, 0], [0.8, 0.1, 0.1]]},
            },
            "relaxed": {"mode_matrix": [[0], [1], [2]]},
        },
        "generation": {
            "caption-gate": {
                "hypotheses": {"caption-gate/0": "zero", "caption-gate/1": "one", "caption-gate/2": "two"},
                "best": 1,
            }
        },
    }
    shares = {"beam": 0.5, **{f"caption-gate/{k}": k / 10 for k in range(3)}}
    found = reordered_results({"test": {**split, "repetitions": shares}}, ORDER)["test"]["repetitions"]
    assert found == {"beam": 0.5, "caption-gate/0": 0.1, "caption-gate/1": 0.0, "caption-gate/2": 0.2}
    found = reordered_results({"test": split, "training": {"likelihood_of": 1}}, ORDER)
    gate = found["test"]["likelihood"]["caption-gate"]
    assert gate["mode_matrix"] == [[2, 3], [0, 1], [4, 5]]
    assert gate["stability"] == {"main": [0, 1], "share": [0.9, 0.8], "win_share": [[0.9, 0.1, 0], [0.1, 0.8, 0.1]]}
    assert found["test"]["generation"]["caption-gate"]["hypotheses"] == {
        "caption-gate/0": "one",
        "caption-gate/1": "zero",
        "caption-gate/2": "two",
    }
    assert found["test"]["likelihood"]["relaxed"] == split["likelihood"]["relaxed"]
    assert found["training"] == {"likelihood_of": 1}
    # Twice is as it was; a cycle is undone by its inverse.
    assert reordered_results(found, ORDER)["test"] == split
    assert reordered_results(reordered_results({"test": split}, (1, 2, 0)), (2, 0, 1)) == {"test": split}
    systems = {"specialisation": {"hypotheses": ["a", "b", "c"], "modes": {"share": [[1, 2, 3]], "modes": ["m"]}}}
    expected = {"hypotheses": ["b", "a", "c"], "modes": {"share": [[2, 1, 3]], "modes": ["m"]}}
    assert reordered_systems(systems, ORDER) == {"specialisation": expected}


def test_photographs_go_along():
    columns = {"caption-gate/0": "zero", "caption-gate/1": "one", "caption-gate/2": "two", "beam": "beams"}
    photographs = {
        "photographs": 1,
        "objects_column": "caption-gate/1",
        "columns": columns,
        "entries": [{"photograph": "cat", "columns": columns, "captions": columns}],
    }
    found = reordered_results({"photographs": photographs}, ORDER)["photographs"]
    moved = columns | {"caption-gate/0": "one", "caption-gate/1": "zero"}
    assert found["objects_column"] == "caption-gate/0" and found["photographs"] == 1
    assert found["columns"] == moved and list(found["columns"]) == list(columns)
    assert found["entries"] == [{"photograph": "cat", "columns": moved, "captions": moved}]
    cycle = reordered_results({"photographs": photographs}, (1, 2, 0))
    assert cycle["photographs"]["objects_column"] == "caption-gate/0"
    assert reordered_results(cycle, (2, 0, 1)) == {"photographs": photographs}


def test_a_bundle_goes_along(tmp_path):
    entries = [{"path": f"hypotheses/{k}", "label": f"Label {k}"} for k in range(3)]
    (tmp_path / "bundle.json").write_text(json.dumps({"hypotheses": entries, "prompt": "p"}))
    for k in range(3):
        (tmp_path / "hypotheses" / str(k)).mkdir(parents=True)
        (tmp_path / "hypotheses" / str(k) / "mark").write_text(str(k))
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "words.json").write_text(json.dumps([["zero"], ["one"], ["two"]]))
    weight, bias = torch.arange(12.0).reshape(3, 4), torch.arange(3.0)
    tensors = {"weight": weight, "bias": bias, "counted": torch.ones(4)}
    save_file(tensors, tmp_path / "gate" / "gate.safetensors", metadata={"order": "1"})
    reorder_bundle(tmp_path, (1, 2, 0))
    assert [(tmp_path / "hypotheses" / str(k) / "mark").read_text() for k in range(3)] == ["1", "2", "0"]
    written = json.loads((tmp_path / "bundle.json").read_text())
    assert [(one["path"], one["label"]) for one in written["hypotheses"]] == [
        ("hypotheses/0", "Label 1"),
        ("hypotheses/1", "Label 2"),
        ("hypotheses/2", "Label 0"),
    ]
    gate = load_file(tmp_path / "gate" / "gate.safetensors")
    assert gate["bias"].tolist() == [1, 2, 0] and torch.equal(gate["weight"], weight[[1, 2, 0]])
    assert torch.equal(gate["counted"], torch.ones(4))
    assert json.loads((tmp_path / "gate" / "words.json").read_text()) == [["one"], ["two"], ["zero"]]
