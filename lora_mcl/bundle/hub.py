"""Put a bundle on the Hugging Face Hub, where ``load_bundle`` finds it by its id, with a model card."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from lora_mcl.bundle.bundle import (
    ADAPTER_FILES,
    HUB_PATTERNS,
    BaseRef,
    Bundle,
    save_bundle,
)
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.gate import GATE_FILE, WORDS_FILE
from lora_mcl.types import CompareOptions

CARD = "README.md"
PAPER = "https://arxiv.org/abs/2507.10419"
_PIPELINES = {"image": "image-text-to-text", "audio": "audio-text-to-text", "text": "text-generation"}


def push_bundle(
    bundle: Bundle,
    repo_id: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Upload a bundle in one commit and return its address.

    The repository is made if there is none. A base that lies beside the bundle goes with it. The bundle's own card is
    kept; without one, a card is generated. Nothing but what a bundle is made of is uploaded.

    Args:
        repo_id: ``owner/name``.
        private: of a new repository; the account's default otherwise.
        license: for a generated card, in Hub terms such as "apache-2.0".
        api: the Hub client; by default one with the token of ``hf auth login``.

    Raises:
        OptionsError: ``license`` is given and the bundle has a card of its own.
        BundleError: the Hub refused; the message has its reason.
    """
    if license is not None and (bundle.folder / CARD).is_file():
        raise OptionsError(f"The bundle has a card: set the license in the front matter of {bundle.folder / CARD}.")
    api = HfApi() if api is None else api
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        staged = stage(bundle, folder)
        if not (folder / CARD).is_file():
            (folder / CARD).write_text(model_card(staged, repo_id, license), encoding="utf-8")
        try:
            address = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload LoRA-MCL bundle")
        except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise BundleError(f"The Hub did not take {repo_id}: {reason}") from error
    return str(address)


def stage(bundle: Bundle, folder: Path) -> Bundle:
    """Copy what a bundle is made of into ``folder``, complete by itself, and return the copy."""
    for ref in bundle.hypotheses if bundle.baseline is None else (*bundle.hypotheses, bundle.baseline):
        _copy(bundle.folder / ref.path, folder / ref.path, ADAPTER_FILES)
    if bundle.gate is not None:
        _copy(bundle.folder / bundle.gate, folder / bundle.gate, (GATE_FILE, WORDS_FILE))
    _copy(bundle.folder, folder, (CARD,))
    base = bundle.base
    if base.path is not None:
        inside = ".." not in PurePosixPath(base.path).parts
        path = base.path if inside else "base"
        _copy(bundle.folder / base.path, folder / path, HUB_PATTERNS)
        base = BaseRef(path=path)
    staged = replace(bundle, folder=folder, base=base)
    save_bundle(staged)
    return staged


def _copy(source: Path, target: Path, patterns: tuple[str, ...] | list[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in {file for pattern in patterns for file in source.glob(pattern) if file.is_file()}:
        shutil.copyfile(file, target / file.name)


def model_card(bundle: Bundle, repo_id: str, license: str | None = None) -> str:
    """A card that says what the bundle holds and how to use it, from its metadata alone."""
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
        for k, (ref, words) in enumerate(zip(bundle.hypotheses, bundle.telling_words(), strict=True))
    ]
    parts = [
        f"---\n{front.to_yaml()}\n---",
        f"# {repo_id.rsplit('/', 1)[-1]}",
        f"{len(bundle.hypotheses)} adapters (*hypotheses*) on one frozen model, {base}, trained by multiple choice "
        f"learning ([LoRA-MCL]({PAPER})): each has learned another plausible way to answer.",
        "\n".join(["| hypothesis | label | description | telling words |", "| --- | --- | --- | --- |", *rows]),
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
    kind = {"image": "LlavaNextForConditionalGeneration", "audio": "Qwen2AudioForConditionalGeneration"}
    model = kind.get(bundle.modality, "AutoModelForCausalLM")
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
