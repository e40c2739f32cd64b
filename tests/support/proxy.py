"""A small reverse proxy: it serves another address below a path, which it takes away from requests (like nginx)."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

# Of a connection, not of a message.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def proxied(address: str, path: str) -> Iterator[str]:
    """Serve ``address`` below ``path`` of another port; yields the new address. Every other path is not found."""
    # A page keeps one connection open as long as it is shown: its end is not waited for.
    config = uvicorn.Config(_proxy(address, path), port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}{path}/"
    server.should_exit = True
    thread.join(timeout=30)


def _proxy(address: str, path: str) -> Starlette:
    client = httpx.AsyncClient(base_url=address, timeout=None)

    async def forward(request: Request) -> StreamingResponse:
        outgoing = client.build_request(
            request.method,
            request.path_params["rest"],
            params=request.query_params,
            headers=[*request.headers.raw, (b"x-forwarded-host", request.headers["host"].encode())],
            content=request.stream() if request.method == "POST" else None,
        )
        answer = await client.send(outgoing, stream=True)

        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()

        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        return StreamingResponse(body(), answer.status_code, kept)

    async def not_found(_: Request) -> PlainTextResponse:
        return PlainTextResponse("nothing here", 404)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    every = ["GET", "POST", "HEAD"]
    routes = [
        Route(f"{path}/{{rest:path}}", forward, methods=every),
        Route("/{rest:path}", not_found, methods=every),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
