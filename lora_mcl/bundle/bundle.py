"""The bundle: what the app loads, a folder or a Hugging Face Hub repository.

::

    bundle.json       format version, modality, base, prompt, chat_template, hypotheses, baseline, gate,
                      score_head, generation, training
    hypotheses/<k>/   one standard PEFT folder per hypothesis
    baseline/         the adapter that beam and diverse beam search run on (optional)
    gate/             the caption gate that training assigned captions with, and each hypothesis' words (optional)
    score_head.safetensors  predicts from the prompt which hypothesis will win (optional)
    base/             the frozen base model, if the bundle carries its own (optional)
    README.md         the card

Loading checks everything that can be checked without reading weights, so that a bad bundle gives one
``BundleError`` that names the file and the field instead of a failure deep inside a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from httpx import HTTPError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from lora_mcl.bundle.references import BUNDLE_FILE, AdapterRef, BaseRef, ScoreHeadRef
from lora_mcl.errors import BundleError, OptionsError, first_line
from lora_mcl.hub_id import is_hub_id
from lora_mcl.json_file import read_json
from lora_mcl.modality import MODALITIES
from lora_mcl.types import CompareOptions

# The small models that come with the repository.
_EMBEDDED = Path(__file__).resolve().parents[2] / "assets" / "bundles"
EMBEDDED_BUNDLE = _EMBEDDED / "image"
EMBEDDED_AUDIO_BUNDLE = _EMBEDDED / "audio"

FORMAT_VERSION = 1
# The input of the base, next to the prompt; "text" has none.
BUNDLE_MODALITIES = (*MODALITIES, "text")
# What every file system takes as a name.
_LONGEST_PATH = 255
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
GATE_FILE, WORDS_FILE = "gate.safetensors", "words.json"

# Weights are read from safetensors only: other formats can run code when read.
HUB_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.md"]


@dataclass(frozen=True)
class Bundle:
    """A bundle's metadata.

    Attributes:
        folder: where it is on this machine.
        name: what results call it: the folder's name or the Hub id.
        prompt: the instruction given with every image or sound; may be empty for text.
        chat_template: how prompt and image or sound are laid out, in Jinja; ``None`` means the base's processor's.
        hypotheses: the K adapters of LoRA-MCL, in column order.
        baseline: the adapter under beam and diverse beam search; ``None`` means the bare base model.
        gate: folder of the caption gate, relative to the bundle.
        score_head: what predicts the winning hypothesis.
        generation: recommended options.
        training: free summary of how the adapters were made.
    """

    folder: Path
    name: str
    base: BaseRef
    prompt: str
    hypotheses: tuple[AdapterRef, ...]
    baseline: AdapterRef | None = None
    gate: str | None = None
    score_head: ScoreHeadRef | None = None
    modality: str = "image"
    chat_template: str | None = None
    generation: CompareOptions = field(default_factory=CompareOptions)
    training: Mapping[str, Any] = field(default_factory=dict)

    def base_location(self) -> Path | str:
        """Folder of the base, or its Hub id (with ``base.revision``)."""
        return self.base.id if self.base.path is None else self.folder / self.base.path

    def adapter_folders(self) -> dict[str, Path]:
        """Adapter name to PEFT folder: ``hypothesis-<k>`` in order, then ``baseline`` if there is one."""
        folders = {f"hypothesis-{k}": self.folder / ref.path for k, ref in enumerate(self.hypotheses)}
        if self.baseline is not None:
            folders["baseline"] = self.folder / self.baseline.path
        return folders

    def distinctive_words(self) -> list[list[str]]:
        """For each hypothesis the words that raise its gate probability most, best first; empty if none were saved.

        Raises:
            BundleError: words.json is malformed.
        """
        file = None if self.gate is None else self.folder / self.gate / WORDS_FILE
        if file is None or not file.is_file():
            return [[] for _ in self.hypotheses]
        try:
            words = read_json(file)
        except (OSError, ValueError) as error:
            raise BundleError(f"{file} cannot be read as JSON: {error}") from error
        lists = isinstance(words, list) and all(isinstance(of_one, list) for of_one in words)
        if not lists or not all(isinstance(word, str) for of_one in words for word in of_one):
            raise BundleError(f"{file} must hold one list of words per hypothesis")
        if len(words) != len(self.hypotheses):
            raise BundleError(
                f"{file} has words for {len(words)} hypotheses, but the bundle has {len(self.hypotheses)}"
            )
        return words


def load_bundle(source: str | Path, *, revision: str | None = None) -> Bundle:
    """Read and check a bundle.

    Args:
        source: a folder, or a Hub id such as ``user/name`` where no such folder exists.
        revision: commit, tag or branch of a Hub id.

    Raises:
        BundleError: it is missing, malformed or incomplete; the message names file and field.
    """
    folder = Path(source)
    if len(folder.name) > _LONGEST_PATH or not str(source).isprintable():
        raise BundleError(f"There is no bundle folder {str(source)[:_LONGEST_PATH]!r}.")
    if folder.is_dir():
        if revision is not None:
            raise BundleError(f"{source} is a folder; only a Hub id has a revision.")
        return _read(folder, name=folder.resolve().name, local=True)
    if folder.exists():
        raise BundleError(f"{source} is a file; give the folder that holds {BUNDLE_FILE}.")
    # A bundle on the Hub has an owner: a name alone is a folder that is not there.
    if isinstance(source, Path) or "/" not in source or not is_hub_id(source):
        raise BundleError(f"There is no bundle folder {source}.")
    return _read(_download(source, revision), name=source, local=False)


def save_bundle(bundle: Bundle) -> None:
    """Write ``bundle.json`` into the bundle's folder, in which the adapters (and a local base) already are.

    Raises:
        BundleError: the result would not load; an earlier ``bundle.json`` is then left as it was.
    """
    table: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "modality": bundle.modality,
        "base": {key: value for key, value in asdict(bundle.base).items() if value is not None},
        "prompt": bundle.prompt,
        "hypotheses": [asdict(ref) for ref in bundle.hypotheses],
    }
    if bundle.chat_template is not None:
        table["chat_template"] = bundle.chat_template
    if bundle.baseline is not None:
        table["baseline"] = asdict(bundle.baseline)
    if bundle.gate is not None:
        table["gate"] = bundle.gate
    if bundle.score_head is not None:
        table["score_head"] = asdict(bundle.score_head)
    table["generation"] = asdict(bundle.generation)
    table["training"] = dict(bundle.training)
    try:
        text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise _bad("training", first_line(error)) from error
    _parse(json.loads(text), bundle.folder, name=bundle.name, local=True)
    partial = bundle.folder / f"{BUNDLE_FILE}.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, bundle.folder / BUNDLE_FILE)


def _download(repo_id: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=HUB_PATTERNS))
    except (HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise BundleError(
            f"There is no folder {repo_id}, and it could not be fetched from the Hugging Face Hub: {first_line(error)}"
        ) from error


def _read(folder: Path, *, name: str, local: bool) -> Bundle:
    file = folder / BUNDLE_FILE
    try:
        table = read_json(file)
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: it has no {BUNDLE_FILE}.") from None
    except OSError as error:
        raise BundleError(f"{BUNDLE_FILE} cannot be opened: {error.strerror or error}.") from None
    except ValueError as error:
        raise BundleError(f"{BUNDLE_FILE}: not valid JSON: {first_line(error)}.") from None
    return _parse(table, folder, name=name, local=local)


def _parse(table: Any, folder: Path, *, name: str, local: bool) -> Bundle:
    root = _Table(table, "")
    version = root.take("format_version", int)
    if version != FORMAT_VERSION:
        raise _bad("format_version", f"this program reads version {FORMAT_VERSION}, not {version}")
    modality = root.take("modality", str)
    if modality not in BUNDLE_MODALITIES:
        raise _bad("modality", f"must be one of {', '.join(BUNDLE_MODALITIES)}, not {modality!r}")
    base = _parse_base(root.take("base", dict), folder, local)
    prompt = root.take("prompt", str, optional=modality == "text") or ""
    chat_template = root.take("chat_template", str, optional=True)
    entries = root.take("hypotheses", list)
    if not entries:
        raise _bad("hypotheses", "must list at least one adapter")
    hypotheses = tuple(_parse_adapter(entry, f"hypotheses[{k}]", folder) for k, entry in enumerate(entries))
    baseline = root.take("baseline", dict, optional=True)
    gate = root.take("gate", str, optional=True)
    if gate is not None:
        _check_path(gate, "gate", may_leave=False)
        _check_files(folder / gate, (GATE_FILE,), "gate", gate)
    score_head = root.take("score_head", dict, optional=True)
    generation = root.take("generation", dict, optional=True) or {}
    training = root.take("training", dict, optional=True) or {}
    root.finish()
    return Bundle(
        folder=folder,
        name=name,
        base=base,
        prompt=prompt,
        hypotheses=hypotheses,
        baseline=None if baseline is None else _parse_adapter(baseline, "baseline", folder),
        gate=gate,
        score_head=None if score_head is None else _parse_score_head(score_head, folder),
        modality=modality,
        chat_template=chat_template,
        generation=_parse_generation(generation),
        training=training,
    )


def _parse_base(table: Any, folder: Path, local: bool) -> BaseRef:
    entry = _Table(table, "base")
    path = entry.take("path", str, optional=True)
    ref = BaseRef(path, entry.take("id", str, optional=True), entry.take("revision", str, optional=True))
    entry.finish()
    if path is not None:
        # Only a local bundle may share a base in another folder: a fetched one stays in its own.
        _check_path(path, "base.path", may_leave=local)
        _check_files(folder / path, ("config.json",), "base.path", path)
    return ref


def _parse_adapter(table: Any, where: str, folder: Path) -> AdapterRef:
    entry = _Table(table, where)
    path = entry.take("path", str)
    ref = AdapterRef(path, entry.take("label", str), entry.take("description", str, optional=True) or "")
    entry.finish()
    _check_path(path, f"{where}.path", may_leave=False)
    _check_files(folder / path, ADAPTER_FILES, f"{where}.path", path)
    return ref


def _parse_score_head(table: Any, folder: Path) -> ScoreHeadRef:
    entry = _Table(table, "score_head")
    path = entry.take("path", str)
    captions = entry.take("captions", int)
    figures = {name: entry.take(name, float) for name in ("accuracy", "log_loss", "frequency_log_loss", "ece")}
    entry.finish()
    _check_path(path, "score_head.path", may_leave=False)
    if not path.endswith(".safetensors"):
        raise _bad("score_head.path", f"must end in .safetensors, not {path!r}")
    if not (folder / path).is_file():
        raise _bad("score_head.path", f"there is no file {path!r}")
    return ScoreHeadRef(path, captions, **figures)


def _parse_generation(table: dict[str, Any]) -> CompareOptions:
    known = {option.name for option in fields(CompareOptions)}
    for name in table:
        if name not in known:
            raise _bad(f"generation.{name}", f"unknown option; known are {', '.join(sorted(known))}")
    # JSON has lists only.
    columns = table.get("columns")
    try:
        return CompareOptions(**table | ({"columns": tuple(columns)} if isinstance(columns, list) else {}))
    except OptionsError as error:
        # The option's name opens the message.
        raise BundleError(f"{BUNDLE_FILE}: generation.{error}") from None


def _check_path(path: str, where: str, *, may_leave: bool) -> None:
    parts = PurePosixPath(path).parts
    if "\\" in path or ":" in path or not path.isprintable() or PurePosixPath(path).is_absolute():
        raise _bad(where, f"must be a relative path with forward slashes, not {path!r}")
    if len(path) > _LONGEST_PATH:
        raise _bad(where, f"must have at most {_LONGEST_PATH} characters, not {len(path)}")
    if ".." in parts and not may_leave:
        raise _bad(where, f"must stay inside the bundle, not {path!r}")


def _check_files(folder: Path, names: tuple[str, ...], where: str, path: str) -> None:
    if not folder.is_dir():
        raise _bad(where, f"there is no folder {path!r}")
    for name in names:
        if not (folder / name).is_file():
            raise _bad(where, f"the folder {path!r} has no {name}")


def _bad(where: str, problem: str) -> BundleError:
    return BundleError(f"{BUNDLE_FILE}: {where}: {problem}.")


_KINDS = {int: "a whole number", float: "a number", str: "a text", dict: "an object", list: "a list"}


class _Table:
    """A JSON object read field by field; what is left unread is a misspelt or unknown field."""

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, dict):
            raise _bad(where or "top level", "must be an object")
        self._rest = dict(table)
        self._where = where

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def take(self, name: str, kind: type, *, optional: bool = False) -> Any:
        value = self._rest.pop(name, None)
        if value is None:
            if optional:
                return None
            raise _bad(self._path(name), "missing")
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise _bad(self._path(name), f"must be {_KINDS[kind]}, not {json.dumps(value)}")
        if kind is str and not optional and not value.strip():
            raise _bad(self._path(name), "must not be empty")
        return value

    def finish(self) -> None:
        if self._rest:
            raise _bad(self._path(next(iter(self._rest))), "unknown field")
