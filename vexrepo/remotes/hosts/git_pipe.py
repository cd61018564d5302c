"""The ways to a Git host that carry one conversation each: ssh, by the system's own program, and plain connections."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Final

from vexrepo.errors import HostError, UsageError
from vexrepo.remotes.hosts.address import GitAddress
from vexrepo.remotes.hosts.base import Access
from vexrepo.remotes.hosts.git_errors import Unreachable, clean, spoken
from vexrepo.remotes.hosts.git_wire import (
    FLUSH,
    MOST_ADVERT,
    UPLOAD,
    Advert,
    Pace,
    Packets,
    Service,
    Session,
    Wire,
    packet,
    patience_s,
    read_advert,
)

_READ: Final = 1 << 16
_MOST_WORDS: Final = 1 << 14
_FAREWELL_S: Final = 2.0  # how long a program may take to end when it has nothing left to do
_GIT_PORT: Final = 9418
_UNREACHABLE: Final = re.compile(
    r"could not resolve|name or service not known|connection (refused|timed out|reset|closed)|no route|unreachable|"
    r"operation timed out|broken pipe|hung up unexpectedly",
    re.IGNORECASE,
)
# An account of one's own, with a shell, need not be configured to have partial clone.
_WIDE: Final = "git -c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true upload-pack"


class Channel(ABC):
    """Bytes to and from a service."""

    @abstractmethod
    def read(self, patience_s: float) -> bytes:
        """Return what comes next, nothing at the end.  Raises: HostError, at the end for what went wrong, too."""

    @abstractmethod
    def write(self, content: bytes) -> None:
        """Send all of it.  Raises: BrokenPipeError when the other side has ended; HostError."""

    @abstractmethod
    def close(self) -> None:
        """End; the other side is not waited for long."""


class PipeSession(Session):
    """A conversation over a channel."""

    def __init__(self, channel: Channel, where: str, timeout_s: float) -> None:
        self._channel = channel
        self._where = where
        self._timeout_s = timeout_s
        self._is_over = False
        # Nothing comes after the advert before we ask: what was read belongs to it.
        try:
            self.advert = read_advert(Packets(self._chunks(timeout_s), where, MOST_ADVERT), where)
        except BaseException:
            channel.close()
            raise

    def exchange(self, request: Iterable[bytes], size: int, *, version: int = 0) -> Iterator[bytes]:
        self._is_over = True
        for chunk in request:
            try:
                self._channel.write(chunk)
            except BrokenPipeError:
                break  # it ended: why, it says in what is left to read
        return self._chunks(patience_s(self._timeout_s, size))

    def _chunks(self, wait_s: float) -> Iterator[bytes]:
        pace = Pace(wait_s)
        while True:
            begin = time.monotonic()
            chunk = self._channel.read(wait_s)
            if not chunk:
                return
            if pace.is_too_slow(len(chunk), time.monotonic() - begin):
                raise Unreachable(f"{self._where} answers too slowly; try again later", again=False)
            yield chunk

    def close(self) -> None:
        if not self._is_over:
            with suppress(OSError, HostError):
                self._channel.write(FLUSH)  # there is nothing we want
        self._channel.close()


class SshWire(Wire):
    """ssh, with the user's own configuration, keys and agent."""

    batch_bytes = 1 << 26  # a connection is made for each

    def __init__(self, address: GitAddress, access: Access) -> None:
        self._address = address
        self._access = access
        self._is_wide = False
        self._is_narrow = False
        self._command = shlex.split(access.ssh_command or "ssh", posix=os.name != "nt")
        if not self._command:
            raise UsageError("the command for ssh is empty", code="bad-option")

    def begin(self, service: Service, known: Advert | None = None) -> Session:
        return self._begin(_WIDE if self._is_wide and service == UPLOAD else service)

    def wider(self) -> Session | None:
        if self._is_wide or self._is_narrow:
            return None
        try:
            session = self._begin(_WIDE)
        except HostError as error:  # hosts that only allow git's own two commands
            self._is_narrow = not isinstance(error, Unreachable)
            return None
        self._is_wide = True
        return session

    def _begin(self, program: str) -> Session:
        address = self._address
        path = address.path[1:] if address.path.startswith("/~") else address.path
        port = []
        if address.port is not None:
            is_putty = "plink" in os.path.basename(self._command[0]).lower()
            port = ["-P" if is_putty else "-p", str(address.port)]
        target = f"{address.user}@{address.host}" if address.user else address.host
        # As git quotes it: some hosts look for just that.
        quoted = "'" + path.replace("'", "'\\''").replace("!", "'\\!'") + "'"
        channel = ProgramChannel([*self._command, *port, target, f"{program} {quoted}"], address.url, self._access)
        return PipeSession(channel, address.url, self._access.timeout_s)

    def close(self) -> None:
        """Nothing is kept."""


class ProgramChannel(Channel):
    """A program's input and output, each in a thread of its own: nothing waits for ever, whatever holds them."""

    def __init__(self, command: list[str], where: str, access: Access) -> None:
        self._where = where
        self._timeout_s = access.timeout_s
        self._words = bytearray()
        self._is_broken = False
        self._is_closed = False
        self._incoming: Queue[bytes] = Queue(8)  # ends with nothing
        self._outgoing: Queue[bytes | None] = Queue(2)  # None closes
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise Unreachable(
                f"cannot reach {where}: the program {command[0]} cannot be run ({error.strerror}); install OpenSSH, or "
                "name another with ssh.command",
                again=False,
            ) from error
        self._threads = [
            threading.Thread(target=each, daemon=True) for each in (self._listen, self._pump_in, self._pump_out)
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with suppress(OSError), self._process.stderr as stream:
            while words := stream.read(4096):
                self._words += words
                del self._words[:-_MOST_WORDS]

    def _pump_in(self) -> None:
        assert self._process.stdout is not None
        with suppress(OSError), self._process.stdout as stream:
            chunk = b"begin"
            while chunk:
                chunk = stream.read(_READ) or b""
                while not self._is_closed:
                    with suppress(Full):
                        self._incoming.put(chunk, timeout=0.5)
                        break

    def _pump_out(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as stream:
            while (content := self._outgoing.get()) is not None:
                if not self._is_broken:
                    view = memoryview(content)
                    try:
                        while view:
                            view = view[stream.write(view) :]
                    except OSError:
                        self._is_broken = True

    def read(self, patience_s: float) -> bytes:
        try:
            chunk = self._incoming.get(timeout=patience_s)
        except Empty:
            raise self._late() from None
        if not chunk:
            self._raise_if_failed()
        return chunk

    def write(self, content: bytes) -> None:
        if self._is_broken:
            raise BrokenPipeError
        try:
            self._outgoing.put(content, timeout=self._timeout_s)
        except Full:
            raise self._late() from None

    def _late(self) -> Unreachable:
        self._process.kill()
        return Unreachable(
            f"{self._where} did not answer within {self._timeout_s:g} s; try again, or allow it more time", again=False
        )

    def _raise_if_failed(self) -> None:
        with suppress(Full):
            self._outgoing.put_nowait(None)
        try:
            status = self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            return
        if status == 0:
            return
        self._threads[0].join(_FAREWELL_S)
        words = clean(bytes(self._words))
        low = words.lower()
        if "host key verification failed" in low or "identification has changed" in low:
            raise HostError(
                f"the key of the machine at {self._where} is not known, or is another than before: {words}; connect to "
                "it once with ssh, and compare its key with what its owner says",
                code="host-refused",
            )
        if not words or _UNREACHABLE.search(words):
            raise Unreachable(f"cannot reach {self._where}: {words or f'ssh ended with status {status}'}", again=False)
        if "command not found" in low:
            raise HostError(f"git is not installed at {self._where}, or not to be found: {words}", code="host-answer")
        raise spoken(self._where, words)

    def close(self) -> None:
        self._is_closed = True  # what still comes is thrown away
        try:
            self._outgoing.put(None, timeout=_FAREWELL_S)
            self._process.wait(_FAREWELL_S)
        except (Full, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(_FAREWELL_S)


class TcpWire(Wire):
    """Git's own protocol over a plain connection (git://): for reading, mostly, and for networks one trusts."""

    def __init__(self, address: GitAddress, access: Access) -> None:
        self._address = address
        self._access = access

    def begin(self, service: Service, known: Advert | None = None) -> Session:
        address = self._address
        channel = SocketChannel(address, self._access)
        place = address.host if address.port is None else f"{address.host}:{address.port}"
        session = None
        try:
            channel.write(packet(f"{service} {address.path}\0host={place}\0".encode()))
            session = PipeSession(channel, address.url, self._access.timeout_s)
        finally:
            if session is None:
                channel.close()
        return session

    def close(self) -> None:
        """Nothing is kept."""


class SocketChannel(Channel):
    """A connection."""

    def __init__(self, address: GitAddress, access: Access) -> None:
        self._where = address.url
        self._timeout_s = access.timeout_s
        try:
            self._socket = socket.create_connection(
                (address.host, address.port or _GIT_PORT), min(access.connect_s, access.timeout_s)
            )
        except socket.gaierror as error:
            raise Unreachable(
                f"cannot reach {self._where}: the name {address.host} is not known; look at the address", again=False
            ) from error
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(
                f"{self._where} did not answer within {self._timeout_s:g} s; try again, or allow it more time",
                again=False,
            )
        return Unreachable(f"cannot reach {self._where}: {error.strerror or error}")

    def read(self, patience_s: float) -> bytes:
        self._socket.settimeout(patience_s)
        try:
            return self._socket.recv(_READ)
        except OSError as error:
            raise self._lost(error) from error

    def write(self, content: bytes) -> None:
        self._socket.settimeout(self._timeout_s)
        try:
            self._socket.sendall(content)
        except TimeoutError as error:
            raise self._lost(error) from error
        except OSError as error:
            raise BrokenPipeError from error

    def close(self) -> None:
        self._socket.close()
