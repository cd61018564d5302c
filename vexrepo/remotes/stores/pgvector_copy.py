"""What a binary COPY sends, row by row: as bytes, and those split into fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER
from vexrepo.remotes.stores.point_reading import RawPoints
from vexrepo.remotes.stores.points import Point

if TYPE_CHECKING:
    import psycopg

READ_ROWS: Final = 250

Row = tuple[Any, ...]
Make = Callable[[Sequence[Row]], Sequence[Point | Record]]


class CopiedRows:
    """The rows that a COPY sends, each in a message of its own; psycopg reads their fields as some types."""

    def __init__(self, copy: psycopg.Copy, types: Sequence[str]) -> None:
        copy.set_types(types)
        self._copy = copy
        self._split = copy.formatter.parse_row
        self._split(HEADER + TRAILER)  # else it would expect the header, which is taken off here

    def batches(self) -> Iterator[list[memoryview]]:
        """Yield the rows as bytes.  Raises: StoreError (store-answer)."""
        pieces: Iterator[Any] = iter(self._copy)
        first = memoryview(next(pieces, b""))
        if first[: len(HEADER)] != HEADER:
            raise StoreError("the server does not send rows in the form that is known", code="store-answer")
        rows = chain((first[len(HEADER) :],), pieces)
        while batch := list(islice(rows, READ_ROWS)):
            if batch[-1] == TRAILER:
                batch.pop()
            if batch:
                yield batch

    def split(self, pieces: Sequence[bytes | memoryview]) -> list[Row]:
        """Return the fields of some rows."""
        return list(map(self._split, pieces))  # type: ignore[arg-type] # None is of the trailer


class RawRows(RawPoints):
    """A table's rows as bytes first.  ``copied`` begins to read them; ``make`` makes points of their fields."""

    def __init__(self, copied: Callable[[], AbstractContextManager[CopiedRows]], make: Make, *decided_by: str) -> None:
        self.decided_by = decided_by
        self._copied = copied
        self._make = make
        self._rows: CopiedRows | None = None

    def batches(self) -> Iterator[list[memoryview]]:
        with self._copied() as self._rows:
            yield from self._rows.batches()

    def points(self, pieces: Sequence[bytes | memoryview]) -> Sequence[Point | Record]:
        assert self._rows is not None
        return self._make(self._rows.split(pieces))
