"""Raw requests that no client makes: each is refused, and no file of the machine is served.

Gradio itself logs requests with too few values, or of files that were not uploaded, as errors; what counts here is the
answer.
"""

import json
import re

import httpx
import pytest

from lora_mcl.types import CompareOptions
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.hostile_page import UNFORESEEN
from ui.settings import SETTINGS

pytestmark = GRADIO_WARNINGS

REQUESTS = {
    "no JSON": b"{",
    "empty": b"",
    "a list": b"[]",
    "no data": b"{}",
    "data is no list": b'{"data": {"image": 1}}',
    "too few values": b'{"data": [null]}',
    "too many values": b'{"data": [' + b"null," * 500 + b"null]}",
    "deep": b'{"data": [' + b"[" * 5_000 + b"]" * 5_000 + b"]}",
    "long": b'{"data": ["' + b"x" * 1_000_000 + b'"]}',
    "not a number": b'{"data": [null, NaN, Infinity, 1, 1, 1, 1]}',
    "bytes": b"\xff\xfe\x00\x01",
    "surrogates": b'{"data": ["\\ud800"]}',
    "odd event": b'{"data": [], "fn_index": -1, "session_hash": 5, "trigger_id": []}',
    "prototype": b'{"data": [], "__proto__": {"x": 1}, "constructor": 1}',
}


@pytest.mark.parametrize("body", REQUESTS.values(), ids=REQUESTS)
def test_requests_by_hand_are_refused(page, body):
    """The server answers, without internal details."""
    for modality in ("image", "audio"):
        answer = page.post(modality, body)
        assert not any(word in answer for word in ("Traceback", "site-packages", "event: complete"))
    page.check_good_requests()


PATHS = (
    "gradio_api/file=/etc/passwd",
    "gradio_api/file=../../../../etc/passwd",
    "gradio_api/file=%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "gradio_api/file=/proc/self/environ",
    "gradio_api/file=file:///etc/passwd",
    "gradio_api/file=app.py",
    "gradio_api/file=http://127.0.0.1:1/",
    "static/../../../../../etc/passwd",
    "assets/..%2f..%2f..%2fetc%2fpasswd",
    "gradio_api/proxy=http://127.0.0.1:1/",
    "gradio_api/upload",
    "gradio_api/stream/x/y/z/playlist.m3u8",
)


@pytest.mark.parametrize("path", PATHS)
def test_files_of_the_machine_are_not_served(page, path):
    answer = httpx.get(page.client.src + path, timeout=60)
    assert answer.status_code in (302, 307, 400, 403, 404, 405, 422) and "root:" not in answer.text


NOT_UPLOADS = (
    None,
    "",
    "picture.png",
    "/etc/passwd",
    "file:///etc/passwd",
    {},
    {"path": None},
    {"path": ""},
    {"path": 3},
    {"path": ["/etc/passwd"]},
    {"path": {"path": "/etc/passwd"}},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "../../../../etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "/proc/self/environ", "meta": {"_type": "gradio.FileData"}},
    {"path": "a\0b", "meta": {"_type": "gradio.FileData"}},
    {"url": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
    [],
    [{"path": "/etc/passwd"}],
    0,
    True,
    "data:image/png;base64,AAAA",
    "x" * 100_000,
)


@pytest.mark.parametrize("modality", ["image", "audio"])
@pytest.mark.parametrize("media", NOT_UPLOADS, ids=lambda media: ascii(media)[:60])
def test_what_is_no_upload_is_refused(page, modality, media):
    """As a raw request: a client of Gradio's would upload the files that some of these name."""
    chosen = [getattr(CompareOptions(), setting.name) for setting in SETTINGS]
    body = json.dumps({"data": [media, *([None] if modality == "audio" else []), *chosen]})
    answer = page.post(modality, body.encode())
    assert "event: error" in answer and not re.search(f"{UNFORESEEN}|root:", answer)
