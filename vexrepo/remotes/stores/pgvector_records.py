"""Rows of a table of ours as records, without the way through points: most rows are plain, and there are many.

What a plain row says is put into a body that is prepared for all rows of its form (``record_forms``).  Every other row
goes through a point; both ways give the same record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from orjson import dumps, loads

from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Vector
from vexrepo.remotes.stores.pgvector_pages import Pages
from vexrepo.remotes.stores.pgvector_rows import RowReader
from vexrepo.remotes.stores.pgvector_table import Table
from vexrepo.remotes.stores.pgvector_wire import decode_rows, dense_vectors
from vexrepo.remotes.stores.points import Fields, Point
from vexrepo.remotes.stores.record_columns import ColumnReader, Columns

if TYPE_CHECKING:
    from psycopg import sql

_SHALLOW: Final = 250  # bytes of JSON that cannot be nested too deep
_MOST_INSIDE: Final = 100  # arrays and objects, which may be inside one another
_WHOLE = re.compile(rb"\.0+(?!\d)")
_TYPES: Final = ("text", "bytea", "text", "bytea", "text", "text", "text", "bytea")  # how psycopg reads the columns
_sorted: Callable[[Any], bytes] = partial(dumps, option=orjson.OPT_SORT_KEYS)


class JsonbReader(ColumnReader):
    """As ``ColumnReader``, of metadata as jsonb has it: in an order of its own, and with spaces."""

    kinds: ClassVar[tuple[frozenset[type], ...]] = (
        *ColumnReader.kinds[:2],
        frozenset((bytes, type(None))),
        *ColumnReader.kinds[3:],
    )

    def canonics(self, payloads: list[Any]) -> list[bytes | None]:
        """Return the canonical form of many JSON objects, None of those that may be out of the ordinary."""
        texts = [raw[1:] for raw in payloads]
        if texts and _are_certain(texts):
            values = list(map(loads, texts))
            if set(map(type, values)) == {dict} and all(map(self.taken.isdisjoint, values)):
                return [*map(_sorted, values)]
        return [self._canonic(raw) for raw in texts]

    def _canonic(self, raw: bytes) -> bytes | None:
        try:
            value = loads(raw)
        except orjson.JSONDecodeError:  # a number that jsonb holds and this parser does not
            return None
        if type(value) is not dict or not self.taken.isdisjoint(value):
            return None
        return canonical.encode_certain(value, depth=1)


def _are_certain(texts: Sequence[bytes]) -> bool:
    """Whether the fast encoder is sure to print canonically what jsonb printed.

    Not so: names beyond ASCII, which sort by UTF-16; fractions that are none or tiny; numbers of more digits than
    doubles keep, be it of an integer; what is nested too deep.
    """
    import numpy as np

    raw = b",".join(texts)
    if not raw.isascii() or b"0.0000" in raw or _WHOLE.search(raw) is not None:
        return False
    letters = np.frombuffer(raw, "u1")
    others = np.flatnonzero((letters - ord("0") > 9) & (letters != ord(".")))
    if len(others) < 2 or int(np.diff(others).max()) > 16:
        return False
    return all(len(text) < _SHALLOW or text.count(b"[") + text.count(b"{") < _MOST_INSIDE for text in texts)


class RecordReader:
    """Makes records of a table's rows, and points of those that are not plain."""

    def __init__(self, table: Table, fields: Fields) -> None:
        assert table.payload is not None and table.reserved is not None
        self._columns = [
            table.id.name,
            table.vectors[0].column,
            table.reserved,
            table.payload.name,
            *(name for _, name in fields.members),
        ]
        self._name = table.identifier()
        self._column = table.vectors[0]
        self._rows = RowReader(table)
        self._members = [self._columns.index(name) for name in table.members]
        self._records = JsonbReader(fields, None)

    @staticmethod
    def suits(table: Table, fields: Fields) -> bool:
        """Whether a table is of ours: nothing but texts and JSON in the usual columns, and one column of vectors."""
        kinds = {name: "jsonb" if member == "created_at" else "text" for member, name in fields.members}
        found = {name: column.type for name, column in table.members.items()}
        payload, vectors = table.payload, table.vectors
        is_one = len(vectors) == 1 and vectors[0].name == MAIN and vectors[0].type == "vector"
        is_ours = found == kinds and payload is not None and payload.type == "jsonb" and bool(table.reserved)
        return is_ours and is_one and table.is_plain and table.id.type == "text"

    def statement(self, pages: Pages | None = None) -> sql.Composed:
        """Return the statement that sends the rows as they lie, all of them without a query, or those of some pages."""
        from psycopg import sql

        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        if pages is not None:
            return sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT binary)").format(
                names, self._name, pages.condition()
            )
        return sql.SQL("COPY {} ({}) TO STDOUT (FORMAT binary)").format(self._name, names)

    def types(self) -> Sequence[str]:
        """Return how psycopg is to read them."""
        return _TYPES

    def records(self, rows: Sequence[tuple[Any, ...]]) -> list[Record | Point]:
        """Return what a batch of rows is: records, and points of those that are not plain."""
        columns = list(zip(*rows, strict=True))
        vectors = decode_rows(self._column, columns[1])
        identifiers, _, carried, metadata, text, namespace, model, times = columns
        created = [None if raw is None else _time(raw) for raw in times]
        given = Columns(identifiers, carried, metadata, text, namespace, model, created, vectors)
        found = self._records.records(given)
        if None not in found:
            return found  # type: ignore[return-value]
        items = dense_vectors(self._column, vectors)
        return [
            self._point(row, () if item is None else (item,)) if record is None else record
            for record, row, item in zip(found, rows, items, strict=True)
        ]

    def _point(self, row: tuple[Any, ...], vectors: tuple[Vector, ...]) -> Point:
        found = [field[1:].decode() if at != 1 and type(field) is bytes else field for at, field in enumerate(row)]
        return self._rows.point((*found[:4], *(found[at] for at in self._members)), vectors)


def _time(raw: bytes) -> Any:
    """Return what jsonb says of a time; what is no plain one is left as it is."""
    try:
        value = loads(raw[1:])
    except orjson.JSONDecodeError:
        return raw
    return raw if value is None else value
