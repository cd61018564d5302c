"""Scanning a store in a second process, so that whoever takes the records has a whole core for them.

Worth it where both ends work hard: parsing a large file into a database, reading a large database into a file.
"""

from __future__ import annotations

import contextlib
import functools
import marshal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Self

from vexrepo import errors
from vexrepo.errors import InvalidData, StorageFailure, VexError
from vexrepo.objects.digest import RecordId
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space, Vector
from vexrepo.remotes.stores.base import Sourced
from vexrepo.storage.beside import PIPE_BYTES

_BLOCK_BYTES = 1 << 18  # several fit into the pipe, so that neither process waits for the other

Scan = Callable[[Callable[[InvalidData], None] | None], Iterator[list[Sourced]]]


class BesideScan:
    """Yields what ``scan`` (``Store.scan`` or ``Store.scan_newest`` of a store) yields, read by a second process.

    Used as a context manager; leaving it before the end stops the second process.  Begin it before a database is
    opened for writing, and only where ``vexrepo.storage.beside.is_worthwhile``.  What cannot be read is raised or
    reported here, in its place in the stream.  Batches have other sizes than the scan's.
    """

    def __init__(self, scan: Scan, on_problem: Callable[[InvalidData], None] | None = None) -> None:
        self._on_problem = on_problem
        context: Any = get_context("fork" if sys.platform == "linux" else "spawn")
        self._receiver, sender = context.Pipe(duplex=False)
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.fcntl(self._receiver.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._process = context.Process(target=_send, args=(sender, scan, on_problem is not None))
        self._process.start()
        sender.close()
        self._is_done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._is_done:
            self._process.terminate()
        self._process.join()
        self._receiver.close()

    def __iter__(self) -> Iterator[list[Sourced]]:
        while True:
            try:
                # From our own process: no other bytes come through this pipe.
                rows, problems, end = marshal.loads(self._receiver.recv_bytes())
            except (EOFError, OSError):
                raise StorageFailure(
                    "the second process of this command was stopped; run the command again", code="disk-error"
                ) from None
            for message, code in problems:
                if self._on_problem is not None:
                    self._on_problem(InvalidData(message, code=code))
            if rows:
                yield [
                    Sourced(
                        Record(key, RecordId(name), body, tuple([Vector(_space(s), row) for s, row in vectors])), at
                    )
                    for key, name, body, vectors, at in rows
                ]
            if end is not None:
                self._is_done = True
                if end:
                    name, message, code = end
                    raise getattr(errors, name)(message, code=code)
                return


@functools.lru_cache(maxsize=4096)
def _space(raw: bytes) -> Space:
    return Space.decode(raw)


def _send(sender: Connection, scan: Scan, reports: bool) -> None:
    try:
        for block in _blocks(scan, reports):
            sender.send_bytes(block)
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # the first process was told, too, and says so


def _blocks(scan: Scan, reports: bool) -> Iterator[bytes]:
    """Yield blocks of (rows, problems since the last, None); in the last, instead of None, the error or ()."""
    problems: list[tuple[str, str]] = []
    rows: list[Any] = []
    held = 0
    end: tuple[str, ...] = ()
    try:
        for batch in scan((lambda error: problems.append((str(error), error.code))) if reports else None):
            for item in batch:
                key, name, body, vectors = item.record
                rows.append((key, bytes(name), body, [(space.encode(), row) for space, row in vectors], item.place))
                held += len(body) + sum([len(row) for _, row in vectors])
                if held >= _BLOCK_BYTES:
                    yield marshal.dumps((rows, problems, None))
                    rows, held = [], 0
                    problems.clear()
    except VexError as error:
        end = (type(error).__name__, str(error), error.code)
    yield marshal.dumps((rows, problems, end))
