"""Files at addresses that API clients give: fetched from the public internet only, up to a size and a time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import httpx

from lora_mcl.errors import MediaError
from ui.uploads import MAX_FILE_SIZE

TIMEOUT = 60.0
"""Seconds that a file may take."""
_REDIRECTS = 5

Resolve = Callable[[str], Awaitable[str]]
"""The IP address to connect to for a host's name; raises ``OSError`` where there is none."""


async def fetch(
    url: str,
    folder: str | Path,
    noun: str,
    *,
    resolve: Resolve | None = None,
    limit: int = MAX_FILE_SIZE,
    timeout: float = TIMEOUT,
) -> Path:
    """Fetch a file into a folder of its own.

    Args:
        url: an http(s) address; redirects are followed, each checked like the first address.
        folder: where the file's folder goes.
        noun: what the file is, for messages.
        resolve: gives the address to connect to; ``public_address`` by default.
        limit: largest size, in bytes.
        timeout: in seconds, for all of it.

    Raises:
        MediaError: it is too large, or cannot be fetched. The reason is not given: it would show what answers inside
            the server's network.
    """
    own = Path(mkdtemp(dir=folder))
    try:
        async with asyncio.timeout(timeout):
            return await _fetched(httpx.URL(url), own, noun, resolve or public_address, limit)
    except BaseException as error:
        rmtree(own)
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError | ValueError | TimeoutError):
            raise MediaError(f"The {noun} could not be fetched from that address: upload it instead.") from None
        raise


async def public_address(host: str) -> str:
    """An IP address of a host all of whose addresses are on the public internet.

    Raises:
        OSError: there is no such host, or it has an address inside a network: loopback, private, link-local, shared.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(socket_address[0]) for *_, socket_address in found]
    if not addresses or not all(address.is_global and not address.is_multicast for address in addresses):
        raise OSError(f"{host} is not on the public internet")
    return str(addresses[0])


class _At(httpx.AsyncHTTPTransport):
    """Connects to an IP address that has been checked, in place of looking the host up once more."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # The header Host is set already; certificates are checked for the host's name.
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host=self._address)
        return await super().handle_async_request(request)


async def _fetched(url: httpx.URL, folder: Path, noun: str, resolve: Resolve, limit: int) -> Path:
    for _ in range(_REDIRECTS + 1):
        if url.scheme not in ("http", "https"):
            raise ValueError(f"no http(s) address: {url}")
        # Not compressed: the size counts as it is sent, and nothing unpacks to more. No proxy of the environment.
        async with (
            httpx.AsyncClient(transport=_At(await resolve(url.host)), trust_env=False) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            if answer.has_redirect_location:
                url = url.join(answer.headers["location"])
                continue
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"status {answer.status_code}")
            file = folder / file_name(url, noun)
            await _save(answer, file, noun, limit)
            return file
    raise ValueError("too many redirects")


async def _save(answer: httpx.Response, file: Path, noun: str, limit: int) -> None:
    size = 0
    with file.open("wb") as out:
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            if size > limit:
                raise MediaError(f"The {noun} at that address is too large: at most {limit / 2**20:g} MB.")
            out.write(chunk)


def file_name(url: httpx.URL, noun: str) -> str:
    """Last part of the address, as a name that every file system takes."""
    name = url.path.rstrip("/").rpartition("/")[2]
    return "".join(c for c in name if c.isalnum() or c in "._- ").strip(". ")[-100:] or noun
