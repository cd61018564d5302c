"""A proxy on the connection's level between a client and a server, that cuts connections where a test says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Cuts:
    """What happens to the bytes: all counts run over all connections since the last ``reset``.

    ``asked``: so many bytes of requests get through, then the connection ends on both sides.  ``answered``: so many
    bytes of answers get through, then the client's side ends; the server's goes on, so that it does what it was asked.
    ``for_good``: no later connection is taken.  ``pause_s``: how long to wait before each 64 KiB of requests.
    ``stalls_at``: after so many bytes of requests nothing is taken any more.
    """

    asked: int | None = None
    answered: int | None = None
    for_good: bool = False
    pause_s: float = 0.0
    stalls_at: int | None = None
    asked_bytes: int = 0
    answered_bytes: int = 0
    is_cut: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def let_through(self, size: int, *, is_request: bool) -> int:
        """Return how many of ``size`` bytes get through, and count them."""
        with self.lock:
            most = self.asked if is_request else self.answered
            so_far = self.asked_bytes if is_request else self.answered_bytes
            passed = size if most is None or self.is_cut else min(size, most - so_far)
            if is_request:
                self.asked_bytes += passed
            else:
                self.answered_bytes += passed
            if passed < size or (most is not None and so_far + passed == most):
                self.is_cut = True
            return passed


class Proxy:
    """The proxy; ``cuts`` may be set anew between uses."""

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.cuts = Cuts()
        self.closing = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # so that who sends notices
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            cuts = self.cuts
            if cuts.is_cut and cuts.for_good:
                client.close()
                continue
            server = socket.create_connection(self.target)
            threads = [
                threading.Thread(target=self._ask, args=(client, server, cuts), daemon=True),
                threading.Thread(target=self._answer, args=(client, server, cuts), daemon=True),
            ]
            for thread in threads:
                thread.start()

    def _ask(self, client: socket.socket, server: socket.socket, cuts: Cuts) -> None:
        was_cut = cuts.is_cut
        with suppress(OSError):
            while chunk := client.recv(1 << 16):
                time.sleep(cuts.pause_s)
                if cuts.stalls_at is not None and cuts.asked_bytes >= cuts.stalls_at:
                    self.closing.wait(60)
                passed = cuts.let_through(len(chunk), is_request=True)
                server.sendall(chunk[:passed])
                if cuts.is_cut and not was_cut and cuts.asked is not None:
                    end(client)
                    break
        # Only this way: what the server still has to say goes on.
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket, cuts: Cuts) -> None:
        was_cut = cuts.is_cut
        with suppress(OSError):
            while chunk := server.recv(1 << 16):
                passed = cuts.let_through(len(chunk), is_request=False)
                with suppress(OSError):
                    client.sendall(chunk[:passed])
                if cuts.is_cut and not was_cut and cuts.answered is not None:
                    end(client)
                    while server.recv(1 << 16):
                        pass
                    break
        end(client)
        end(server)

    def close(self) -> None:
        self.closing.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
