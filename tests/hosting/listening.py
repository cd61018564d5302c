"""Servers of tests in threads: each connection has one that owns it, nothing outlives the test, no fault is lost."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

Talk = Callable[[socket.socket], None]
_SOMEBODY = ("127.0.0.1", 0)
PAGE = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>Sign in</html>"


class Listening:
    """Takes connections on a free port of 127.0.0.1; ``talk`` serves each, in a thread of its own.

    A connection is closed by the thread that serves it alone, when it is done: closed by another it would leave its
    number to a connection that came meanwhile, and the thread would read from that.  Everybody else shuts it down.
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self.ending = threading.Event()
        self.faults: list[str] = []
        self._lock = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._taking = threading.Thread(target=self._take, daemon=True)
        self._taking.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def held(self, connection: socket.socket) -> Iterator[socket.socket]:
        """Close a connection at the end; until then ``end`` may shut it down."""
        with self._lock:
            self._open.add(connection)
            if self.ending.is_set():
                shut(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._open.discard(connection)
                connection.close()
                self._lock.notify_all()

    def run(self, action: Callable[[], None]) -> threading.Thread:
        """Do something in a thread; connections may end at any time, everything else that goes wrong is a fault."""

        def guarded() -> None:
            try:
                action()
            except Exception as error:
                if not self.ending.is_set() and not is_end(error):
                    self.faults.append(traceback.format_exc())

        thread = threading.Thread(target=guarded, daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive() or each.ident is None] + [thread]
        thread.start()
        return thread

    def _take(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.ending.is_set():
                connection.close()
                return
            self.run(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with self.held(connection):
            self._talk(connection)

    def wait_until_idle(self) -> None:
        """Return when no connection is open any more, those that clients left included."""
        with self._lock:
            assert self._lock.wait_for(lambda: not self._open, 240)

    def hang_up(self) -> None:
        """End the connections that are open."""
        with self._lock:
            for each in self._open:
                shut(each)

    def end(self) -> None:
        """Take no more connections, end those there are, wait for their threads; a fault is an error now."""
        if self.ending.is_set():
            return
        self.ending.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()  # wakes who waits for one
        self._taking.join()
        self._listener.close()
        self.hang_up()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        assert not self.faults, "\n".join(self.faults[:5])


def shut(connection: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """End a connection for both sides, without giving up its number."""
    with suppress(OSError):  # ended already, by the other side
        connection.shutdown(how)


def is_end(error: Exception) -> bool:
    """Return whether an error says that the other side ended the connection."""
    return isinstance(error, ConnectionError | ssl.SSLError) or getattr(error, "errno", None) == errno.ENOTCONN


class HttpHandler(BaseHTTPRequestHandler):
    """Keeps connections, and quiet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def body(self) -> bytes:
        """Return the request's body; one that ends early ends the connection."""
        length = int(self.headers.get("Content-Length") or 0)
        found = self.rfile.read(length)
        if len(found) < length:
            raise ConnectionResetError("the request ended early")
        return found


class HttpListening(Listening):
    """Serves HTTP with a handler, whose ``server`` it is."""

    handler: ClassVar[type[BaseHTTPRequestHandler]]

    def __init__(self, handler: type[BaseHTTPRequestHandler] | None = None, tls: ssl.SSLContext | None = None) -> None:
        kind = handler or self.handler

        def talk(connection: socket.socket) -> None:
            if tls is None:
                kind(connection, _SOMEBODY, self)  # type: ignore[arg-type]
                return
            wrapped = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            with self.held(wrapped):
                wrapped.do_handshake()
                kind(wrapped, _SOMEBODY, self)  # type: ignore[arg-type]

        super().__init__(talk)

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@contextmanager
def saying_to_everybody(said: bytes) -> Iterator[Listening]:
    """Run what answers everything in one way, whatever it was asked, and hangs up."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(said)

    server = Listening(talk)
    try:
        yield server
    finally:
        server.end()
