"""A proxy on the connection's level between a client and a server, that cuts connections where a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.hosting.listening import Listening, shut


@dataclass
class Cuts:
    """What happens to the bytes: all counts run over all connections since the last ``reset``.

    ``asked``: so many bytes of requests get through, then the connection ends on both sides.  ``answered``: so many
    bytes of answers get through, then the client's side ends; the server's goes on, so that it does what it was asked.
    ``for_good``: no later connection is taken, and nothing more gets through those that are there.
    ``pause_s``: how long to wait before each 64 KiB of requests.  ``stalls_at``: after so many bytes of requests
    nothing is taken any more.  ``held_at``: what is beyond so many bytes of answers waits until ``may_answer`` is set;
    ``is_held`` says that some does.
    """

    asked: int | None = None
    answered: int | None = None
    for_good: bool = False
    pause_s: float = 0.0
    stalls_at: int | None = None
    held_at: int | None = None
    may_answer: threading.Event = field(default_factory=threading.Event)
    is_held: threading.Event = field(default_factory=threading.Event)
    asked_bytes: int = 0
    answered_bytes: int = 0
    is_cut: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def let_through(self, size: int, *, is_request: bool) -> int:
        """Return how many of ``size`` bytes get through, and count them."""
        with self.lock:
            most = self.asked if is_request else self.answered
            so_far = self.asked_bytes if is_request else self.answered_bytes
            if self.is_cut:
                passed = 0 if self.for_good else size
            else:
                passed = size if most is None else min(size, most - so_far)
            if is_request:
                self.asked_bytes += passed
            else:
                self.answered_bytes += passed
            if passed < size or (most is not None and so_far + passed == most):
                self.is_cut = True
            return passed


class Proxy(Listening):
    """The proxy before a port of 127.0.0.1, or a socket of the file system; ``cuts`` may be set anew between uses."""

    def __init__(self, target: int | str) -> None:
        self.target = target
        self.cuts = Cuts()
        self._clients: set[socket.socket] = set()
        super().__init__(self._pass)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # so that who sends notices

    def begin(self, cuts: Cuts | None = None) -> Cuts:
        """Hang up and deal with what comes from now on as ``cuts`` say; clients may have kept connections."""
        self.cuts = cuts or Cuts()
        self.hang_up()
        return self.cuts

    def settle(self) -> None:
        """Hang up on clients, and return when the server has done what it was asked until then."""
        with self._lock:
            for each in self._clients & self._open:
                shut(each)
        self.wait_until_idle()

    def _pass(self, client: socket.socket) -> None:
        cuts = self.cuts
        if cuts.is_cut and cuts.for_good:
            return
        with self._lock:
            self._clients.add(client)
        with self.held(self._connect()) as server:
            asking = self.run(lambda: self._ask(client, server, cuts))
            try:
                self._answer(client, server, cuts)
            finally:
                shut(client)
                shut(server)
                asking.join()

    def _connect(self) -> socket.socket:
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target))
        found = socket.socket(socket.AF_UNIX)
        found.connect(self.target)
        return found

    def _ask(self, client: socket.socket, server: socket.socket, cuts: Cuts) -> None:
        was_cut = cuts.is_cut
        try:
            while chunk := client.recv(1 << 16):
                self.ending.wait(cuts.pause_s)
                if cuts.stalls_at is not None and cuts.asked_bytes >= cuts.stalls_at:
                    self.ending.wait()
                passed = cuts.let_through(len(chunk), is_request=True)
                server.sendall(chunk[:passed])
                if passed < len(chunk) or (cuts.is_cut and not was_cut and cuts.asked is not None):
                    shut(client)
                    break
        finally:
            shut(server, socket.SHUT_WR)  # only this way: what the server still has to say goes on

    def _answer(self, client: socket.socket, server: socket.socket, cuts: Cuts) -> None:
        was_cut = cuts.is_cut
        while chunk := server.recv(1 << 16):
            if cuts.held_at is not None and cuts.answered_bytes + len(chunk) > cuts.held_at:
                cuts.is_held.set()
                while not (cuts.may_answer.wait(0.05) or self.ending.is_set()):
                    pass
            passed = cuts.let_through(len(chunk), is_request=False)
            with suppress(ConnectionError):  # a client that went away: the server does what it was asked
                client.sendall(chunk[:passed])
            if passed < len(chunk) or (cuts.is_cut and not was_cut and cuts.answered is not None):
                shut(client)
                while server.recv(1 << 16):
                    pass
                return


@contextmanager
def proxy_to(target: int | str) -> Iterator[Proxy]:
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.end()
