"""The servers that ``benchmarks.serve`` compares, each a process of its own.

page    the page of this repository: python app.py --keep-prompts 0, so that every comparison is computed
turns   the same, but a model computes one comparison at a time: --max-rows 1 too
peft    a threaded HTTP server that runs PEFT's generate for one column after the other: this file

python -m benchmarks.serve_ways IMAGE_BUNDLE AUDIO_BUNDLE PORT       # the last one
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from peft import PeftModel

from benchmarks.serve_clients import Api, LinesApi, PageApi, Texts
from lora_mcl.audio import load_window
from lora_mcl.bundle import load_bundle
from lora_mcl.decoding import ColumnRequest, DiverseBeamSearch, Engine, LogitsOptions
from lora_mcl.images import load_image
from lora_mcl.models import LANGUAGE_MODELS, AudioLanguageModel
from training.paths import ROOT

WAYS = ("page", "turns", "peft")
START_SECONDS = 600.0
# A server whose visitors have all left is idle when it uses less than this share of a core; looked for so long.
IDLE_SHARE, IDLE_SECONDS = 0.1, 60.0


class PeftColumns:
    """The columns of a bundle by PEFT and transformers, one ``generate`` for each, as their documentation shows."""

    def __init__(self, source: str) -> None:
        self.bundle = load_bundle(source)
        self.language_model = LANGUAGE_MODELS[self.bundle.modality].load(self.bundle.base_location())
        names = iter(self.bundle.adapter_folders().items())
        first, folder = next(names)
        self.model = PeftModel.from_pretrained(self.language_model.model, folder, adapter_name=first).eval()
        for name, folder in names:
            self.model.load_adapter(folder, adapter_name=name)
        # Which adapter is in use is a state of the model: the threads take turns, column by column.
        self._lock = threading.Lock()

    def columns(self, file: Path) -> Iterator[Texts]:
        """Each column's captions, as soon as it is done."""
        model, options = self.language_model, self.bundle.generation
        if isinstance(model, AudioLanguageModel):
            content, _ = load_window(file, None, sampling_rate=model.sampling_rate, max_seconds=model.max_seconds)
        else:
            content = load_image(file)
        inputs = dict(model.inputs(content, self.bundle.prompt))
        for k in range(len(self.bundle.hypotheses)):
            with self._using(f"hypothesis-{k}"):
                yield {f"hypothesis-{k}": self._generate(inputs)}
        with self._using("baseline"):
            beams = {"num_beams": options.num_beams, "num_return_sequences": options.num_beams}
            yield {"beam": self._generate(inputs, length_penalty=options.length_penalty, **beams)}
        with self._using("baseline"):
            yield {"diverse-beam": self._diverse_beam(content)}

    @contextmanager
    def _using(self, adapter: str) -> Iterator[None]:
        with self._lock:
            self.model.set_adapter(adapter)
            yield

    @torch.no_grad()
    def _generate(self, inputs: dict[str, Any], **options: Any) -> list[str]:
        model = self.language_model
        output = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=self.bundle.generation.max_new_tokens,
            eos_token_id=list(model.eos_token_ids),
            pad_token_id=model.pad_token_id,
            suppress_tokens=list(model.forbidden_token_ids),
            no_repeat_ngram_size=self.bundle.generation.no_repeat_ngram_size,
            **options,
        )
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [_text(model.text(_until_end(row, model.eos_token_ids))) for row in rows]

    def _diverse_beam(self, content: Any) -> list[str]:
        """transformers 5 has no diverse beam search, so ours stands in, alone on the PEFT model."""
        model, options = self.language_model, self.bundle.generation
        engine = Engine(self.model.get_base_model(), None, model.eos_token_ids, model.pad_token_id)
        strategy = DiverseBeamSearch(
            options.num_beams,
            options.num_beam_groups,
            options.diversity_penalty,
            length_penalty=options.length_penalty,
        )
        events = engine.decode(
            model.encode(content, self.bundle.prompt),
            [ColumnRequest("diverse-beam", -1, strategy)],
            max_new_tokens=options.max_new_tokens,
            logits_options=LogitsOptions(
                forbidden_token_ids=model.forbidden_token_ids, no_repeat_ngram_size=options.no_repeat_ngram_size
            ),
        )
        *_, last = (event.columns["diverse-beam"] for event in events if event.columns)
        return [_text(model.text(candidate.tokens)) for candidate in last]


def _until_end(row: list[int], eos_token_ids: tuple[int, ...]) -> list[int]:
    ends = [index for index, token in enumerate(row) if token in eos_token_ids]
    return row[: ends[0]] if ends else row


def _text(text: str) -> str:
    return text.rstrip("\ufffd").strip()


def peft_server(columns: dict[str, PeftColumns], port: int, folder: Path) -> ThreadingHTTPServer:
    """A server of POST /image and /audio: the file is the body, the answer a line of JSON for each column."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            file = folder / f"{threading.get_ident()}-{time.perf_counter_ns()}"
            file.write_bytes(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()
            try:
                for column in columns[self.path.strip("/")].columns(file):
                    self.wfile.write(json.dumps(column).encode() + b"\n")
                    self.wfile.flush()
            except ConnectionError:
                pass  # the visitor has left
            finally:
                file.unlink()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


@dataclass
class Server:
    """A running way: its first process and how to ask it."""

    way: str
    process: psutil.Process
    address: str

    def api(self) -> Any:
        """Makes each visitor's interface."""
        if self.way == "peft":
            return lambda: LinesApi(self.address)
        functions = PageApi.at(self.address).functions

        def make() -> Api:
            return PageApi(self.address, functions)

        return make

    def cpu_seconds(self) -> float:
        """CPU time that it and its models' processes have used."""
        used = [process.cpu_times() for process in self._processes()]
        return sum(times.user + times.system for times in used)

    def memory_mib(self) -> float:
        """Their resident memory; what they share, such as libraries, is counted for each."""
        return sum(process.memory_info().rss for process in self._processes()) / 2**20

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def settle(self) -> None:
        """Wait until what was broken off takes no more of the machine."""
        until, used = time.monotonic() + IDLE_SECONDS, None
        while time.monotonic() < until:
            before, used = used, self.cpu_seconds()
            if before is not None and used - before < IDLE_SHARE * 0.5:
                return
            time.sleep(0.5)


@contextmanager
def serving(way: str, image_bundle: str, audio_bundle: str, threads: int, log: Path) -> Iterator[Server]:
    """Start a way and wait until it answers.

    Raises:
        RuntimeError: it ends before, or does not answer in time; with the end of what it wrote.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if way == "peft":
        command = ["-m", "benchmarks.serve_ways", image_bundle, audio_bundle, str(port)]
    else:
        models = ["--image-model", image_bundle, "--audio-model", audio_bundle]
        # The visitors share a few files; real ones mostly bring their own.
        models += ["--keep-prompts", "0"]
        command = ["app.py", *models, "--port", str(port), *(["--max-rows", "1"] if way == "turns" else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"The server {way!r} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield Server(way, psutil.Process(process.pid), address)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=30).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def main(argv: list[str] | None = None) -> None:
    """Serve the PEFT way until it is ended."""
    image, audio, port = sys.argv[1:] if argv is None else argv
    columns = {"image": PeftColumns(image), "audio": PeftColumns(audio)}
    with tempfile.TemporaryDirectory() as folder:
        peft_server(columns, int(port), Path(folder)).serve_forever()


if __name__ == "__main__":
    main()
