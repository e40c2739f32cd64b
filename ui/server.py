"""The HTTP server of the page: what it may serve, to whom, with which headers, and where uploads are kept."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.route_utils import get_root_url
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lora_mcl.errors import OptionsError
from ui.events import MAX_COMPARISONS, QUEUE_SIZE
from ui.page_head import ICON, PREVIEW_ROUTE, PageHead
from ui.tab import Tab
from ui.texts.static import translations
from ui.theme import STYLE, page_theme
from ui.uploads import MAX_FILE_SIZE

_UPLOADS = "GRADIO_TEMP_DIR"
MAX_THREADS = MAX_COMPARISONS + 16
QUEUE_INTERVAL = 0.01
"""How often Gradio looks for requests that wait, in seconds."""

KEPT_SESSIONS = 1_000
"""Of so many visitors Gradio keeps what their page shows, about half a megabyte each; 10,000 by default."""
# The stream of events of a call of the API; Gradio makes a session for each call, of the same name.
_CALL = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/(\w+)/?$")

# Gradio's page has inline scripts and compiles its templates. Nothing comes from, or goes to, another host; only
# Hugging Face may show the page in a frame, as it does with Spaces.
HEADERS = {
    "content-security-policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "geolocation=(), payment=(), usb=()",
}


@dataclass(frozen=True)
class ServerOptions:
    """Where the page is served, and to whom.

    Attributes:
        host: address to listen on.
        port: None takes the first free one from 7860.
        root_path: path below which a proxy serves the page, such as "/studio", or the whole address in front of it.
        users: name and password of each user of the page; empty for no login.
        mcp: whether the endpoints are also tools of an MCP server, at ``/gradio_api/mcp``.

    Raises:
        OptionsError: a value cannot be used, or ``mcp`` is not installed.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    root_path: str = ""
    users: tuple[tuple[str, str], ...] = ()
    mcp: bool = False

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise OptionsError(f"port must be a number from 1 to 65535, not {self.port}.")
        if self.root_path and not self.root_path.startswith(("/", "http://", "https://")):
            raise OptionsError(f"root-path must begin with / or http(s)://, not {self.root_path!r}.")
        if self.mcp and find_spec("mcp") is None:
            raise OptionsError("mcp needs a package that is not installed: pip install 'mcp<2'.")


def read_users(file: Path) -> tuple[tuple[str, str], ...]:
    """Names and passwords from a file with a line ``name:password`` for each; empty lines and # comments are skipped.

    Raises:
        OptionsError: the file cannot be read, a line is something else, or there is none.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"auth-file {file} cannot be read: {error}") from None
    users = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not (name and colon and password):
            raise OptionsError(f"auth-file {file}, line {number}: it must be name:password.")
        users.append((name, password))
    if not users:
        raise OptionsError(f"auth-file {file} has no line name:password.")
    return tuple(users)


class SafeHeaders:
    """ASGI middleware that adds ``HEADERS`` to every response that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class EndedCalls:
    """ASGI middleware that drops Gradio's session of a call of the API once its stream of events has ended.

    ``drop`` gets its name, in the thread of the server's event loop, as all that Gradio does with sessions; and again
    ``later`` seconds after: a call whose client has left runs on for a moment, for which Gradio makes a session anew.
    """

    def __init__(self, app: ASGIApp, drop: Callable[[str], None], later: float = 30.0) -> None:
        self._app = app
        self._drop = drop
        self._later = later

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http" and scope["method"] == "GET" and (call := _CALL.search(scope["path"])):
                self._drop(call[1])
                asyncio.get_running_loop().call_later(self._later, self._drop, call[1])


@contextmanager
def private_uploads(environment: MutableMapping[str, str] = os.environ) -> Iterator[Path]:
    """A folder for uploads that no other user can read, deleted at the end; to be entered before the page is built.

    It is made in the folder that ``GRADIO_TEMP_DIR`` names, or, if that cannot be used, elsewhere, with a line on
    standard error.

    Raises:
        OSError: no folder can be made.
    """
    named = environment.get(_UPLOADS)
    with _private_folder(named) as folder:
        environment[_UPLOADS] = folder
        try:
            yield Path(folder)
        finally:
            del environment[_UPLOADS]
            if named is not None:
                environment[_UPLOADS] = named


def _private_folder(parent: str | None) -> tempfile.TemporaryDirectory:
    """A new folder in ``parent``, or where the system keeps temporary files."""
    options = {"prefix": "lora-mcl-uploads-", "ignore_cleanup_errors": True}
    if parent:
        try:
            Path(parent).mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryDirectory(dir=parent, **options)
        except OSError as error:
            reason = error.strerror or error
            print(f"app.py: uploads go elsewhere: GRADIO_TEMP_DIR={parent} cannot be used: {reason}.", file=sys.stderr)
    return tempfile.TemporaryDirectory(**options)


def stop_on_signals() -> threading.Event:
    """Set when the system or the keyboard asks the program to stop, which a KeyboardInterrupt then says at once."""
    asked = threading.Event()

    def stop(*_: Any) -> None:
        # An exception that is raised while an object is finalised (``__del__``) is lost; the event is not.
        asked.set()
        raise KeyboardInterrupt

    # A stop by the system ends the program like one by the keyboard, so that uploads are deleted.
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else started in a shell's background: ignored
        signal.signal(signal.SIGINT, stop)
    return asked


def check_address(host: str) -> None:
    """Require an address that this machine can listen on.

    Raises:
        OSError: it cannot.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.bind(address)


def launch(page: gr.Blocks, tabs: Sequence[Tab], options: ServerOptions | None = None) -> str:
    """Serve the page in the background and return its address; everything that calls out to the network is off.

    Raises:
        OSError: the host or port cannot be used.
    """
    options = options or ServerOptions()
    # Gradio tries a hundred ports on it, and then says that all are taken.
    check_address(options.host)
    _prepare(page)
    _, address, _ = page.launch(
        server_name=options.host,
        server_port=options.port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        # Without Gradio's look whether its page answers within three seconds: a busy machine may take longer.
        _frontend=False,
        # One for each running comparison, and some for quick events.
        max_threads=MAX_THREADS,
        state_session_capacity=KEPT_SESSIONS,
        **_shared(page, tabs, options),
    )
    return address


def mounted(page: gr.Blocks, tabs: Sequence[Tab], options: ServerOptions) -> FastAPI:
    """The page as an ASGI application for another server, which listens; otherwise as ``launch`` serves it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _prepare(page)
    page.max_threads = page._queue.max_thread_count = MAX_THREADS
    page.state_session_capacity = KEPT_SESSIONS
    return gr.mount_gradio_app(app, page, path="/", **_shared(page, tabs, options))


def _prepare(page: gr.Blocks) -> None:
    # Gradio would make a table of all events so far at the end of each, for the monitoring that is off below.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    page.queue(max_size=QUEUE_SIZE)
    # By default a thousand times a second: each time it takes the interpreter from the threads of the models.
    page._queue.sleep_when_free = QUEUE_INTERVAL


def _shared(page: gr.Blocks, tabs: Sequence[Tab], options: ServerOptions) -> dict[str, Any]:
    """What a page that is launched and one that is mounted have in common."""

    def page_address(request: Request) -> str:
        return get_root_url(request, "/", options.root_path or None)

    def drop(session: str) -> None:
        page.state_holder.session_data.pop(session, None)
        page.state_holder.time_last_used.pop(session, None)

    return {
        "root_path": options.root_path,
        "auth": list(options.users) or None,
        "mcp_server": options.mcp,
        "theme": page_theme(),
        "css_paths": STYLE,
        "max_file_size": MAX_FILE_SIZE,
        "allowed_paths": sorted({str(example.file.parent) for tab in tabs for example in tab.examples}),
        "footer_links": ["api"],
        "i18n": translations(page),
        # No history of visitors' pictures and recordings, and no monitoring page.
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "favicon_path": ICON,
        "app_kwargs": {
            "middleware": [
                Middleware(SafeHeaders),
                Middleware(PageHead, address=page_address),
                Middleware(EndedCalls, drop=drop),
            ],
            "routes": [PREVIEW_ROUTE],
        },
    }
