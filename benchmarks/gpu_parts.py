"""The parts of ``benchmarks.gpu``, each measured on the model that is loaded at the time."""

from __future__ import annotations

import gc
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from benchmarks import gpu_steps
from benchmarks.gpu_models import ModelShape, media_of, write_base, write_bundle
from benchmarks.gpu_steps import made_as, wait
from benchmarks.train_step import Workload, prepare
from lora_mcl.adapters import AdapterStack
from lora_mcl.bundle import Bundle
from lora_mcl.captioner import Captioner
from lora_mcl.errors import BundleError
from lora_mcl.hub_id import is_hub_id
from lora_mcl.modality import Modality
from lora_mcl.models import LANGUAGE_MODELS, MediaLanguageModel
from lora_mcl.types import Comparison, Media

Report = dict[str, Any]
VISITORS = (1, 4, 16)
MODALITY_OF = {"llava_next": "image", "qwen2_audio": "audio"}


class Skipped(Exception):
    """A part cannot be measured here; the message is the reason."""


@dataclass(frozen=True)
class Part:
    """One part of the run.

    Attributes:
        seconds, gib: what it needs at 7B shape; it is skipped where there is less time or memory.
    """

    name: str
    seconds: float
    gib: float
    run: Callable[[], Report]


@dataclass
class _Loaded:
    """A base model, the adapters of its bundle, and a captioner of both."""

    modality: Modality
    language_model: MediaLanguageModel
    bundle: Bundle

    def __post_init__(self) -> None:
        self.attach()

    def attach(self) -> None:
        """Put the bundle's adapters on."""
        model, folders = self.language_model.model, self.bundle.adapter_folders()
        self.stack = AdapterStack.from_peft(model, folders, dtype=torch.bfloat16)
        self.captioner = Captioner(self.bundle, self.language_model, self.stack)


@dataclass
class GpuRun:
    """The models and the place of one run.

    Attributes:
        folder: for models and bundles; 32 GB at 7B shape.
        bases: published models (folder or Hub id) in place of random weights, by modality.
    """

    device: torch.device
    shapes: dict[Modality, ModelShape]
    folder: Path
    bases: dict[Modality, str] = field(default_factory=dict)
    tiny: bool = False
    bandwidth: float = 0.0
    _bundles: dict[Modality, Bundle] = field(default_factory=dict)
    _loaded: _Loaded | None = None

    def parts(self) -> list[Part]:
        """All parts, most important first; those of one model follow one another, so that it is loaded once."""
        return [
            Part("bandwidth", 5, 5, self.measure_bandwidth),
            Part("image, load and caption", 150, 30, lambda: self.load_and_caption("image")),
            Part("image, steps", 60, 30, lambda: self.steps("image")),
            Part("image, visitors", 60, 60, lambda: self.visitors("image")),
            Part("audio, load and caption", 150, 30, lambda: self.load_and_caption("audio")),
            Part("audio, steps", 60, 30, lambda: self.steps("audio")),
            *(
                Part(f"training, {name}", 25, 40, lambda way=way, k=k: self.training_step(way, k))
                for name, (way, k) in TRAINING.items()
            ),
            Part("image, 4 bits", 60, 12, lambda: self.four_bits("image")),
            Part("audio, visitors", 60, 60, lambda: self.visitors("audio")),
        ]

    def measure_bandwidth(self) -> Report:
        """Of a large copy."""
        self.bandwidth = gpu_steps.bandwidth(self.device, 16 if self.tiny else 2048)
        return {"gb_per_second": round(self.bandwidth / 1e9, 1)}

    def load_and_caption(self, modality: Modality) -> Report:
        """Seconds and memory of loading a bundle as the page does, and of two requests, one after the other."""
        bundle = self._bundle(modality)
        self._free()
        started = time.perf_counter()
        captioner = self._load(modality).captioner
        wait(self.device)
        loading = {"load_seconds": round(time.perf_counter() - started, 2), "loaded_gib": allocated(self.device)}
        (medium,) = media_of(self.shapes[modality], 1)
        first, (comparison, second) = caption(captioner, medium)[1], caption(captioner, medium)
        return {
            **loading,
            "parameters": bundle.training["parameters"],
            "parameters_per_adapter": bundle.training["parameters_per_adapter"],
            "first_request": first,
            "second_request": second,
            "columns": {column.id: [c.tokens for c in column.captions] for column in comparison.columns},
        }

    def steps(self, modality: Modality) -> Report:
        """Prefill and milliseconds a step, with and without CUDA graphs; see ``gpu_steps``."""
        loaded, shape = self._load(modality), self.shapes[modality]
        kinds = ("off", "static") if self.device.type == "cpu" else gpu_steps.ACCELERATIONS[:2]
        speed = self.bandwidth or gpu_steps.bandwidth(self.device, 16)
        # Its own adapters take the place of the bundle's.
        loaded.stack.detach()
        self._loaded = None
        found = gpu_steps.measure(loaded.language_model.model, shape.positions, shape.new_tokens, speed, kinds)
        loaded.attach()
        self._loaded = loaded
        return found

    def visitors(self, modality: Modality) -> Report:
        """Continuous batching: as many requests at a time, each with a medium of its own."""
        captioner = self._load(modality).captioner
        media = media_of(self.shapes[modality], VISITORS[-1])
        caption(captioner, media[0])
        return {str(count): together(captioner, media[:count]) for count in VISITORS}

    def training_step(self, way: str, hypotheses: int) -> Report:
        """Milliseconds and peak memory of a step on a language model of LLaVA's shape, without its tower."""
        self._free()
        text = self.shapes["image"].text
        workload = Workload(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            heads=text["num_attention_heads"],
            vocab=text["vocab_size"],
            tokens=30 if self.tiny else 600,
            batch=1,
            device=self.device.type,
            dtype="float32" if self.tiny else "bfloat16",
        )
        # Made in this type, and not first in one of twice the size.
        with made_as(getattr(torch, workload.dtype), torch.device("cpu")):
            step = prepare(way, workload, hypotheses)
        times = []
        for _ in range(4):
            started = time.perf_counter()
            step()
            wait(self.device)
            times.append(time.perf_counter() - started)
        return {"tokens": workload.tokens, "ms": round(1000 * statistics.median(times[1:]), 1)}

    def four_bits(self, modality: Modality) -> Report:
        """A request with the language model held in 4 bits."""
        if find_spec("bitsandbytes") is None:
            raise Skipped("bitsandbytes is not installed")
        bundle = self._bundle(modality)
        self._free()
        captioner = Captioner.load(bundle, device=self.device, dtype=torch.bfloat16, load_in_4bit=True)
        loaded = allocated(self.device)
        (medium,) = media_of(self.shapes[modality], 1)
        caption(captioner, medium)
        return {"loaded_gib": loaded, "second_request": caption(captioner, medium)[1]}

    def _bundle(self, modality: Modality) -> Bundle:
        """The bundle of a modality, written at the first call."""
        if modality in self._bundles:
            return self._bundles[modality]
        self._free()
        shape, folder = self.shapes[modality], self.folder / modality
        base = self.bases.get(modality)
        if base is None:
            base = folder / "base"
            write_base(base, shape, self.device)
            collect()
        language_model = LANGUAGE_MODELS[modality].load(base, dtype=torch.bfloat16, device=self.device)
        self._bundles[modality] = write_bundle(language_model.model, base, folder / "bundle", shape)
        return self._bundles[modality]

    def _load(self, modality: Modality) -> _Loaded:
        """The model of a modality with the adapters of its bundle; the one that is loaded, if it is that."""
        if self._loaded is None or self._loaded.modality != modality:
            bundle = self._bundle(modality)
            self._free()
            language_model = LANGUAGE_MODELS[modality].load(
                bundle.base_location(),
                dtype=torch.bfloat16,
                device=self.device,
                chat_template=bundle.chat_template,
            )
            self._loaded = _Loaded(modality, language_model, bundle)
        return self._loaded

    def _free(self) -> None:
        self._loaded = None
        collect()

    def close(self) -> None:
        """Give memory and disk back."""
        self._free()
        shutil.rmtree(self.folder, ignore_errors=True)


# The ways of ``train_step``: plain LoRA is one hypothesis.
TRAINING = {
    "plain LoRA": ("all", 1),
    **{f"K = {k}, {way}": (way, k) for k in (3, 5) for way in ("all", "sampled", "winner")},
}


def modality_of_base(base: str) -> Modality:
    """What a published model captions.

    Raises:
        BundleError: it is neither a folder nor a Hub id, or another model.
    """
    if not Path(base).is_dir() and not is_hub_id(base):
        raise BundleError(f"The base model {base!r} is neither a folder nor a Hub id (owner/name or name).")
    try:
        found = AutoConfig.from_pretrained(base).model_type
    except (OSError, ValueError) as error:
        raise BundleError(f"The base model {base} cannot be read: {str(error).splitlines()[0]}") from None
    if found not in MODALITY_OF:
        raise BundleError(f"The base model {base} is a {found}: it must be one of {', '.join(MODALITY_OF)}.")
    return MODALITY_OF[found]


def collect() -> None:
    """Give back what nothing refers to."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def allocated(device: torch.device) -> float | None:
    """GiB in use on the GPU; None on the CPU."""
    return None if device.type == "cpu" else round(torch.cuda.memory_allocated(device) / 2**30, 2)


def timing(started: float, events: list[float]) -> dict[str, float]:
    """How long a request took that was made at ``started``, by the times of its events."""
    return {
        "first_token_seconds": round(events[0] - started, 3),
        "ms_per_token": round(1000 * statistics.median(later - earlier for earlier, later in pairwise(events)), 2),
        "total_seconds": round(events[-1] - started, 3),
    }


def caption(captioner: Captioner, medium: Media) -> tuple[Comparison, dict[str, float]]:
    """The finished comparison, and how long it took."""
    started, events = time.perf_counter(), []
    for comparison in captioner.compare(medium):
        # The first snapshot comes before the medium is encoded. The others hold tokens: what computed these is done.
        if comparison.seconds:
            events.append(time.perf_counter())
    return comparison, timing(started, events)


def together(captioner: Captioner, media: list[Media]) -> Report:
    """One request for each medium, all at a time, each in a thread."""
    found: list[dict[str, float]] = []
    errors: list[Exception] = []

    def ask(medium: Media) -> None:
        try:
            found.append(caption(captioner, medium)[1])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(medium,)) for medium in media]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    seconds = time.perf_counter() - started
    return {
        "comparisons_per_second": round(len(media) / seconds, 3),
        "first_token_seconds": round(statistics.median(timed["first_token_seconds"] for timed in found), 3),
        "total_seconds": round(max(timed["total_seconds"] for timed in found), 3),
        "ms_per_step": round(statistics.median(timed["ms_per_token"] for timed in found), 2),
    }
