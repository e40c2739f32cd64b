"""Requests to a served page that expect an answer or a message, and never anything else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from lora_mcl.types import CompareOptions
from ui.failures import APOLOGY
from ui.settings import SETTINGS

# A request that takes longer hangs, also on a busy machine.
PATIENCE = 180.0
# Answers in place of an exception that nobody foresaw: the page's, and Gradio's own.
UNFORESEEN = f"{APOLOGY}|has raised an exception"
# The fewest steps, for answers that are only counted.
QUICK = {"max_new_tokens": 4, "num_beams": 1, "num_beam_groups": 1}


@dataclass(frozen=True)
class Answer:
    """What came back: the last comparison, or the message in place of one."""

    comparison: dict[str, Any] | None
    message: str = ""

    @property
    def captioned(self) -> bool:
        return self.comparison is not None


class HostilePage:
    """A client of the page that checks, every now and then, that good requests still get the same answer."""

    def __init__(self, address: str, good: dict[str, Path], every: int = 20):
        self.client = Client(address, verbose=False)
        self._good, self._every, self._asked = good, every, 0
        self._expected = {modality: self._captions(modality) for modality in good}

    def ask(self, modality: str, media: Any, **values: Any) -> Answer:
        """Caption a file, or any other JSON value, at an endpoint."""
        answer = self._ask(modality, media, values)
        self._asked += 1
        if self._asked % self._every == 0:
            self.check_good_requests()
        return answer

    def file(self, path: Path) -> dict[str, Any]:
        """A file to upload."""
        return handle_file(str(path))

    def post(self, modality: str, body: bytes) -> str:
        """What the server answers to this request body: a refusal, or the events of a comparison."""
        url = f"{self.client.src}gradio_api/call/compare_{modality}"
        sent = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=PATIENCE)
        if sent.status_code != 200:
            return sent.text
        return httpx.get(f"{url}/{sent.json()['event_id']}", timeout=PATIENCE).text

    @contextmanager
    def connected(self, modality: str, media: Path) -> Iterator[Iterator[str]]:
        """The events of a comparison, by a client that keeps its connection open until the end of the block."""
        url, session = f"{self.client.src}gradio_api/queue/", uuid4().hex
        content = f"data:;base64,{base64.b64encode(media.read_bytes()).decode()}"
        chosen = [getattr(CompareOptions(), setting.name) for setting in SETTINGS]
        with httpx.Client(timeout=PATIENCE) as http:
            dependencies = http.get(f"{self.client.src}config").json()["dependencies"]
            (index,) = (entry["id"] for entry in dependencies if entry["api_name"] == f"compare_{modality}")
            data = [{"url": content}, *([None] if modality == "audio" else []), *chosen, None]
            http.post(f"{url}join", json={"data": data, "fn_index": index, "session_hash": session}).raise_for_status()
            with http.stream("GET", f"{url}data", params={"session_hash": session}) as stream:
                yield stream.iter_lines()

    def check_good_requests(self) -> None:
        assert {modality: self._captions(modality) for modality in self._good} == self._expected

    def _captions(self, modality: str) -> list[Any]:
        answer = self._ask(modality, self._good[modality], {})
        assert answer.captioned, answer.message
        # Requests that share steps may differ in the last bits of their scores.
        return [
            [(caption["text"], caption["tokens"], round(caption["log_prob"], 2)) for caption in column["captions"]]
            for column in answer.comparison["columns"]
        ]

    def _ask(self, modality: str, media: Any, values: dict[str, Any]) -> Answer:
        media = self.file(media) if isinstance(media, Path) else media
        job = self.client.submit(**{modality: media}, **(QUICK | values), api_name=f"/compare_{modality}")
        try:
            comparison = job.result(timeout=PATIENCE)
        except AppError as error:
            message = str(error)
            assert message and not re.search(f"{UNFORESEEN}|Traceback", message), message
            return Answer(None, message)
        assert all(column["captions"] for column in comparison["columns"])
        return Answer(comparison)
