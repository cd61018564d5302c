"""Rows of tables of ours as records, and records as rows, a batch at a time (``record_columns``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores.payload_records import are_finite
from vexrepo.remotes.stores.points import Fields, Point
from vexrepo.remotes.stores.record_columns import ColumnReader, Columns
from vexrepo.remotes.stores.record_splitting import ColumnWriter, Named
from vexrepo.remotes.stores.sqlite_vec_rows import RowReader
from vexrepo.remotes.stores.sqlite_vec_table import Layout, quote

_LAST_NUMBER: Final = 1 << 62


def suits(layout: Layout, fields: Fields) -> bool:
    """Whether tables are of ours: the usual columns and no other, at most one of float32 vectors."""
    wanted = {name: "" if member == "created_at" else "TEXT" for member, name in fields.members}
    is_usual = {name: column.declared for name, column in layout.members.items()} == wanted
    is_usual = is_usual and not any(column.is_required for column in layout.members.values())
    has_all = bool(layout.rows) and layout.has_text_id and layout.payload is not None and layout.reserved is not None
    parts = layout.vector_parts
    is_one = not parts or (len(parts) == 1 and parts[0].type == "float" and layout.space(parts[0]).name == MAIN)
    return is_usual and has_all and is_one and layout.copy is None and not layout.beside


class RecordReader:
    """Makes records of rows, and points of those that are not plain."""

    def __init__(self, db: sqlite3.Connection, layout: Layout, fields: Fields) -> None:
        self._reader = RowReader(db, layout)
        parts = layout.vector_parts
        self._columns = ColumnReader(fields, parts[0].dims if parts else 0)
        self._has_vectors = bool(parts)
        self._members = [list(layout.members).index(name) for _, name in fields.members]

    def rows(self, count: int) -> Iterator[list[Sequence[Any]]]:
        """Yield all rows, in batches."""
        return self._reader.rows(count)

    def records(self, rows: Sequence[Sequence[Any]]) -> list[Record | Point]:
        """Return the records of rows, points of those that are not plain."""
        identifiers, *rest = zip(*rows, strict=True)
        vectors: Sequence[Any] = rest.pop(0) if self._has_vectors else [None] * len(rows)
        carried, _, payloads, *members = rest
        text, namespace, model, created = (members[at] for at in self._members)
        if not all(are_finite([row for row in vectors if type(row) is bytes and not len(row) % 4])):
            return [*self._reader.points(rows)]
        found = self._columns.records(Columns(identifiers, carried, payloads, text, namespace, model, created, vectors))
        if None not in found:
            return found  # type: ignore[return-value]
        points = iter(self._reader.points([row for row, record in zip(rows, found, strict=True) if record is None]))
        return [next(points) if record is None else record for record in found]


class RecordWriter:
    """Adds rows of records to tables of ours, within one transaction.

    ``is_new``: the tables were made in this transaction.  Rows get the next free numbers, as SQLite would give them.
    """

    def __init__(self, db: sqlite3.Connection, layout: Layout, fields: Fields, *, is_new: bool) -> None:
        assert layout.payload is not None and layout.reserved is not None
        self._db = db
        self._layout = layout
        parts = layout.vector_parts
        self._columns = ColumnWriter(fields, layout.payload, parts[0].dims if parts else 0, folds=True)
        names = [layout.number, layout.id, layout.reserved, layout.payload, *(name for _, name in fields.members)]
        self._insert = (
            f"INSERT INTO {quote(layout.rows)} ({', '.join(map(quote, names))}) VALUES ({', '.join('?' * len(names))})"
        )
        self._last = 0  # of the numbers of vectors that were there
        if layout.vectors is not None:
            key, name = quote(layout.vectors.key), quote(layout.vectors.name)
            self._insert_vector = f"INSERT INTO {name} ({key}, {quote(parts[0].name)}) VALUES (?, ?)"
            if not is_new:
                self._last = self._highest(key, name)

    @staticmethod
    def suits(layout: Layout, fields: Fields) -> bool:
        """Whether tables are of ours, and their rows have numbers that say nothing else."""
        is_plain = layout.vectors is None or (not layout.vectors.has_text_key and len(layout.vectors.parts) <= 2)
        return suits(layout, fields) and layout.number != layout.id and is_plain

    def _highest(self, column: str, table: str) -> int:
        return int(self._db.execute(f"SELECT max({column}) FROM {table}").fetchone()[0] or 0)

    def insert(self, records: Sequence[Named]) -> Sequence[Named]:
        """Add the rows of records of new ids, each with its native one; return those that are not plain."""
        last = max(self._last, self._highest(quote(self._layout.number), quote(self._layout.rows)))
        if last > _LAST_NUMBER:
            return records
        columns, others = self._columns.columns(records)
        numbers = range(last + 1, last + 1 + len(columns.id))
        self._db.executemany(self._insert, zip(numbers, *columns[:-1], strict=True))
        vectors = [each for each in zip(numbers, columns.vector, strict=True) if each[1] is not None]
        if vectors:
            self._db.executemany(self._insert_vector, vectors)
        return others
