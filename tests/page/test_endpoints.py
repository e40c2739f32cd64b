"""The page's endpoints through gradio_client."""

import base64
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
import torch
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from lora_mcl.types import CompareOptions
from tests.support.browsing import wait_until
from tests.support.fake_captioner import (
    BEAM,
    DIVERSE,
    HYPOTHESES,
    SAMPLES,
    FakeCaptioner,
)
from tests.support.file_server import serving
from tests.support.served_pages import image_tab
from ui.examples import load_examples
from ui.page import build_page
from ui.settings import SETTINGS

FILE_DATA = {"_type": "gradio.FileData"}


def test_only_comparison_and_score_are_public(client):
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert list(endpoints["named_endpoints"]) == ["/compare_image", "/score_image", "/slide_image", "/caption_files"]
    assert not endpoints["unnamed_endpoints"]
    parameters = endpoints["named_endpoints"]["/compare_image"]["parameters"]
    assert [(p["parameter_name"], p["parameter_default"]) for p in parameters[1:]] == [
        ("num_beams", 3),
        ("num_beam_groups", None),
        ("diversity_penalty", 0.8),
        ("hypothesis_beams", 1),
        ("num_samples", 0),
        ("max_new_tokens", 48),
        ("temperature", 1),
        ("seed", 0),
        ("columns", ["hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam"]),
    ]
    assert parameters[0]["parameter_name"] == "image" and not parameters[0]["parameter_has_default"]


def test_the_endpoint_streams_comparisons_as_json(connect, picture):
    client = connect(image_tab(FakeCaptioner(seconds_per_token=0.3)))  # slower than programs get updates
    job = client.submit(image=handle_file(str(picture)), num_beams=2, num_beam_groups=1, api_name="/compare_image")
    final = job.result(timeout=60)
    assert final["media"] == picture.name and final["model"] == "fake"
    ids = ["hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam"]
    assert [column["id"] for column in final["columns"]] == ids
    texts = [[caption["text"] for caption in column["captions"]] for column in final["columns"]]
    assert texts == [*([sentence] for _, _, sentence in HYPOTHESES), list(BEAM[:2]), list(DIVERSE[:2])]
    assert set(final["columns"][0]["captions"][0]) == {"text", "log_prob", "mean_log_prob", "tokens"}
    # All hypotheses grew together.
    lengths = [[len(c["captions"][0]["text"].split()) for c in o["columns"][:3]] for o in job.outputs()[1:5]]
    assert lengths == sorted(lengths) and len(lengths) == 4 and all(len(set(row)) == 1 for row in lengths)


def test_the_endpoint_draws_samples_where_asked(client, picture):
    image = handle_file(str(picture))
    final = client.predict(image=image, num_samples=2, api_name="/compare_image")
    assert [caption["text"] for caption in final["columns"][-1]["captions"]] == list(SAMPLES[:2])
    assert final["columns"][-1]["method"] == "sampling"


def test_the_endpoint_fills_the_chosen_columns(client, picture):
    image = handle_file(str(picture))
    final = client.predict(image=image, columns=["beam", "hypothesis-1"], api_name="/compare_image")
    assert [column["id"] for column in final["columns"]] == ["hypothesis-1", "beam"]
    with pytest.raises(AppError, match="There is no column 'guess'; there are hypothesis-0, "):
        client.predict(image=image, columns=["guess"], api_name="/compare_image")
    with pytest.raises(AppError, match="Choose at least one column"):
        client.predict(image=image, columns=[], api_name="/compare_image")


def test_the_real_captioner_answers(connect, picture, tiny_captioner):
    final = connect(image_tab(tiny_captioner)).predict(image=handle_file(str(picture)), api_name="/compare_image")
    assert [len(column["captions"]) for column in final["columns"]] == [1, 1, 1, 4, 4]
    (*_, direct) = tiny_captioner.compare(picture)
    assert [c["captions"] for c in final["columns"]] == [c["captions"] for c in direct.to_dict()["columns"]]


def test_the_embedded_bundle_answers(connect, picture, embedded_captioner):
    final = connect(image_tab(embedded_captioner)).predict(image=handle_file(str(picture)), api_name="/compare_image")
    assert all(column["captions"][0]["text"] for column in final["columns"])
    assert app.model_info(embedded_captioner.bundle).can


NOT_PICTURES = {
    "text.png": b"this is no picture",
    "empty.png": b"",
    "cut.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_a_file_that_is_no_picture_gets_a_message(client, tmp_path, name):
    (tmp_path / name).write_bytes(NOT_PICTURES[name])
    with pytest.raises(AppError, match=Path(name).stem):
        client.predict(image=handle_file(str(tmp_path / name)), api_name="/compare_image")


def test_bad_requests_get_messages(client, picture):
    with pytest.raises(AppError, match="Choose a picture first"):
        client.predict(image=None, api_name="/compare_image")
    image = handle_file(str(picture))
    for values, message in (
        ({"num_beams": 4, "num_beam_groups": 3}, "num_beam_groups must divide"),
        ({"num_beams": 99}, "num_beams.* from 1 to 12"),
        ({"num_beams": 2.5, "num_beam_groups": 1}, "num_beams.* must be a whole number from 1 to 12, not 2.5"),
        ({"diversity_penalty": "much"}, "diversity_penalty"),
        ({"max_new_tokens": None}, "max_new_tokens"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(image=image, **values, api_name="/compare_image")


def test_messages_to_clients_are_plain_text(client, picture):
    with pytest.raises(AppError, match="must be a number from 0 to 3, not '<b>&'"):
        client.predict(image=handle_file(str(picture)), diversity_penalty="<b>&", api_name="/compare_image")


def test_beams_alone_are_enough(client, picture):
    final = client.predict(image=handle_file(str(picture)), num_beams=2, api_name="/compare_image")
    assert [len(column["captions"]) for column in final["columns"]] == [1, 1, 1, 2, 2]


def test_files_that_were_not_uploaded_are_refused(client, picture):
    """Not even with the mark of uploads left out, by which Gradio recognises a file."""
    for stolen in ({"path": str(picture)}, {"path": str(picture), "url": "/x", "orig_name": "a.png"}):
        with pytest.raises(AppError, match="picture.png was not uploaded"):
            client.predict(image=stolen, api_name="/compare_image")


def _private_call(address: str, name: str, data: list) -> str:
    """Call an event of the page as its browser does; returns the server's last message."""
    with httpx.Client(base_url=f"{address}gradio_api/", timeout=60) as http:
        dependencies = http.get(f"{address}config").json()["dependencies"]
        (index,) = (entry["id"] for entry in dependencies if entry["api_name"] == name)
        body = {"data": data, "fn_index": index, "session_hash": "thief", "event_data": None, "trigger_id": 1}
        http.post("queue/join", json=body).raise_for_status()
        stream = http.get("queue/data", params={"session_hash": "thief"}).text
    return stream


def test_the_pages_own_events_read_uploads_only(serve, picture):
    address = serve(image_tab())
    for media in ({"path": str(picture)}, {"path": str(picture), "meta": {"_type": "gradio.FileData"}}):
        answer = _private_call(address, "check", [media])
        assert "was not uploaded" in answer or '"success":false' in answer.replace(" ", "")
        assert "data:image" not in answer


def test_a_picture_can_be_sent_as_base64(client, picture):
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    assert client.predict(image={"url": url}, api_name="/compare_image")["columns"][0]["captions"]
    parameters = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/compare_image"]
    described = parameters["parameters"][0]["type"]["properties"]
    assert "base64" in described["url"]["description"] and "address" not in described["path"]["description"]


def test_the_documentation_names_what_is_read():
    handlers = _handlers(build_page([image_tab()]))
    assert "    image: the picture; JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, HEIC, JPEG 2000.\n" in (
        handlers["compare_image"].__doc__
    )


def test_addresses_are_not_fetched(client):
    for image in (handle_file("http://127.0.0.1:9/a.png"), {"url": "http://127.0.0.1:9/a.png"}):
        with pytest.raises(AppError, match="Addresses are not fetched from here"):
            client.predict(image=image, api_name="/compare_image")


def test_addresses_are_fetched_where_that_is_wanted_but_not_from_this_network(connect):
    client = connect(image_tab(), fetch_urls=True)
    with pytest.raises(AppError, match="could not be fetched"):
        client.predict(image=handle_file("http://127.0.0.1:9/a.png"), api_name="/compare_image")


def test_fetched_files_are_used_and_have_the_limit_of_uploads(connect, picture, monkeypatch):
    async def here(host):
        return "127.0.0.1"

    monkeypatch.setattr("ui.fetching.public_address", here)
    client = connect(image_tab(), fetch_urls=True)
    with serving(picture.read_bytes()) as files:
        address = f"http://pictures.test:{files.server_address[1]}"
        final = client.predict(image={"path": f"{address}/file", "meta": FILE_DATA}, api_name="/compare_image")
        assert final["columns"][0]["captions"][0]["text"] == HYPOTHESES[0][2]
        too_large = {"path": f"{address}/unstated/{2**30}", "meta": FILE_DATA}
        with pytest.raises(AppError, match="The picture at that address is too large: at most 40 MB."):
            client.predict(image=too_large, api_name="/compare_image")


def test_uploads_have_a_limit(client, tmp_path):
    large = tmp_path / "large.bmp"
    Image.new("RGB", (4200, 3400)).save(large)
    assert large.stat().st_size > 40 * 2**20
    with pytest.raises(Exception, match="413|too large|exceeds"):
        client.predict(image=handle_file(str(large)), api_name="/compare_image")


@pytest.fixture
def upload(tmp_path, monkeypatch, picture) -> dict[str, str]:
    """A picture where Gradio keeps uploads, for handlers that are called without a server."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return {"path": shutil.copy(picture, tmp_path)}


def _handlers(page: gr.Blocks) -> dict[str, Callable]:
    # The first of each name: those of the tabs come before the Batch tab's.
    return {event.name: event.fn for event in reversed(page.fns.values())}


def test_a_refusal_of_the_server_keeps_its_words_and_frees_the_page(upload):
    failing = FakeCaptioner(failure=gr.Error("Your quota is used up."))
    handlers = _handlers(build_page([image_tab(failing)]))
    request = SimpleNamespace(session_hash="visitor", query_params={}, headers={})
    values = [*(getattr(failing.defaults, setting.name) for setting in SETTINGS), None]  # of the columns, all
    (token,) = (value for part, value in handlers["wait"](request).items() if isinstance(part, gr.Textbox))
    shown = []
    with pytest.raises(gr.Error, match="Your quota is used up"):
        for updates in handlers["compare"](request, token, upload, *values):
            shown.append(updates)
    assert '<span class="problem">This could not be captioned now.</span>' in shown[-1].values()
    assert [part.interactive for part in shown[-1].values() if isinstance(part, gr.Button)] == [True, False]


def test_an_unexpected_failure_in_a_slide_shows_no_internals(connect, picture, capfd, caplog):
    client = connect(image_tab(FakeCaptioner(failure=RuntimeError("secret path"))))
    with pytest.raises(AppError, match="Something went wrong here. Please try again."):
        client.predict(media=handle_file(str(picture)), kind="png", api_name="/slide_image")
    assert "Unexpected RuntimeError at fake_captioner.py:" in caplog.text
    assert not re.search("secret|Traceback", caplog.text + "".join(capfd.readouterr()))


def test_an_unexpected_failure_shows_no_internals_and_the_next_request_works(connect, picture, capfd, caplog):
    captioner = FakeCaptioner(failure=RuntimeError("secret path"))
    captioner.failure.__cause__ = KeyError("a secret caption")
    client = connect(image_tab(captioner))
    with pytest.raises(AppError, match="Something went wrong here. Please try again.") as raised:
        client.predict(image=handle_file(str(picture)), api_name="/compare_image")
    assert "secret" not in str(raised.value) and "Traceback" not in str(raised.value)
    printed = "".join(capfd.readouterr())
    (logged,) = [record.getMessage() for record in caplog.records if record.name == "ui.failures"]
    assert re.fullmatch(r"Unexpected RuntimeError at fake_captioner.py:\d+ _compare, .* from KeyError at ", logged)
    for text in (printed, logged):
        assert not re.search(f"secret|Traceback|{picture.name}", text)
    captioner.failure = None
    final = client.predict(image=handle_file(str(picture)), api_name="/compare_image")
    assert final["columns"][0]["captions"][0]["text"] == HYPOTHESES[0][2]


@pytest.mark.parametrize("failure", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("in a layer")])
def test_a_failure_inside_the_model_leaves_it_usable(connect, picture, tiny_captioner, failure, monkeypatch):
    (*_, expected) = tiny_captioner.compare(picture)
    client, image = connect(image_tab(tiny_captioner)), handle_file(str(picture))
    model, calls = tiny_captioner._model.model.model.language_model, []

    def fail_at_the_fourth_token(*args, **kwargs):
        calls.append(None)
        if len(calls) == 4:
            raise failure

    handle = model.register_forward_pre_hook(fail_at_the_fourth_token)
    try:
        with pytest.raises(AppError):
            client.predict(image=image, api_name="/compare_image")
        assert len(calls) == 4
        final = client.predict(image=image, api_name="/compare_image")
    finally:
        handle.remove()
    assert [c["captions"] for c in final["columns"]] == [c["captions"] for c in expected.to_dict()["columns"]]


def test_cancelling_stops_the_work_and_frees_the_turn(connect, picture):
    captioner = FakeCaptioner(seconds_per_token=1.0)
    client = connect(image_tab(captioner))
    job = client.submit(image=handle_file(str(picture)), api_name="/compare_image")
    wait_until(lambda: captioner.steps >= 2)
    job.cancel()
    wait_until(lambda: captioner.closed == 1)
    reached = captioner.steps
    time.sleep(1.5)
    assert captioner.steps == reached < 12
    captioner.seconds_per_token = 0.0
    final = client.predict(image=handle_file(str(picture)), api_name="/compare_image")
    assert final["columns"][0]["captions"][0]["text"] == HYPOTHESES[0][2]


def test_a_client_that_leaves_stops_the_work(serve, picture):
    captioner = FakeCaptioner(seconds_per_token=1.0)
    address = serve(image_tab(captioner))
    script = (
        "from gradio_client import Client, handle_file\n"
        f"client = Client({address!r}, verbose=False)\n"
        f"client.predict(image=handle_file({str(picture)!r}), api_name='/compare_image')\n"
    )
    leaver = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_until(lambda: captioner.steps >= 2)
    finally:
        leaver.kill()
        leaver.wait()
    wait_until(lambda: captioner.closed == 1)
    assert captioner.steps < 12


@dataclass
class CountingCaptioner(FakeCaptioner):
    """A fake captioner that keeps the most comparisons that were open at a time."""

    opened: int = 0
    most: int = 0

    def _compare(self, *args):
        self.opened += 1
        self.most = max(self.most, self.opened - self.closed)
        yield from super()._compare(*args)


@pytest.mark.parametrize(("options", "together", "pace"), [({}, 3, 1.0), ({"max_comparisons": 1}, 1, 0.2)])
def test_comparisons_run_together_where_they_may(connect, picture, options, together, pace):
    captioner = CountingCaptioner(seconds_per_token=pace, defaults=CompareOptions(max_new_tokens=6))
    client = connect(image_tab(captioner, **options))
    jobs = [client.submit(image=handle_file(str(picture)), api_name="/compare_image") for _ in range(3)]
    assert all(job.result(timeout=60)["columns"][0]["captions"] for job in jobs)
    assert captioner.steps == 18 and captioner.closed == 3 and captioner.most == together


def test_nothing_is_fetched_from_elsewhere(connect, picture, monkeypatch):
    asked = []
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    client = connect(image_tab())
    client.predict(image=handle_file(str(picture)), api_name="/compare_image")
    assert {host for host in asked if host not in (None, "127.0.0.1", "localhost", b"127.0.0.1")} == set()


def test_examples_that_do_not_fit_their_list_are_refused(tmp_path, picture):
    assert load_examples(tmp_path) == ()
    shutil.copy(picture, tmp_path / "a.png")
    entry = {"file": "a.png", "title": "A", "alt": "A circle", "credit": "Us"}
    listing = tmp_path / "examples.json"
    listing.write_text(json.dumps([entry]))
    assert [example.title for example in load_examples(tmp_path)] == ["A"]
    for bad in ({**entry, "file": "../a.png"}, {**entry, "file": "b.png"}, {"file": "a.png"}):
        listing.write_text(json.dumps([bad]))
        with pytest.raises(ValueError, match=r"examples\.json"):
            load_examples(tmp_path)


def test_the_examples_of_the_repository_are_complete():
    examples = load_examples(app.EXAMPLES / "image")
    assert len(examples) >= 8
    assert all(example.title and example.alt and example.credit for example in examples)
