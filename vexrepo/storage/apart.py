"""Work beside this process that can be cut off at any moment, whatever it waits for: a name, a connection, a disk.

On Linux it is a process of its own, forked, which is killed with all that it started.  Elsewhere, and where this
process has several threads, so that forking is not safe, it is a thread: that ends when it next tells something, and is
left behind in the middle of an answer.  ``has_left`` says that there are such, which must not hold the program's end.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import queue
import select
import signal
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn, TypeAlias

from vexrepo import errors
from vexrepo.errors import VexError

Piece: TypeAlias = tuple[Any, ...]  # of what marshal takes

_SIZE: Final = struct.Struct("<I")
_NEWS, _MURMUR, _ERROR, _FAULT, _END = range(5)
_READ: Final = 1 << 16
_EVERY_S: Final = 0.2  # between two murmurs
_GRACE_S: Final = 2.0  # after which a process whose time is over ends itself, though nobody told it to
_FAREWELL_S: Final = 1.0  # how long a killed process is waited for, which a dead disk may hold


class Fault(Exception):
    """Work ended by what is no VexError: a fault of ours, or it was killed."""


class _Ended(BaseException):
    """Nobody hears any more: raised in a thread to end its work."""


class Teller(ABC):
    """What work tells by.  ``is_alone``: it has a process of its own, and may change what belongs to that."""

    is_alone: ClassVar[bool]

    def __init__(self) -> None:
        self._murmured = 0.0

    @abstractmethod
    def _send(self, kind: int, piece: Piece) -> None: ...

    def tell(self, *piece: Any) -> None:
        """Tell what was found."""
        self._send(_NEWS, piece)

    def murmur(self, *piece: Any) -> None:
        """Tell how far it is, where that was not told just now: it may go unheard, and holds nothing up."""
        now = time.monotonic()
        if now - self._murmured >= _EVERY_S:
            self._murmured = now
            self._send(_MURMUR, piece)


Work: TypeAlias = Callable[[Teller], None]


class Apart(ABC):
    """Work under way.  Used as a context manager, at whose end it is over."""

    def __init__(self) -> None:
        self.murmured: Piece | None = None  # what was told last of how far it is

    @abstractmethod
    def _next(self, wait_s: float | None) -> tuple[int, Piece] | None:
        """Return what comes next, None where nothing came in time.  Raises: EOFError."""

    @abstractmethod
    def end(self) -> None:
        """Cut the work off, wherever it is; returns soon."""

    def hear(self, until: float | None, listen: Callable[[Piece], None] = lambda piece: None) -> Piece | None:
        """Return what is told next, None at the end; what is murmured meanwhile goes to ``listen``.

        ``until`` is a moment of ``time.monotonic``: what was told by then is returned later, too.
        Raises: TimeoutError, the VexError that the work ended by, Fault.
        """
        while True:
            wait_s = None if until is None else max(0.0, until - time.monotonic())
            try:
                found = self._next(wait_s)
            except EOFError:
                raise Fault("it ended without an answer") from None
            if found is None:
                raise TimeoutError
            kind, piece = found
            if kind == _NEWS:
                return piece
            if kind == _END:
                return None
            if kind == _MURMUR:
                self.murmured = piece
                listen(piece)
            elif kind == _ERROR:
                name, message, code = piece
                raise getattr(errors, name)(message, code=code)
            else:
                raise Fault(piece[0])

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()


def apart(work: Work, longest_s: float | None) -> Apart:
    """Begin some work beside this; it ends itself some time after ``longest_s``, whatever becomes of this process."""
    if is_forkable():
        with contextlib.suppress(OSError):  # as many processes as there may be
            return _Process(work, longest_s)
    return _Thread(work)


def is_forkable() -> bool:
    """Whether work is done by a process of its own."""
    return sys.platform == "linux" and threading.active_count() == 1


def _run(work: Work, teller: Teller) -> None:
    try:
        work(teller)
    except VexError as error:
        known = next(each.__name__ for each in type(error).__mro__ if getattr(errors, each.__name__, None) is each)
        teller._send(_ERROR, (known, str(error), error.code))
    except Exception as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        teller._send(_FAULT, (what,))
    else:
        teller._send(_END, ())


# -- a process ---------------------------------------------------------------------------------------------------------


class _Pipe(Teller):
    is_alone = True

    def __init__(self, sender: int) -> None:
        super().__init__()
        self._sender = sender

    def _send(self, kind: int, piece: Piece) -> None:
        content = marshal.dumps((kind, piece))
        if kind == _MURMUR and not select.select([], [self._sender], [], 0)[1]:
            return  # nobody takes it at the moment
        left = memoryview(_SIZE.pack(len(content)) + content)
        while left:
            left = left[os.write(self._sender, left) :]


class _Process(Apart):
    def __init__(self, work: Work, longest_s: float | None) -> None:
        super().__init__()
        self._pipe, sender = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        parent = os.getpid()
        try:
            self._id = os.fork()
        except OSError:
            os.close(self._pipe)
            os.close(sender)
            raise
        if not self._id:
            _be(parent, self._pipe, sender, work, longest_s)
        os.close(sender)
        self._held = b""
        self._is_over = False

    def _next(self, wait_s: float | None) -> tuple[int, Piece] | None:
        until = None if wait_s is None else time.monotonic() + wait_s
        while True:
            if len(self._held) >= _SIZE.size:
                end = _SIZE.size + _SIZE.unpack_from(self._held)[0]
                if len(self._held) >= end:
                    content, self._held = self._held[_SIZE.size : end], self._held[end:]
                    found: tuple[int, Piece] = marshal.loads(content)
                    return found
            if self._is_over:
                raise EOFError
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._pipe], [], [], left)[0]:
                return None
            more = os.read(self._pipe, _READ)
            if not more:
                raise EOFError
            self._held += more

    def end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        os.close(self._pipe)
        try:
            os.killpg(self._id, signal.SIGKILL)
        except ProcessLookupError:  # it has not come to be a group yet, and so has started nothing
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._id, signal.SIGKILL)
        until = time.monotonic() + _FAREWELL_S
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self._id, os.WNOHANG)[0] == 0 and time.monotonic() < until:
                time.sleep(0.001)


def _be(parent: int, receiver: int, sender: int, work: Work, longest_s: float | None) -> NoReturn:
    """Be the process, to its end: it says nothing, is asked nothing, and outlives its parent by a moment at most."""
    try:
        os.setsid()  # a group to be killed as a whole, that Ctrl-C does not reach, and without a terminal to ask on
        os.close(receiver)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        if longest_s is not None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, longest_s + _GRACE_S)
        else:
            signal.signal(signal.SIGALRM, lambda *args: None if os.getppid() == parent else os._exit(1))
            signal.setitimer(signal.ITIMER_REAL, _GRACE_S, _GRACE_S)
        _run(work, _Pipe(sender))
    finally:
        os._exit(0)


# -- a thread ----------------------------------------------------------------------------------------------------------


class _Thread(Apart, Teller):
    is_alone = False

    def __init__(self, work: Work) -> None:
        Apart.__init__(self)
        Teller.__init__(self)
        self._told: queue.SimpleQueue[tuple[int, Piece]] = queue.SimpleQueue()
        self._is_over = False
        self._thread = threading.Thread(target=self._do, args=(work,), name="vex-apart", daemon=True)
        self._thread.start()

    def _do(self, work: Work) -> None:
        with contextlib.suppress(_Ended):
            _run(work, self)

    def _send(self, kind: int, piece: Piece) -> None:
        if self._is_over:
            raise _Ended
        self._told.put((kind, piece))

    def murmur(self, *piece: Any) -> None:
        if self._is_over:
            raise _Ended
        super().murmur(*piece)

    def _next(self, wait_s: float | None) -> tuple[int, Piece] | None:
        if self._is_over:
            raise EOFError
        try:
            return self._told.get(timeout=wait_s) if wait_s is None or wait_s > 0 else self._told.get_nowait()
        except queue.Empty:
            return None

    def end(self) -> None:
        self._is_over = True
        if self._thread.is_alive():
            _LEFT.append(self._thread)


_LEFT: Final[list[threading.Thread]] = []


def has_left() -> bool:
    """Whether threads of work that was cut off are still in the middle of something."""
    return any(each.is_alive() for each in _LEFT)
