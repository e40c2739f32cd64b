"""Visitors of a served page, for ``benchmarks.serve``: what they ask for, when they leave, and what they got."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from lora_mcl.modality import Modality

# How a visit ends: read to its end, ended by Cancel after the first words, or the visitor closes the connection then.
End = Literal["done", "cancel", "vanish"]
QUEUE_FULL = "queue full"
# Time limit of a visit without any answer, in seconds; exceeding it is an error.
PATIENCE = 120.0

Texts = dict[str, list[str]]
"""Captions by column id."""


@dataclass(frozen=True)
class MediaFile:
    """A file to caption, and the library's own captions of it."""

    file: Path
    modality: Modality
    expected: Texts


@dataclass(frozen=True)
class Visit:
    """One request: seconds until the first words and until the end, wrong columns, or what went wrong."""

    end: End
    first: float | None = None
    total: float | None = None
    columns: int = 0
    wrong: int = 0
    error: str = ""


@dataclass(frozen=True)
class Mix:
    """Shares of visits that end early; the others are read to their end."""

    cancel: float = 0.1
    vanish: float = 0.05

    def end(self, chance: random.Random) -> End:
        """How the next visit ends."""
        drawn = chance.random()
        return "cancel" if drawn < self.cancel else "vanish" if drawn < self.cancel + self.vanish else "done"


class Api(Protocol):
    """A server's interface as a visitor uses it."""

    def visit(self, http: httpx.AsyncClient, medium: MediaFile) -> AsyncIterator[Texts | None]:
        """Ask for a comparison: its columns with words as they come, then None at the end. Raises ServerError."""

    async def cancel(self, http: httpx.AsyncClient) -> None:
        """End this visitor's comparison on the server."""


class ServerError(Exception):
    """The server's refusal or failure, as its visitor sees it."""


@dataclass
class PageApi:
    """The served page through its documented HTTP API: upload, call, event stream.

    Attributes:
        functions: index of each endpoint's function, which ``/cancel`` asks for, by endpoint.
    """

    address: str
    functions: Mapping[str, int]
    event: str = ""
    function: int = 0

    @classmethod
    def at(cls, address: str) -> PageApi:
        """The API of a page."""
        config = httpx.get(f"{address}/config", timeout=PATIENCE).json()
        return cls(address, {entry["api_name"]: entry["id"] for entry in config["dependencies"]})

    async def visit(self, http: httpx.AsyncClient, medium: MediaFile) -> AsyncIterator[Texts | None]:
        """Upload the file, call the endpoint, read its events."""
        endpoint, api = f"compare_{medium.modality}", f"{self.address}/gradio_api"
        files = {"files": (medium.file.name, medium.file.read_bytes())}
        (uploaded,) = _checked(await http.post(f"{api}/upload", files=files))
        body = {medium.modality: {"path": uploaded, "meta": {"_type": "gradio.FileData"}}}
        called = await http.post(f"{api}/call/v2/{endpoint}", json=body)
        self.event, self.function = _checked(called)["event_id"], self.functions[endpoint]
        event, has_words = "", False
        async with http.stream("GET", f"{api}/call/{endpoint}/{self.event}") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif event == "error":
                    raise ServerError(line.removeprefix("data: ")[:200])
                # To read every update would keep the cores from the server: the first words and the end count.
                elif event in ("generating", "complete") and line.startswith("data: "):
                    if has_words and event == "generating":
                        continue
                    data = json.loads(line.removeprefix("data: "))
                    if columns := data and data[0]["columns"]:
                        texts = {c["id"]: [caption["text"] for caption in c["captions"]] for c in columns}
                        has_words = any(texts.values())
                        if has_words:
                            yield texts
                    if event == "complete":
                        yield None
                        return
        raise ServerError("the stream ended before the comparison")

    async def cancel(self, http: httpx.AsyncClient) -> None:
        """As Gradio's clients do."""
        ids = {"session_hash": self.event, "fn_index": self.function, "event_id": self.event}
        _checked(await http.post(f"{self.address}/gradio_api/cancel", json=ids))


@dataclass
class LinesApi:
    """A server that answers a posted file with a line of JSON for each column."""

    address: str

    async def visit(self, http: httpx.AsyncClient, medium: MediaFile) -> AsyncIterator[Texts | None]:
        """Post the file, read the lines."""
        texts: Texts = {}
        url = f"{self.address}/{medium.modality}"
        async with http.stream("POST", url, content=medium.file.read_bytes()) as stream:
            if stream.status_code != httpx.codes.OK:
                raise ServerError(f"status {stream.status_code}")
            async for line in stream.aiter_lines():
                texts |= json.loads(line)
                yield dict(texts)
        if len(texts) < len(medium.expected):
            raise ServerError("the answer ended before its last column")
        yield None

    async def cancel(self, http: httpx.AsyncClient) -> None:
        """Closing the connection is all there is."""


def _checked(response: httpx.Response) -> Any:
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise ServerError(QUEUE_FULL)
    if response.status_code != httpx.codes.OK:
        raise ServerError(f"status {response.status_code}: {response.text[:200]}")
    return response.json()


async def visit(api: Api, http: httpx.AsyncClient, medium: MediaFile, end: End) -> Visit:
    """One visit from its first request to its end."""
    started, first, texts = time.perf_counter(), None, None
    try:
        async with aclosing(api.visit(http, medium)) as updates:
            async for update in updates:
                if update is None:
                    break
                texts = update
                first = first or time.perf_counter() - started
                if end != "done":
                    break
        if end == "cancel":
            await api.cancel(http)
    except (ServerError, httpx.HTTPError) as error:
        return Visit(end, first, error=str(error) or type(error).__name__)
    if end != "done":
        return Visit(end, first)
    wrong = sum(texts is None or texts.get(id) != captions for id, captions in medium.expected.items())
    return Visit(end, first, time.perf_counter() - started, len(medium.expected), wrong)


@dataclass
class Load:
    """Visitors who ask again and again until a time is over.

    Attributes:
        api: makes the interface of each visitor.
        media: what they choose from.
        seed: decides what each visitor asks for and which visits end early.
    """

    api: Any
    media: Sequence[MediaFile]
    mix: Mix = field(default_factory=Mix)
    seed: int = 0

    async def run(self, clients: int, seconds: float) -> list[Visit]:
        """The visits that ended in time, or one, of a number of visitors at a time; the others are broken off."""
        until = time.perf_counter() + seconds
        found: list[Visit] = []
        one = asyncio.Event()

        async def visitor(number: int) -> None:
            chance = random.Random(f"{self.seed}-{clients}-{number}")
            limits = httpx.Timeout(PATIENCE)
            while not found or time.perf_counter() < until:
                # A visitor's own connection, as a browser has it.
                async with httpx.AsyncClient(timeout=limits) as http:
                    found.append(await visit(self.api(), http, chance.choice(self.media), self.mix.end(chance)))
                one.set()

        visitors = [asyncio.create_task(visitor(number)) for number in range(clients)]
        await asyncio.wait(visitors, timeout=seconds)
        if not found:
            first = asyncio.create_task(one.wait())
            await asyncio.wait([first, *visitors], return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
        in_time = list(found)
        for task in visitors:
            task.cancel()
        for ended in await asyncio.gather(*visitors, return_exceptions=True):
            if isinstance(ended, Exception):  # a cancelled task's is none
                raise ended
        return in_time
