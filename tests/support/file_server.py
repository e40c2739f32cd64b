"""A small web server of files for tests of what is fetched from addresses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Files(BaseHTTPRequestHandler):
    """``/size/N``: N bytes of stated length; ``/unstated/N``: N without; ``/file``: the server's file.

    ``/to/URL``: a redirect; ``/host``: the request's Host; ``/stalls``: half of what it states, then nothing.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, kind, *rest = self.path.split("/", 2)
        if kind == "to":
            self.answer(302, location=rest[0])
        elif kind == "size":
            self.answer(200, bytes(int(rest[0])))
        elif kind == "unstated":
            self.answer(200, None, connection="close")
            self.send(int(rest[0]))
        elif kind == "file":
            self.answer(200, self.server.file)
        elif kind == "host":
            self.answer(200, self.headers["host"].encode())
        elif kind == "stalls":
            self.answer(200, None, **{"content-length": "10"})
            self.wfile.write(bytes(5))
            self.server.go_on.wait(30)
            self.close_connection = True
        else:
            self.answer(404, b"none")

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if content is not None:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if content is not None:
            self.wfile.write(content)

    def send(self, size):
        try:
            while self.server.sent < size:
                self.wfile.write(bytes(1 << 16))
                self.server.sent += 1 << 16
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(file: bytes = b"") -> Iterator[ThreadingHTTPServer]:
    """Serve them on a free port of this machine; ``sent``: bytes of the answers of unstated length."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.file, server.sent, server.go_on = file, 0, threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
