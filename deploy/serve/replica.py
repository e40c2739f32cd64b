"""One replica: a captioner in a process of its own, whose requests share its steps."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deploy.serve.media import SentFile, received
from lora_mcl.allocator import give_back_memory, share_arenas
from lora_mcl.bundle.bundle import Bundle
from lora_mcl.decoding.options import SchedulerOptions
from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.types import AudioClip, CompareOptions, Comparison, Media

if TYPE_CHECKING:
    from lora_mcl.captioner import Captioner

# Media whose encoding a replica keeps.
KEEP_PROMPTS = 16
# Requests of a replica that may be open at a time; its scheduler decides which of them compute.
MAX_REQUESTS = 64


@dataclass(frozen=True)
class ReplicaConfig:
    """Configuration of a replica, JSON in ``user_config``; a change is applied without a restart.

    Attributes:
        bundle: folder or Hub id, with ``revision``.
        dtype, device_map, load_in_4bit: as for ``Captioner.load``.
        max_rows, max_cache_bytes: the scheduler's bounds.

    Raises:
        OptionsError: a value cannot be used.
    """

    bundle: str
    revision: str | None = None
    dtype: str | None = None
    device_map: str | None = None
    load_in_4bit: bool = False
    max_rows: int = SchedulerOptions.max_rows
    max_cache_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in (None, "float32", "bfloat16", "float16"):
            raise OptionsError(f"dtype must be float32, bfloat16 or float16, not {self.dtype!r}.")
        self.scheduler_options()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ReplicaConfig:
        """From JSON; raises OptionsError for an unknown name."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(config) - set(known)):
            raise OptionsError(f"user_config has no {unknown[0]}; there are {', '.join(known)}.")
        if "bundle" not in config:
            raise OptionsError("user_config needs a bundle: its folder or its Hub id.")
        return cls(**config)

    def scheduler_options(self) -> SchedulerOptions:
        """The scheduler's bounds."""
        return SchedulerOptions(self.max_rows, self.max_cache_bytes)

    def load(self) -> Captioner:
        """Load the bundle; raises BundleError."""
        # Not at the top: Ray reads this file also where no model is held, to deploy it.
        import torch

        from lora_mcl.captioner import Captioner

        return Captioner.load(
            self.bundle,
            revision=self.revision,
            dtype=None if self.dtype is None else getattr(torch, self.dtype),
            device_map=self.device_map,
            load_in_4bit=self.load_in_4bit,
            scheduler_options=self.scheduler_options(),
            keep_prompts=KEEP_PROMPTS,
        )


class CaptionReplica:
    """The captioner of a bundle, for callers in other processes.

    Errors that a visitor can do something about (``LoraMclError``) are given back in place of an answer, since an
    exception would come back without its type.
    """

    def __init__(self) -> None:
        share_arenas()
        give_back_memory()
        self._captioner: Captioner | None = None
        self._threads = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="comparison")
        # Comparisons that are not over: only the event loop counts.
        self._running = 0

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Load a bundle. Comparisons that run end with the bundle that they began with.

        Raises:
            LoraMclError: it cannot be loaded; the replica goes on with the one it has.
        """
        self._captioner = await self._in_thread(ReplicaConfig.of(config).load)

    async def check_health(self) -> None:
        """Caption a small picture or sound, one token long; raises if that fails."""
        if self._captioner is None:
            raise OptionsError("The deployment has no user_config: it needs a bundle, its folder or its Hub id.")
        await self._in_thread(check, self._captioner)

    async def status(self) -> dict[str, int]:
        """The process, and how many comparisons it computes."""
        return {"pid": os.getpid(), "running": self._running}

    async def bundle(self) -> Bundle:
        """The bundle."""
        return self._captioner.bundle

    async def call(self, method: str, media: Media | SentFile, *args: Any, **kwargs: Any) -> Any:
        """The answer of one of the captioner's methods about a medium, such as ``audio_view``."""
        captioner = self._captioner

        def answer() -> Any:
            try:
                with received(media) as own:
                    return getattr(captioner, method)(own, *args, **kwargs)
            except LoraMclError as error:
                return error

        return await self._in_thread(answer)

    async def compare(
        self, media: Media | SentFile, options: CompareOptions | None, start: float | None
    ) -> AsyncIterator[Comparison | LoraMclError]:
        """The captioner's snapshots. Work ends within one step when the caller cancels or goes away."""
        captioner, loop, stop = self._captioner, asyncio.get_running_loop(), threading.Event()
        snapshots: asyncio.Queue[Comparison | BaseException | None] = asyncio.Queue()

        def end(last: BaseException | None) -> None:
            # Together, so that for a caller who has the last item the comparison is over.
            self._running -= 1
            snapshots.put_nowait(last)

        def work() -> None:
            try:
                with (
                    received(media) as own,
                    closing(captioner.compare(own, options, start=start, should_stop=stop.is_set)) as found,
                ):
                    for comparison in found:
                        loop.call_soon_threadsafe(snapshots.put_nowait, comparison)
            except BaseException as error:
                loop.call_soon_threadsafe(end, error)
            else:
                loop.call_soon_threadsafe(end, None)

        self._running += 1
        self._threads.submit(work)
        try:
            while (item := await snapshots.get()) is not None:
                if isinstance(item, BaseException) and not isinstance(item, LoraMclError):
                    raise item
                yield item
                if isinstance(item, LoraMclError):
                    return
        finally:
            stop.set()

    async def _in_thread(self, run: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, run, *args)


def check(captioner: Captioner) -> None:
    """Caption a tiny image or sound, as a health check.

    Raises:
        RuntimeError: a column has no caption.
    """
    medium: Media = Image.linear_gradient("L").resize((32, 32)).convert("RGB")  # one colour would be refused
    if captioner.bundle.modality == "audio":
        medium = AudioClip(np.sin(np.arange(1_600, dtype=np.float32)), 16_000)
    options = CompareOptions(num_beams=1, num_beam_groups=1, max_new_tokens=1)
    *_, last = captioner.compare(medium, options)
    if not last.done or not all(column.captions for column in last.columns):
        raise RuntimeError(f"{captioner.name} left a column of a tiny medium empty.")
