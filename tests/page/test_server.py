"""The server of the page: its headers, below a proxy's path, with passwords, and what becomes of uploads."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from starlette.testclient import TestClient

from lora_mcl.errors import OptionsError
from tests.support.browsing import PATIENCE, expect_state, upload_picture
from tests.support.fake_captioner import HYPOTHESES
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT
from tests.support.proxy import proxied
from tests.support.served_pages import image_tab, served
from ui.page import UPLOAD_AGE, UPLOAD_CHECK, build_page
from ui.server import (
    HEADERS,
    KEPT_SESSIONS,
    QUEUE_INTERVAL,
    EndedCalls,
    ServerOptions,
    mounted,
    private_uploads,
    read_users,
    stop_on_signals,
)
from ui.temporary import temporary_folder

pytestmark = GRADIO_WARNINGS


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve the page of a fake captioner with these options of the server; returns the page."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))

    def start(**options) -> gr.Blocks:
        return pages.enter_context(served([image_tab()], ServerOptions(**options)))

    with ExitStack() as pages:
        yield start


def first_caption(client: Client, picture: Path) -> str:
    final = client.predict(image=handle_file(str(picture)), api_name="/compare_image")
    return final["columns"][0]["captions"][0]["text"]


def test_every_answer_has_safe_headers(serve):
    address = serve().local_url
    for path in ("", "config", "gradio_api/info", "no-such-page"):
        headers = httpx.get(address + path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "frame-ancestors 'self'" in HEADERS["content-security-policy"]


def test_no_table_of_all_events_is_made_after_each(serve, picture):
    """Gradio would, for its monitoring, which is off."""
    page = serve()
    first_caption(Client(page.local_url, verbose=False), picture)
    assert page._queue.events_recorded > 0 and page._queue.event_count_at_last_cache == 0


def test_gradio_looks_for_requests_less_often(serve):
    """By default so often that it takes a part of a core from the models."""
    with gr.Blocks() as plain:
        gr.HTML()
    assert plain.queue()._queue.sleep_when_free < serve()._queue.sleep_when_free == QUEUE_INTERVAL


def test_the_session_of_a_call_ends_with_it(serve, picture):
    """Gradio makes one for each call, of half a megabyte, and would keep 10,000."""
    page = serve()
    api = f"{page.local_url}gradio_api"
    with picture.open("rb") as file:
        (uploaded,) = httpx.post(f"{api}/upload", files={"files": file}).json()
    body = {"image": {"path": uploaded, "meta": {"_type": "gradio.FileData"}}}
    for call in ("call", "call/v2"):
        event = httpx.post(f"{api}/call/v2/compare_image", json=body).json()["event_id"]
        assert "event: complete" in httpx.get(f"{api}/{call}/compare_image/{event}", timeout=60).text
        # The stream's end is seen here before its handler in the server is done.
        until = time.monotonic() + 20
        while event in page.state_holder.session_data and time.monotonic() < until:
            time.sleep(0.01)
        assert event not in page.state_holder.session_data and event not in page.state_holder.time_last_used
    client = Client(page.local_url, verbose=False)
    assert first_caption(client, picture)  # its own session, for many calls
    assert client.session_hash in page.state_holder.session_data
    assert page.state_holder.capacity == KEPT_SESSIONS


@pytest.mark.parametrize("fails", [False, True])
def test_a_session_that_a_left_call_made_anew_is_dropped_too(fails):
    sessions, dropped = {"abc1": 1, "page2": 1}, []

    def drop(name: str) -> None:
        dropped.append(sessions.pop(name, None))

    async def gradio(scope, receive, send) -> None:
        if fails:
            raise RuntimeError("the client has left")

    async def calls() -> None:
        ended = EndedCalls(gradio, drop, later=0.05)
        for kind, method, path in (
            ("http", "GET", "/gradio_api/call/compare_image/abc1"),
            ("http", "POST", "/gradio_api/call/compare_image/page2"),
            ("http", "GET", "/gradio_api/file=/call/page2"),
            ("lifespan", "", ""),
        ):
            try:
                await ended({"type": kind, "method": method, "path": path}, None, None)
            except RuntimeError:
                assert fails
        assert dropped == [1]
        sessions["abc1"] = 2
        await asyncio.sleep(0.2)

    asyncio.run(calls())
    assert dropped == [1, 2] and sessions == {"page2": 1}


def test_a_mounted_page_is_served_alike(tmp_path, monkeypatch):
    """Below another server: the same headers, and the theme's style, which is made when a page is launched."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    tabs = [image_tab()]
    with TestClient(mounted(build_page(tabs), tabs, ServerOptions())) as client:
        config = client.get("/config")
        assert {name: config.headers[name] for name in HEADERS} == HEADERS
        assert "compare_image" in [entry["api_name"] for entry in config.json()["dependencies"]]
        assert client.get("/theme.css").status_code == 200 and client.get("/docs").status_code == 404


def test_below_a_proxys_path(serve, picture):
    with proxied(serve(root_path="/studio").local_url, "/studio") as address:
        assert httpx.get(address.removesuffix("studio/")).status_code == 404
        assert first_caption(Client(address, verbose=False), picture) == HYPOTHESES[0][2]


@pytest.mark.browser
def test_a_visitor_below_a_proxys_path(serve, visit, picture):
    with proxied(serve(root_path="/studio").local_url, "/studio") as address:
        # A browser also looks for an icon at the root of the host, which is not this page's.
        page = visit(address, expected="404 (Not Found)")
        upload_picture(page, picture)
        page.click("#image-compare")
        expect_state(page, "done")
        page.close()  # first, so that it does not see the proxy end


def test_only_known_users_get_in(serve, picture):
    address = serve(users=(("ada", "lovelace"), ("grace", "hopper"))).local_url
    assert httpx.get(address + "config").status_code == 401
    with pytest.raises(Exception, match="login|auth|credentials|401"):
        Client(address, auth=("ada", "hopper"), verbose=False)
    assert first_caption(Client(address, auth=("grace", "hopper"), verbose=False), picture) == HYPOTHESES[0][2]


def test_users_are_read_from_a_file(tmp_path):
    file = tmp_path / "users"
    file.write_text("# our users\nada:love:lace\n\n grace:hopper\n")
    assert read_users(file) == (("ada", "love:lace"), ("grace", "hopper"))
    for text, message in (("ada\n", "line 1: it must be name:password"), ("# none\n", "has no line"), (":x", "line 1")):
        file.write_text(text)
        with pytest.raises(OptionsError, match=message):
            read_users(file)
    with pytest.raises(OptionsError, match="cannot be read"):
        read_users(tmp_path / "missing")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_have_bounds(port):
    with pytest.raises(OptionsError, match="port must be a number from 1 to 65535"):
        ServerOptions(port=port)
    assert ServerOptions(port=65535).port == 65535


def test_what_the_options_refuse(monkeypatch):
    with pytest.raises(OptionsError, match="root-path must begin with /"):
        ServerOptions(root_path="studio")
    monkeypatch.setattr("ui.server.find_spec", lambda name: None)
    with pytest.raises(OptionsError, match=r"pip install 'mcp<2'"):
        ServerOptions(mcp=True)


def test_uploads_are_private_and_gone_at_the_end():
    environment = {}
    with private_uploads(environment) as folder:
        assert environment == {"GRADIO_TEMP_DIR": str(folder)}
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "photo.png").write_bytes(b"x")
    assert environment == {} and not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_uploads_are_gone_when_the_system_stops_the_program(tiny_bundle, picture, tmp_path):
    """Started in the background of a shell, where SIGINT is ignored."""
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "app.py", "--image-model", str(tiny_bundle), "--audio-model", "none"]
    server = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = next(line for line in server.stdout if line.startswith("LoRA-MCL Studio is at")).split()[-1]
        with picture.open("rb") as file:
            answer = httpx.post(f"{address}gradio_api/upload", files={"files": file}, timeout=3 * PATIENCE / 1000)
        upload = Path(answer.raise_for_status().json()[0])
        assert upload.read_bytes() == picture.read_bytes() and tmp_path in upload.parents
        server.terminate()
        assert server.wait(timeout=3 * PATIENCE / 1000) == 0
    finally:
        server.kill()
        server.stdout.close()
    assert not upload.exists() and not list(tmp_path.glob("lora-mcl-uploads-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_is_not_lost_while_an_object_is_finalised():
    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # servers of other tests may have left another one
        stop = stop_on_signals()
        Finalised()
        assert stop.is_set()
        stop.clear()
        for number in before:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            assert stop.is_set()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_page_that_is_slow_to_answer_is_served(monkeypatch):
    monkeypatch.setattr("gradio.networking.url_ok", lambda url: False)
    with served([image_tab()]) as page:
        assert httpx.get(page.local_url, timeout=PATIENCE / 1000).status_code == 200


def test_old_uploads_are_deleted_while_the_page_is_served(serve, picture, monkeypatch):
    assert (UPLOAD_AGE, UPLOAD_CHECK) == (3600, 600)
    monkeypatch.setattr("ui.page.UPLOAD_AGE", 1)
    monkeypatch.setattr("ui.page.UPLOAD_CHECK", 1)
    address = serve().local_url
    with picture.open("rb") as file:
        answer = httpx.post(f"{address}gradio_api/upload", files={"files": file}, timeout=PATIENCE / 1000)
    upload = Path(answer.raise_for_status().json()[0])
    deadline = time.monotonic() + PATIENCE / 1000
    while upload.exists():
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.1)


def test_a_folder_for_uploads_that_is_named_holds_the_private_one(tmp_path):
    environment = {"GRADIO_TEMP_DIR": str(tmp_path / "mine")}
    with private_uploads(environment) as folder:
        assert environment == {"GRADIO_TEMP_DIR": str(folder)} and folder.parent == tmp_path / "mine"
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "photo.png").write_bytes(b"x")
    assert environment == {"GRADIO_TEMP_DIR": str(tmp_path / "mine")} and not list((tmp_path / "mine").iterdir())


def test_uploads_go_elsewhere_where_the_named_folder_cannot_be_used(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with private_uploads({"GRADIO_TEMP_DIR": str(tmp_path / "file")}) as folder:
        assert folder.is_dir() and tmp_path not in folder.parents
        (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("app.py: uploads go elsewhere: GRADIO_TEMP_DIR=") and line.endswith(
        "/file cannot be used: File exists."
    )


def test_the_folder_that_gradio_gets_can_be_written_to(tmp_path, monkeypatch, capsys):
    """Before it is imported: it keeps the name. A file in its place stands for a folder of another user."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary_folder({"GRADIO_TEMP_DIR": str(tmp_path / "mine")}) == str(tmp_path / "mine")
    assert temporary_folder({}) == str(tmp_path / "gradio") and capsys.readouterr().err == ""
    (tmp_path / "file").write_text("")
    assert temporary_folder({"GRADIO_TEMP_DIR": str(tmp_path / "file")}) == str(tmp_path / "gradio")
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "gradio").rmdir()
    (tmp_path / "gradio").write_text("")
    assert temporary_folder({}) == str(tmp_path / f"gradio-{os.getuid()}")
