"""The training guide's code runs, on a tiny model in place of GPT-2, and its commands exist."""

import re
import shlex
import shutil
import sys
import types

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_mcl.bundle import load_bundle
from lora_mcl.cli import parse_arguments
from tests.support.paths import ROOT
from tests.support.tiny_image import tiny_image_processor
from tests.support.tiny_trainer import collate, examples

GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def code_block(text, word):
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.S) if word in code)
    return code


def few_steps(code):
    return code.replace('TrainingArguments("run")', 'TrainingArguments("run", max_steps=2, use_cpu=True, report_to=[])')


def test_the_code_of_guide_and_readme_runs(tmp_path, monkeypatch):
    tokenizer = tiny_image_processor().tokenizer
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=16)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    yours = types.ModuleType("datasets_of_yours")
    yours.dataset, yours.collator = examples(16), collate
    monkeypatch.setitem(sys.modules, "datasets_of_yours", yours)
    # No folder is called gpt2: there, as for a reader, it is an id on the Hub.
    guide = code_block(GUIDE, "attach").replace('from_pretrained("gpt2")', 'from_pretrained("tiny")')
    exec(few_steps(guide), {})
    bundle = load_bundle("bundle")
    assert len(bundle.hypotheses) == 3 and bundle.gate == "gate" and bundle.base.id == "gpt2"
    assert [len(words) > 0 for words in bundle.distinctive_words()] == [True] * 3
    shutil.rmtree("bundle")
    readme = code_block((ROOT / "README.md").read_text(encoding="utf-8"), "attach")
    exec(few_steps(guide.partition("learner =")[0] + readme), {})
    bundle = load_bundle("bundle")
    assert len(bundle.hypotheses) == 3 and bundle.base.id == "gpt2"


@pytest.mark.parametrize("command", re.findall(r"python -m lora_mcl ((?:.*\\\n)*.*)", GUIDE))
def test_the_commands_of_the_guide_exist(command):
    words = shlex.split(command.replace("\\\n", ""), comments=True)
    assert callable(parse_arguments(words).run)
