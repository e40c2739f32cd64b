"""Fields of a PEFT folder that change nothing here, and options that must arrive: data type, name of the base."""

import json

import pytest
import torch
from peft import LoraConfig
from safetensors import safe_open
from torch import nn

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.errors import OptionsError
from tests.support.tiny_models import MODELS


def build():
    return MODELS["llama"]().eval()


@pytest.fixture
def folder(tmp_path):
    stack = AdapterStack.attach(build(), [AdapterSpec("a", 2, 4, target_modules=("q_proj",))])
    stack.save("a", tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("initialisation", [None, True, False, "gaussian", "orthogonal", "eva"])
def test_how_weights_were_drawn_does_not_matter_once_they_are_trained(folder, initialisation):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"init_lora_weights": initialisation}))
    assert len(AdapterStack.from_peft(build(), {"a": folder}).layers) == 2
    fields = json.loads(path.read_text())
    del fields["init_lora_weights"]
    path.write_text(json.dumps(fields))
    assert len(AdapterStack.from_peft(build(), {"a": folder}).layers) == 2


def test_adapters_are_of_the_type_that_is_asked_for(folder):
    for dtype in (torch.float32, torch.bfloat16):
        stack = AdapterStack.from_peft(build(), {"a": folder}, dtype=dtype)
        new = AdapterStack.from_lora_config(build(), LoraConfig(target_modules=["q_proj"]), 1, dtype=dtype)
        assert {parameter.dtype for one in (stack, new) for parameter in one.parameters()} == {dtype}
    assert next(AdapterStack.from_peft(build(), {"a": folder}).parameters()).dtype == torch.float32
    assert next(AdapterStack.from_lora_config(build(), LoraConfig(), 1).parameters()).dtype == torch.float32


def test_the_base_is_named_where_it_is_given(tmp_path):
    stack = AdapterStack.attach(build(), [AdapterSpec("a", 2, 4, target_modules=("q_proj",))])
    for base in ("someone/base", None):
        stack.save("a", tmp_path, base)
        assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    stack.save("a", tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    assert safe_open(tmp_path / "adapter_model.safetensors", "pt").metadata() == {"format": "pt"}


def test_all_linear_of_a_model_without_one_is_refused():
    with pytest.raises(OptionsError, match="'all-linear' matches no Linear layer"):
        AdapterStack.attach(nn.Sequential(nn.Tanh()), [AdapterSpec("a", 2, 4, target_modules="all-linear")])
