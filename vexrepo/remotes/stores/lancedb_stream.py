"""Rows on their way into a table of LanceDB: they are encoded and written while the next are made, as one version."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, Final

from vexrepo.storage.freed import give_back

_WAITING: Final = 2  # batches that are made before the one that is written


class _GivenUp(Exception):
    """Tells the library that what was sent is not to be kept."""


class RowStream:
    """Adds batches to a table.  They are there once it was ended, all of them, or none.

    ``schema``: of each batch.
    """

    def __init__(self, table: Any, schema: Any) -> None:
        self._batches: SimpleQueue[Any] = SimpleQueue()  # of batches, at last None, or what is to be raised
        self._room = Semaphore(_WAITING)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._add, args=(table, schema), name="vex-lancedb", daemon=True)
        self._thread.start()

    def write(self, batch: Any) -> None:
        """Send a batch of rows.  Raises what the library raised about those before."""
        if self._error is None:
            self._room.acquire()
        if self._error is not None:
            raise self._error
        self._batches.put(batch)

    def end(self) -> None:
        """Wait until all rows are there; what they took goes back to the system.  Raises what the library raises."""
        self._batches.put(None)
        self._thread.join()
        give_back()  # the threads that read are others, and would take as much again
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Give up: none will be there."""
        self._batches.put(_GivenUp())
        self._thread.join()

    def _add(self, table: Any, schema: Any) -> None:
        import pyarrow as pa

        try:
            table.add(pa.RecordBatchReader.from_batches(schema, self._coming()), on_bad_vectors="null")
        except BaseException as error:
            self._error = error
            self._room.release()  # who waits is told

    def _coming(self) -> Iterator[Any]:
        while (batch := self._batches.get()) is not None:
            if isinstance(batch, _GivenUp):
                raise batch
            self._room.release()
            yield batch
