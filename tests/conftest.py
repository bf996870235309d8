"""A mirror on this machine, which counts what it is asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Mirror(ThreadingHTTPServer):
    """Serves ``pages``: path -> bytes, a status, or a function of the handler and the requests so far."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.pages: dict[str, bytes | int | Callable] = {}
        self.requests: Counter[str] = Counter()
        self.closing = threading.Event()  # a page that waits, waits for this

    def handle_error(self, request, client_address):
        """A client that hangs up is nothing to report."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests[self.path] += 1
        page = self.server.pages.get(self.path, 404)
        if callable(page):
            page(self, self.server.requests[self.path])
        elif isinstance(page, int):
            self.send_error(page)
        else:
            self.reply(page)

    def reply(self, body: bytes, length: int | None = None, status: int = 200, **headers: str):
        """``length`` is the Content-Length; -1 for none at all."""
        self.send_response(status)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *arguments):
        """The test's output stays clean."""


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
