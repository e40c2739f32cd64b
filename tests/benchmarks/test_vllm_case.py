"""What is written for vLLM: hypotheses that differ, whose merged models write the same, and files that it can read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks import vllm_case
from benchmarks.gpu_models import PROMPTS
from lora_mcl.models import LANGUAGE_MODELS


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """The case of each modality."""
    folder = tmp_path_factory.mktemp("vllm")
    assert vllm_case.main([str(folder)]) == 0
    return {case["modality"]: case for case in json.loads((folder / "case.json").read_text())}


def content(modality: str, file: str):
    if modality == "image":
        return Image.open(file).convert("RGB")
    return np.load(file, allow_pickle=False)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_merged_models_write_what_the_hypotheses_write(cases, modality):
    case = cases[modality]
    for name, folder in case["merged"].items():
        model = LANGUAGE_MODELS[modality].load(folder)
        for medium in case["media"]:
            inputs = model.inputs(content(modality, medium["file"]), PROMPTS[modality])
            written = model.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=case["new_tokens"],
                min_new_tokens=case["new_tokens"],
                suppress_tokens=case["forbidden_token_ids"],
                eos_token_id=list(model.eos_token_ids),
                pad_token_id=model.pad_token_id,
            )
            text = model.text(written[0, inputs["input_ids"].shape[1] :].tolist())
            assert text.rstrip("\ufffd").strip() == medium["captions"][name]
        assert case["prompt"].count(model.placeholder) == 1
    captions = [tuple(medium["captions"].values()) for medium in case["media"]]
    assert all(len(set(texts)) == 3 for texts in captions)


def test_the_towers_weights_have_the_published_names(cases):
    files = list(Path(cases["image"]["base"]).glob("*.safetensors"))
    names = [name for file in files for name in load_file(file) if "vision_tower" in name]
    assert names and all(name.startswith("vision_tower.vision_model.") for name in names)
    weights = {"vision_tower.a": torch.ones(1), "language_model.b": torch.zeros(1)}
    assert set(vllm_case.published_names(weights)) == {"vision_tower.vision_model.a", "language_model.b"}


def test_an_older_case_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "something").write_text("")
    with pytest.raises(SystemExit):
        vllm_case.main([str(tmp_path)])
    assert "is not empty" in capsys.readouterr().err
