"""Put a bundle on the Hugging Face Hub, where ``load_bundle`` finds it by its id, with a model card."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from httpx import HTTPError
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

from lora_mcl.bundle.bundle import (
    ADAPTER_FILES,
    GATE_FILE,
    HUB_PATTERNS,
    WORDS_FILE,
    BaseRef,
    Bundle,
    save_bundle,
)
from lora_mcl.bundle.card import GENERATED, license_of, model_card
from lora_mcl.errors import BundleError, OptionsError, first_line

CARD = "README.md"


def push_bundle(
    bundle: Bundle,
    repo_id: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Upload a bundle in one commit and return its address.

    The repository is made if there is none. A base in a neighbouring folder goes with it. A card that a person wrote is
    kept; otherwise one is generated for ``repo_id``. Nothing but what a bundle is made of is uploaded.

    Args:
        repo_id: ``owner/name``.
        private: of a new repository; the account's default otherwise.
        license: for a generated card, in Hub terms such as "apache-2.0".
        api: the Hub client; by default one with the token of ``hf auth login``.

    Raises:
        OptionsError: ``license`` is given and the bundle has a card of its own.
        BundleError: the card cannot be read, or the Hub refused; the message has the reason.
    """
    own = bundle.folder / CARD
    try:
        card = own.read_text(encoding="utf-8") if own.is_file() else GENERATED
    except UnicodeDecodeError as error:
        raise BundleError(f"{own} is not UTF-8 text: save it as UTF-8, or delete it for a generated card.") from error
    generated = GENERATED in card
    if license is not None and not generated:
        raise OptionsError(f"The bundle has a card: set the license in the front matter of {own}.")
    api = HfApi() if api is None else api
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        staged = stage(bundle, folder)
        if generated:  # an earlier one may name another repository, or a base on the machine it was made on
            text = model_card(staged, repo_id, license or license_of(card))
            (folder / CARD).write_text(text, encoding="utf-8")
        try:
            address = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload LoRA-MCL bundle")
        except (HTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
            raise BundleError(f"The Hub did not take {repo_id}: {first_line(error)}") from error
    return str(address)


def stage(bundle: Bundle, folder: Path) -> Bundle:
    """Copy a bundle into ``folder`` as a self-contained bundle, and return it."""
    for ref in bundle.hypotheses if bundle.baseline is None else (*bundle.hypotheses, bundle.baseline):
        _copy(bundle.folder / ref.path, folder / ref.path, ADAPTER_FILES)
    if bundle.gate is not None:
        _copy(bundle.folder / bundle.gate, folder / bundle.gate, (GATE_FILE, WORDS_FILE))
    if bundle.score_head is not None:
        path = bundle.score_head.path
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / path, folder / path)
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
