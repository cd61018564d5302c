"""A second process for the half of a large job that needs the interpreter.

fork shares what is in memory at no cost, but is safe only on Linux and while the process has one thread;
elsewhere a fresh interpreter is started, so functions and arguments must be picklable.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from vexrepo import errors
from vexrepo.errors import StorageFailure, VexError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PIPE_BYTES = 1 << 20  # what a user without privileges may have
SWITCH_S = 0.001  # after which a thread that waits for the interpreter gets it

_PIECE = struct.Struct("<cQ")  # kind, size
_PART, _ERROR = b".", b"!"

Result = TypeVar("Result")


def is_worthwhile() -> bool:
    """Whether a second process can be had for little: more than one core, and forking is safe."""
    return (os.cpu_count() or 1) > 1 and (sys.platform != "linux" or threading.active_count() == 1)


class _Second:
    """A second process and the pipe from it; leaving the block early stops it."""

    def __init__(self, run: Callable[..., None], work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        from multiprocessing import get_context

        context: Any = get_context("fork" if sys.platform == "linux" else "spawn")
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=run, args=(sender, work, arguments))
        self._process.start()
        sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.terminate()
        self._process.join()
        self._receiver.close()


def _stopped() -> StorageFailure:
    return StorageFailure("the second process of this command was stopped; run the command again", code="disk-error")


def _raise(content: tuple[str, str, str]) -> NoReturn:
    name, message, code = content
    raise getattr(errors, name)(message, code=code)


class Beside(_Second, Generic[Result]):
    """Runs ``work(*arguments)`` in a second process."""

    def __init__(self, work: Callable[..., Result], *arguments: Any) -> None:
        super().__init__(_run, work, arguments)

    def result(self) -> Result:
        """Wait for the work and return what it returned; its VexError is raised here."""
        try:
            kind, content = self._receiver.recv()
        except EOFError:
            raise _stopped() from None
        if kind == "error":
            _raise(content)
        found: Result = content
        return found


def _run(sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send(("result", work(*arguments)))
    except VexError as error:
        sender.send(("error", (type(error).__name__, str(error), error.code)))
    except KeyboardInterrupt:
        pass  # the first process was told, too, and says so


class BesideStream:
    """Yields the byte strings that the iterator ``work(*arguments)`` gives in a second process (a fork: Linux only).

    ``held`` of them wait here for the taker, so that both processes keep working.
    """

    def __init__(self, work: Callable[..., Iterator[bytes]], *arguments: Any, held: int = 8) -> None:
        # Not by multiprocessing, which takes 10 ms to import and copies what it receives.
        receiver, sender = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._process = os.fork()
        if not self._process:
            os.close(receiver)
            _stream(sender, work, arguments)
        os.close(sender)
        self._pipe = open(receiver, "rb")  # noqa: SIM115 - closed in __exit__
        _widen(receiver)
        self._queue: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue(held)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()
        # At 5 ms, which the interpreter has by default, the second process waits for the thread, and the first for it.
        self._switched = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)

    def _drain(self) -> None:
        piece: tuple[bytes, bytes] | None = b"", b""
        while piece is not None and not self._stopping.is_set():
            piece = self._read()
            while not self._stopping.is_set():
                try:
                    self._queue.put(piece, timeout=0.1)
                    break
                except queue.Full:
                    continue

    def _read(self) -> tuple[bytes, bytes] | None:
        head = self._pipe.read(_PIECE.size)
        if len(head) < _PIECE.size:
            return None
        kind, size = _PIECE.unpack(head)
        content = self._pipe.read(size)
        return (kind, content) if len(content) == size else None

    def take(self) -> bytes:
        """Return the next byte string; a VexError of the second process is raised here."""
        piece = self._queue.get()
        if piece is None:
            raise _stopped()
        kind, content = piece
        if kind == _ERROR:
            _raise(tuple(content.decode().split("\0")))  # type: ignore[arg-type]
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setswitchinterval(self._switched)
        self._stopping.set()
        if kind is not None:
            os.kill(self._process, signal.SIGTERM)
        os.waitpid(self._process, 0)
        self._thread.join()
        self._pipe.close()


def _widen(pipe: int) -> None:
    """Let the pipe hold as much as it may: its reader has to wait for the interpreter before each read."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _stream(sender: int, work: Callable[..., Iterator[bytes]], arguments: tuple[Any, ...]) -> NoReturn:
    """Be the second process, to its end; what the first has open is left as it is."""
    code = 1
    try:
        with open(sender, "wb") as pipe:
            try:
                for piece in work(*arguments):
                    pipe.write(_PIECE.pack(_PART, len(piece)))
                    pipe.write(piece)
                    pipe.flush()
            except VexError as error:
                content = "\0".join((type(error).__name__, str(error), error.code)).encode()
                pipe.write(_PIECE.pack(_ERROR, len(content)) + content)
        code = 0
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # the first process was told, too, and says so
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
