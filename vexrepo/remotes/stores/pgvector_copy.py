"""What a binary COPY sends, row by row: as bytes, and those split into fields."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER, encode_row
from vexrepo.remotes.stores.point_reading import RawPoints
from vexrepo.remotes.stores.points import Point

if TYPE_CHECKING:
    import psycopg

READ_ROWS: Final = 250
_LETTER: Final = "é".encode()  # more than a byte: a text is told from what is left as bytes
_LENGTH = struct.Struct(">i")

Row = tuple[Any, ...]
Make = Callable[[Sequence[Row]], Sequence[Point | Record]]


class CopiedRows:
    """The rows that a COPY sends, each in a message of its own; psycopg reads their fields as some types."""

    def __init__(self, copy: psycopg.Copy, types: Sequence[str]) -> None:
        copy.set_types(types)
        self._copy = copy
        self._split = _splitter(copy, types)

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
        return list(map(self._split, pieces))


def _splitter(copy: psycopg.Copy, types: Sequence[str]) -> Callable[[Any], Row]:
    """Return what splits a row into its fields.

    psycopg's own does it in C, and is documented nowhere: ours takes its place where that is missing, or does not do
    with a row what is known of it.
    """
    import psycopg

    is_text = [kind == "text" for kind in types]
    row = encode_row([_LETTER] * len(types))
    with contextlib.suppress(AttributeError, TypeError, ValueError, psycopg.Error):
        split = copy.formatter.parse_row
        wanted = split_row(row, is_text)
        # The header, which is taken off here, is expected once.
        if split(HEADER + row) == wanted and split(row) == wanted:
            return split  # type: ignore[return-value] # None is of the trailer
    return partial(split_row, is_text=is_text)


def split_row(row: bytes | memoryview, is_text: Sequence[bool]) -> Row:
    """Return the fields of a row: texts, and the bytes of others; None where a field is NULL."""
    held, at = bytes(row), 2
    fields: list[Any] = []
    for each in is_text:
        (length,) = _LENGTH.unpack_from(held, at)
        at += _LENGTH.size
        if length < 0:
            fields.append(None)
            continue
        field = held[at : at + length]
        fields.append(field.decode() if each else field)
        at += length
    return tuple(fields)


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
