"""A server for tests that answers in this process, or says what a test has put into its script."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

Said: TypeAlias = tuple[int, dict[str, str], bytes]  # status, headers, body


class Request(NamedTuple):
    """A request; ``headers`` have names in lower case, ``query`` is as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedServer(ThreadingHTTPServer):
    """Takes one request at a time.  ``script`` has answers that are given instead, in order; None is our own.

    ``faults`` are what clients, or we, did against a published description.  ``loses`` says of a request ("GET /path")
    whether its answer gets lost: it is done, and the connection ends.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Said | None] = []
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.loses: Callable[[str], bool] = lambda asked: False
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @abstractmethod
    def respond(self, request: Request) -> Said:
        """Return the answer to a request."""

    def end(self) -> None:
        """Stop; a fault is an error now."""
        self.shutdown()
        self.server_close()
        assert not self.faults, self.faults[:5]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ScriptedServer

    def log_message(self, *args: object) -> None:
        pass

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = self.server
        with server.lock:
            server.asked.append(f"{self.command} {parts.path}")
            is_lost = server.loses(server.asked[-1])
            told = server.script.pop(0) if server.script else None
            if told is None:
                told = server.respond(Request(self.command, parts.path, parts.query, headers, body))
        if is_lost:
            self.close_connection = True
            return
        status, more, said = told
        self.send_response(status)
        for name, value in {"Content-Length": str(len(said)), "Content-Type": "application/json", **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_PUT = do_POST = do_DELETE = respond
