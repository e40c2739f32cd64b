"""The decoding guide's code runs, on a tiny model in place of GPT-2, and its figures are right."""

import json
import re

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks import decode, gpu
from lora_mcl.adapters import AdapterSpec, AdapterStack
from tests.support.paths import ROOT
from tests.support.tiny_image import tiny_image_processor
from training.embedded.common.tables import filled

GUIDE = (ROOT / "docs" / "decoding.md").read_text(encoding="utf-8")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch):
    tokenizer = tiny_image_processor().tokenizer
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=64)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    stack = AdapterStack.attach(model, [AdapterSpec(str(k), 2, 4.0, target_modules=("c_attn",)) for k in range(2)])
    for k in range(2):
        stack.save(str(k), tmp_path / "bundle" / "hypotheses" / str(k))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    printed = []
    exec(code, {"print": lambda name, captions: printed.append(name)})
    assert set(printed) == {"first", "second", "diverse beam", "nucleus"}


def test_the_commands_of_the_guide_exist():
    modules = re.findall(r"python -m benchmarks\.(\w+) --", GUIDE)
    assert modules == ["decode", "gpu"] and callable(decode.main) and callable(gpu.main)


def test_every_figure_of_the_guide_comes_from_the_results():
    if decode.RESULTS.exists():
        results = json.loads(decode.RESULTS.read_text(encoding="utf-8"))
        assert filled(GUIDE, {"decode": decode.passage(results)}) == GUIDE, "python -m benchmarks.decode --save"
    else:
        assert "<!-- decode -->\n<!-- /decode -->" in GUIDE
