"""The model card of a bundle, generated from its metadata."""

from __future__ import annotations

import json
from dataclasses import asdict

from huggingface_hub import ModelCardData

from lora_mcl.bundle.bundle import Bundle
from lora_mcl.bundle.export import MODEL_CLASSES
from lora_mcl.types import CompareOptions

PAPER = "https://arxiv.org/abs/2507.10419"
_PIPELINES = {"image": "image-text-to-text", "audio": "audio-text-to-text", "text": "text-generation"}


def model_card(bundle: Bundle, repo_id: str, license: str | None = None) -> str:
    """Text of a bundle's README.md for the Hub repository ``repo_id``: what it holds and how to use it.

    Args:
        license: in Hub terms, such as "apache-2.0".

    Raises:
        BundleError: the words of the gate are malformed.
    """
    front = ModelCardData(
        base_model=bundle.base.id,
        library_name="peft",
        license=license,
        pipeline_tag=_PIPELINES[bundle.modality],
        tags=["lora-mcl", "multiple-choice-learning", "lora"],
    )
    base = f"[{bundle.base.id}](https://huggingface.co/{bundle.base.id})" if bundle.base.id else "`base/`"
    rows = [
        f"| {k} | {_cell(ref.label)} | {_cell(ref.description)} | {_cell(', '.join(words))} |"
        for k, (ref, words) in enumerate(zip(bundle.hypotheses, bundle.distinctive_words(), strict=True))
    ]
    parts = [
        f"---\n{front.to_yaml()}\n---",
        f"# {repo_id.rsplit('/', 1)[-1]}",
        f"{len(bundle.hypotheses)} adapters (*hypotheses*) on one frozen model, {base}, trained by multiple choice "
        f"learning ([LoRA-MCL]({PAPER})): each has learned another plausible way to answer.",
        "\n".join(["| hypothesis | label | description | typical words |", "| --- | --- | --- | --- |", *rows]),
    ]
    if bundle.baseline is not None:
        parts.append(f"`{bundle.baseline.path}`: {bundle.baseline.label}. {bundle.baseline.description}".strip())
    parts += ["## Use", _usage(bundle, repo_id)]
    if bundle.prompt:
        parts.append(f"The prompt is `{bundle.prompt}`.")
    changed = {k: v for k, v in asdict(bundle.generation).items() if v != asdict(CompareOptions())[k]}
    if changed:
        parts.append("Recommended options: " + ", ".join(f"{name} {value}" for name, value in changed.items()) + ".")
    if bundle.training:
        summary = json.dumps(dict(bundle.training), indent=2, ensure_ascii=False)
        parts += ["## Training", f"```json\n{summary}\n```"]
    return "\n\n".join(parts) + "\n"


def _usage(bundle: Bundle, repo_id: str) -> str:
    subfolder = bundle.hypotheses[0].path
    base = f'"{bundle.base.id}"' if bundle.base.id else f'"{repo_id}", subfolder="{bundle.base.path}"'
    model = MODEL_CLASSES[bundle.modality].__name__
    all_columns = (
        f"```\npython -m lora_mcl caption FILE --model {repo_id}\n```\n\nEvery folder is a plain PEFT adapter:\n\n"
    )
    return (all_columns if bundle.modality != "text" else "") + (
        "```python\n"
        "from peft import PeftModel\n"
        f"from transformers import {model}\n\n"
        f"base = {model}.from_pretrained({base})\n"
        f'model = PeftModel.from_pretrained(base, "{repo_id}", subfolder="{subfolder}")\n'
        "```"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
