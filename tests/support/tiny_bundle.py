"""Bundles of random adapters on a tiny base."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, ScoreHeadRef, load_bundle, save_bundle
from lora_mcl.bundle.references import SCORE_HEAD_FILE
from lora_mcl.captioner import Captioner
from lora_mcl.score_head import ScoreHead
from lora_mcl.types import CompareOptions


@dataclass(frozen=True)
class TinyModel:
    """The tiny model of one modality, and a file that it captions."""

    modality: str
    captioner: Captioner
    bundle: Path
    base: Path
    media: Path


def save_tiny_bundle(model: PreTrainedModel, folder: Path, modality: str) -> Path:
    """Write a bundle of random adapters on the base next to it, from which ``model`` was loaded."""
    refs = {f"hypothesis-{k}": AdapterRef(f"hypotheses/{k}", f"Hypothesis {k}", "Random.") for k in range(3)}
    refs["baseline"] = AdapterRef("baseline", "One adapter", "Random too.")
    specs = [AdapterSpec(name, rank=6 if name == "baseline" else 4, alpha=16.0) for name in refs]
    stack = AdapterStack.attach(model, specs, generator=torch.Generator().manual_seed(1))
    draws = torch.Generator().manual_seed(2)
    for name, ref in refs.items():
        with torch.no_grad():
            for _, b in stack.tensors(name).values():
                b.normal_(std=0.1, generator=draws)
        stack.save(name, folder / ref.path)
    *hypotheses, baseline = refs.values()
    save_bundle(
        Bundle(
            folder=folder,
            name="bundle",
            base=BaseRef(path="../base"),
            prompt="Describe.",
            hypotheses=tuple(hypotheses),
            baseline=baseline,
            modality=modality,
            generation=CompareOptions(num_beams=4, num_beam_groups=2, max_new_tokens=12),
        )
    )
    return folder


WIDTH = 32
"""Channels of the tiny bases' hidden states."""


def with_score_head(bundle: Path, folder: Path, head: ScoreHead | None = None) -> Path:
    """A copy of a tiny bundle and of the base next to it, in ``folder``, with a score head; by default a random one."""
    shutil.copytree(bundle.parent, folder)
    copy = load_bundle(folder / bundle.name)
    if head is None:
        draws = torch.Generator().manual_seed(3)
        head = ScoreHead(torch.randn(len(copy.hypotheses), WIDTH, generator=draws), torch.tensor([0.0, 0.5, -0.5]))
    head.save(copy.folder / SCORE_HEAD_FILE)
    save_bundle(replace(copy, score_head=ScoreHeadRef(SCORE_HEAD_FILE, 60, 0.75, 0.5, 1.0986, 0.04)))
    return copy.folder
