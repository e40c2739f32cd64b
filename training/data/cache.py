"""A cache of the frozen tower's features on disk: from the second epoch on, neither decoding nor the tower runs.

Features are found by the contents of the media file and by what made them: the base, its revision, the tower's data
type and weights, and the processor's settings. So a cache serves several runs and is never wrong, and it may be deleted
at any time. It never grows beyond its limit: what does not fit is computed again each time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lora_mcl.errors import OptionsError
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.output_paths import make_output_folder
from training.data.example import Example

logger = logging.getLogger(__name__)

_SUFFIX = ".safetensors"


class FeatureCache:
    """A folder of features, one file for each image or sound.

    Args:
        folder: made if it is not there.
        limit: bytes that all files in the folder may take.
        fingerprint: see ``fingerprint``.
        processes: processes that write to the folder at once; each may fill an equal part of what is free now.

    Raises:
        OptionsError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path, limit: int, fingerprint: str, *, processes: int = 1) -> None:
        self.folder, self._fingerprint = Path(folder).expanduser(), fingerprint
        make_output_folder(self.folder, "feature_cache")
        used = sum(file.stat().st_size for file in self.folder.glob(f"*/*{_SUFFIX}"))
        self._free = (limit - used) // processes
        self._full = False

    def key(self, example: Example) -> str:
        """The name of the features of an example's media.

        Raises:
            OSError: its file cannot be read.
            MediaError: there is none.
        """
        if isinstance(example.media, Path):
            with example.media.open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
        else:
            content = hashlib.sha256(example.media.read())
        content.update(self._fingerprint.encode())
        return content.hexdigest()

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The features, if they are cached; a file that cannot be read is removed."""
        try:
            with safe_open(self._file(key), "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        except OSError:
            return None
        except SafetensorError:
            self._file(key).unlink(missing_ok=True)
            return None

    def put(self, key: str, features: dict[str, Tensor]) -> bool:
        """Cache features if they fit; returns whether they are cached. A file is there as a whole or not at all."""
        file = self._file(key)
        if file.exists():
            return True
        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in features.items()})
        if len(content) > self._free:
            if not self._full:
                logger.warning("feature cache %s is full: what is not in it is computed each time", self.folder)
            self._full = True
            return False
        file.parent.mkdir(exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
        try:
            partial.write_bytes(content)
            os.replace(partial, file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            logger.warning("feature cache %s: %s; nothing more is added", self.folder, error.strerror)
            self._free, self._full = 0, True
            return False
        self._free -= len(content)
        return True

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{_SUFFIX}"


def fingerprint(model: MediaLanguageModel, revision: str | None = None) -> str:
    """Everything that features depend on except the media, as text."""
    processor = model.processor
    settings = processor.image_processor if model.modality == "image" else processor.feature_extractor
    config = model.model.config
    tower = model.model.get_submodule(model.media_modules[0])
    values = hashlib.sha256()
    for _, weight in sorted(tower.state_dict().items()):
        values.update(weight.detach().cpu().flatten().view(torch.uint8).numpy())
    facts = {
        "base": model.model.name_or_path,
        "revision": revision,
        "dtype": str(tower.dtype),
        "tower": values.hexdigest(),
        "config": {name: value for name, value in config.to_dict().items() if name.startswith("vision")},
        "settings": settings.to_dict(),
        "window": "from the first sound",
    }
    return json.dumps(facts, sort_keys=True, default=str)


def open_cache(
    folder: str, gib: float, model: MediaLanguageModel, revision: str | None = None, *, processes: int = 1
) -> FeatureCache | None:
    """The cache of ``DataOptions``, or None for an empty folder name.

    Raises:
        OptionsError: the folder cannot be written to, or the tower is not frozen or carries adapters.
    """
    if not folder:
        return None
    tower = model.model.get_submodule(model.media_modules[0])
    if any(weight.requires_grad for weight in tower.parameters()):
        raise OptionsError(
            "feature_cache: the media tower learns or carries adapters, so its answers change: leave it out"
        )
    return FeatureCache(folder, round(gib * 2**30), fingerprint(model, revision), processes=processes)
