"""Put the hypotheses of an embedded model in another order: folders, gate, ``bundle.json`` and results alike.

    python -m training.embedded.order audio 1 0 2

makes hypothesis 1 the first, then 0, then 2. Which hypothesis learns which annotator is up to chance in training; their
order is that of the page's columns. Run ``training.embedded.card`` afterwards.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_mcl.bundle.bundle import GATE_FILE, WORDS_FILE
from training.embedded.common.domain import load_domain

RUN = "caption-gate"


def reordered_results(results: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """The results file's content with the caption gate's hypotheses in that order."""
    return {part: _reordered(content, order) for part, content in results.items()}


def _reordered(content: Any, order: Sequence[int]) -> Any:
    if isinstance(content, dict) and "likelihood" in content:
        return _reordered_split(content, order)
    if isinstance(content, dict) and "entries" in content:
        return _reordered_photographs(content, order)
    return content


def _reordered_photographs(content: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    moved = {f"{RUN}/{k}": f"{RUN}/{place}" for place, k in enumerate(order)}

    def reordered(columns: Mapping[str, Any]) -> dict[str, Any]:
        renamed = {moved.get(name, name): column for name, column in columns.items()}
        return {name: renamed[name] for name in columns}

    return {
        **content,
        "objects_column": moved[content["objects_column"]],
        "columns": reordered(content["columns"]),
        "entries": [
            {**entry, "columns": reordered(entry["columns"]), "captions": reordered(entry["captions"])}
            for entry in content["entries"]
        ],
    }


def _reordered_split(split: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    likelihood, generation = split["likelihood"], split["generation"]
    found = likelihood[RUN]
    stability = {
        **found["stability"],
        "main": [order.index(k) for k in found["stability"]["main"]],
        "win_share": [[row[k] for k in order] for row in found["stability"]["win_share"]],
    }
    matrix = [found["mode_matrix"][k] for k in order]
    hypotheses = generation[RUN]["hypotheses"]
    named = {f"{RUN}/{place}": hypotheses[f"{RUN}/{k}"] for place, k in enumerate(order)}
    repeated = split.get("repetitions", {})  # of sounds
    moved = {f"{RUN}/{place}": repeated[f"{RUN}/{k}"] for place, k in enumerate(order)} if repeated else {}
    return {
        **split,
        **({"repetitions": {**repeated, **moved}} if repeated else {}),
        "likelihood": {**likelihood, RUN: {**found, "mode_matrix": matrix, "stability": stability}},
        "generation": {**generation, RUN: {**generation[RUN], "hypotheses": named}},
    }


def reordered_systems(content: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """The same for the file of ``training.experiments.systems``."""
    found = content["specialisation"]
    share = [[row[k] for k in order] for row in found["modes"]["share"]]
    hypotheses = [found["hypotheses"][k] for k in order]
    specialisation = {**found, "hypotheses": hypotheses, "modes": {**found["modes"], "share": share}}
    return {**content, "specialisation": specialisation}


def reorder_bundle(folder: Path, order: Sequence[int]) -> None:
    """Reorder the adapters' folders, their descriptions and the gate of a bundle."""
    description = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    entries = description["hypotheses"]
    for k in order:
        (folder / "hypotheses" / str(k)).rename(folder / "hypotheses" / f"{k}.old")
    for place, k in enumerate(order):
        (folder / "hypotheses" / f"{k}.old").rename(folder / "hypotheses" / str(place))
    description["hypotheses"] = [{**entries[k], "path": f"hypotheses/{place}"} for place, k in enumerate(order)]
    _write(folder / "bundle.json", description)
    with safe_open(folder / "gate" / GATE_FILE, "pt") as file:
        metadata = file.metadata()
    gate = load_file(folder / "gate" / GATE_FILE)
    rows = torch.tensor(list(order))
    gate |= {name: gate[name][rows].contiguous() for name in ("weight", "bias")}
    save_file(gate, folder / "gate" / GATE_FILE, metadata=metadata)
    words = json.loads((folder / "gate" / WORDS_FILE).read_text(encoding="utf-8"))
    _write(folder / "gate" / WORDS_FILE, [words[k] for k in order])


def _write(file: Path, content: Any, indent: int = 2) -> None:
    file.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=("image", "audio"))
    parser.add_argument("order", type=int, nargs="+", metavar="K", help="the hypotheses, the first one first")
    args = parser.parse_args()
    domain = load_domain(args.domain)
    results = json.loads(domain.results_file.read_text(encoding="utf-8"))
    if sorted(args.order) != list(range(len(results["test"]["likelihood"][RUN]["mode_matrix"]))):
        parser.error("name every hypothesis once, from 0")
    reorder_bundle(domain.bundle_dir, args.order)
    _write(domain.results_file, reordered_results(results, args.order))
    systems = domain.results_file.with_name(f"systems-{args.domain}.json")
    _write(systems, reordered_systems(json.loads(systems.read_text(encoding="utf-8")), args.order), indent=1)


if __name__ == "__main__":
    main()
