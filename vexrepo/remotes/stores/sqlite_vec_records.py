"""Rows of tables of ours as records, a batch at a time (``record_columns``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores.points import Fields, Point
from vexrepo.remotes.stores.record_columns import ColumnReader, Columns
from vexrepo.remotes.stores.sqlite_vec_rows import RowReader, are_finite
from vexrepo.remotes.stores.sqlite_vec_table import Layout


def suits(layout: Layout, fields: Fields) -> bool:
    """Whether tables are of ours: the usual columns and no other, and one of vectors of float32 at most."""
    wanted = {name: "" if member == "created_at" else "TEXT" for member, name in fields.members}
    is_usual = {name: column.declared for name, column in layout.members.items()} == wanted
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
        if not are_finite([row for row in vectors if type(row) is bytes and not len(row) % 4]):
            return [*self._reader.points(rows)]
        found = self._columns.records(Columns(identifiers, carried, payloads, text, namespace, model, created, vectors))
        if None not in found:
            return found  # type: ignore[return-value]
        points = iter(self._reader.points([row for row, record in zip(rows, found, strict=True) if record is None]))
        return [next(points) if record is None else record for record in found]
