"""Head of the page's HTML: language, title, description, link preview, icon."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.texts.texts import ENGLISH, Texts, texts_for

TITLE = "LoRA-MCL Studio"
DESCRIPTION = (
    "One captioning model that answers in several different ways at once: compare its captions of a picture or a "
    "sound with what beam search and diverse beam search find."
)
ICON = Path(__file__).with_name("favicon.svg")
PREVIEW = Path(__file__).with_name("preview.png")
PREVIEW_SIZE = (1200, 630)
PREVIEW_ALT = "One model whose answer branches into three coloured lines"
PREVIEW_ROUTE = Route("/preview.png", lambda request: FileResponse(PREVIEW))

# Gradio's own tags for link previews, of which the first ones name Gradio and its picture.
_GRADIO_TAGS = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')
# Gradio's frontend writes in the browser's language, which the page's address may overrule, and which may be neither of
# the page's.
_LANGUAGE = "<script>Object.defineProperty(navigator, 'language', {{value: '{language}'}})</script>"

# Not in style.css, whose rules for some media Gradio confines to the page's inside.
_STYLE = (
    "<style>@media print { footer { display: none !important } body, gradio-app { background: #fff !important } }"
    "@media (max-width: 720px) { .gradio-container > .main { padding: 1rem !important } }</style>"
)
# Gradio titles its messages by their kind, in English.
_ERROR_STYLE = (
    "<style>.toast-title.error {{ font-size: 0 !important }} "
    ".toast-title.error::before {{ content: '{error}'; font-size: 1rem }}</style>"
)


def head_html(root: str, texts: Texts = ENGLISH) -> str:
    """Tags for a page whose address is ``root``, without a slash at its end."""
    description = escape(texts(DESCRIPTION))
    preview = {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": texts(DESCRIPTION),
        "og:url": f"{root}/",
        "og:image": f"{root}{PREVIEW_ROUTE.path}",
        "og:image:width": str(PREVIEW_SIZE[0]),
        "og:image:height": str(PREVIEW_SIZE[1]),
        "og:image:alt": texts(PREVIEW_ALT),
    }
    return (
        f"{_LANGUAGE.format(language=texts.language)}{_STYLE}{_ERROR_STYLE.format(error=texts('Error'))}<title>{TITLE}</title>"
        f'<meta name="description" content="{description}">'
        + "".join(f'<meta property="{name}" content="{escape(value)}">' for name, value in preview.items())
        + '<meta name="twitter:card" content="summary_large_image">'
        '<link rel="icon" type="image/svg+xml" href="favicon.ico">'
    )


def with_head(page: str, root: str, texts: Texts = ENGLISH) -> str:
    """Gradio's page with our tags in place of its own; only what stands before its first script is changed."""
    start, script, rest = page.partition("<script")
    start = start.replace('lang="en"', f'lang="{texts.language}"', 1)
    return _GRADIO_TAGS.sub("", start).replace("<head>", f"<head>{head_html(root, texts)}", 1) + script + rest


class PageHead:
    """ASGI middleware that rewrites HTML responses by ``with_head``."""

    def __init__(self, app: ASGIApp, address: Callable[[Request], str]) -> None:
        """``address`` gives the page's address, as the visitor's browser has it."""
        self._app = app
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: Message | None = None  # the start of an HTML response, until its length is known
        body = b""

        async def send_with_head(message: Message) -> None:
            nonlocal held, body
            if message["type"] == "http.response.start":
                if MutableHeaders(scope=message).get("content-type", "").startswith("text/html"):
                    held = message
                    return
            elif message["type"] == "http.response.body" and held is not None:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                request = Request(scope)
                page = with_head(body.decode("utf-8"), self._address(request), texts_for(request)).encode("utf-8")
                MutableHeaders(scope=held)["content-length"] = str(len(page))
                await send(held)
                message = {"type": "http.response.body", "body": page}
            await send(message)

        await self._app(scope, receive, send_with_head if scope["type"] == "http" else send)
