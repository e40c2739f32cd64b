"""Files at addresses: what is fetched, from where, and how much of it."""

import asyncio

import httpx
import pytest

from lora_mcl.errors import MediaError
from tests.support.file_server import serving
from ui.fetching import fetch, file_name, public_address

LIMIT = 1 << 20
REFUSED = "The picture could not be fetched from that address: upload it instead."
TOO_LARGE = "The picture at that address is too large: at most 1 MB."


@pytest.fixture
def server():
    with serving() as server:
        yield server


async def known(host: str) -> str:
    """Two hosts of the public internet, both of which are this machine; every other one is looked up."""
    return "127.0.0.1" if host in ("pictures.test", "other.test") else await public_address(host)


def fetched(server, path, folder, host="pictures.test", **options):
    url = f"http://{host}:{server.server_address[1]}{path}"
    return asyncio.run(fetch(url, folder, "picture", **({"resolve": known, "limit": LIMIT} | options)))


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_what_is_within_the_limit_is_saved(server, tmp_path, size):
    file = fetched(server, f"/size/{size}", tmp_path)
    assert file.parent.parent == tmp_path and file.read_bytes() == bytes(size)


@pytest.mark.parametrize("path", [f"/size/{LIMIT + 1}", f"/unstated/{LIMIT + 1}"])
def test_what_is_larger_is_refused_and_nothing_is_left(server, tmp_path, path):
    with pytest.raises(MediaError) as refused:
        fetched(server, path, tmp_path)
    assert str(refused.value) == TOO_LARGE
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_is_left_at_the_limit(tmp_path):
    with serving() as server, pytest.raises(MediaError, match="too large"):
        fetched(server, "/unstated/1000000000000", tmp_path)
    # What both ends of the connection buffer comes on top.
    assert server.sent < 100 * LIMIT


@pytest.mark.parametrize("path", ["/missing", "/stalls", "/to/file:///etc/hostname", "/to//to//to//to//to//to//size/1"])
def test_what_cannot_be_fetched_gets_one_message(server, tmp_path, path):
    with pytest.raises(MediaError) as refused:
        fetched(server, path, tmp_path, timeout=60 if path != "/stalls" else 1)
    assert str(refused.value) == REFUSED
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_to_public_hosts_only(server, tmp_path):
    port = server.server_address[1]
    file = fetched(server, f"/to/http://other.test:{port}/host", tmp_path)
    assert file.name == "host" and file.read_text() == f"other.test:{port}"
    assert fetched(server, "/to//size/3", tmp_path).read_bytes() == bytes(3)
    for inside in ("127.0.0.1", "localhost"):
        with pytest.raises(MediaError) as refused:
            fetched(server, f"/to/http://{inside}:{port}/size/3", tmp_path)
        assert str(refused.value) == REFUSED


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0.0.0.0", "localhost", "::1", "::ffff:127.0.0.1"),
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "fe80::1", "fd00::1"),
    ],
)
def test_hosts_inside_a_network_are_not_public(host):
    with pytest.raises(OSError):
        asyncio.run(public_address(host))


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:4700:4700::1111"])
def test_hosts_of_the_internet_are_public(host):
    assert asyncio.run(public_address(host)) == host


@pytest.mark.parametrize("addresses", [["93.184.216.34", "10.0.0.1"], ["10.0.0.1", "93.184.216.34"], []])
def test_a_host_with_one_address_inside_is_not_public(monkeypatch, addresses):
    async def look_up(self, host, port, **options):
        return [(None, None, None, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    with pytest.raises(OSError, match="not on the public internet"):
        asyncio.run(public_address("two.test"))


@pytest.mark.parametrize(
    ("url", "name"),
    [("/a%20b.png", "a b.png"), ("/", "picture"), ("/..%2f..%2fetc%2fpasswd", "passwd"), ("/%2e%2e", "picture")],
)
def test_names_of_files(url, name):
    assert file_name(httpx.URL(f"http://pictures.test{url}"), "picture") == name
