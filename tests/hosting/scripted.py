"""A server for tests that answers in this process, or says what a test has put into its script."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from tests.hosting.listening import HttpHandler, HttpListening

Said: TypeAlias = tuple[int, dict[str, str], bytes]  # status, headers, body


class Request(NamedTuple):
    """A request; ``headers`` have names in lower case, ``query`` is as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class _Handler(HttpHandler):
    server: ScriptedServer  # type: ignore[assignment]

    def respond(self) -> None:
        body = self.body()
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = self.server.reply(Request(self.command, parts.path, parts.query, headers, body))
        if said is None:
            self.close_connection = True
            return
        status, more, told = said
        self.send_response(status)
        for name, value in {"Content-Length": str(len(told)), "Content-Type": "application/json", **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_PUT = do_POST = do_DELETE = respond


class ScriptedServer(HttpListening):
    """Takes one request at a time.  ``script`` has answers that are given instead, in order; None is our own.

    ``faults`` are what clients, or we, did against a published description.  ``loses`` says of a request ("GET /path")
    whether its answer gets lost: it is done, and the connection ends.
    """

    handler = _Handler

    def __init__(self) -> None:
        self.script: list[Said | None] = []
        self.asked: list[str] = []
        self.loses: Callable[[str], bool] = lambda asked: False
        self.lock = threading.Lock()
        super().__init__()

    @abstractmethod
    def respond(self, request: Request) -> Said:
        """Return the answer to a request."""

    def reply(self, request: Request) -> Said | None:
        """Return what is said to a request; None: nothing, the connection ends."""
        with self.lock:
            self.asked.append(f"{request.method} {request.path}")
            is_lost = self.loses(self.asked[-1])
            told = self.script.pop(0) if self.script else None
            if told is None:
                told = self.respond(request)
        return None if is_lost else told
