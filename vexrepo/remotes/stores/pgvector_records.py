"""Rows of a table of ours as records, without the way through points: most rows are plain, and there are many.

What a plain row says is put into a body that is prepared for all rows of its form (``record_forms``).  Every other row
goes through a point; both ways give the same record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from orjson import dumps

from vexrepo.objects import canonical
from vexrepo.objects.record import MAX_BODY_BYTES, Record, framed_id, make_key, record_id
from vexrepo.objects.vector import MAIN, Vector
from vexrepo.remotes.stores.pgvector_rows import RowReader
from vexrepo.remotes.stores.pgvector_table import Table
from vexrepo.remotes.stores.pgvector_wire import decode_vectors
from vexrepo.remotes.stores.points import Fields, Point
from vexrepo.remotes.stores.record_forms import MOST_FORMS, Forms

if TYPE_CHECKING:
    from psycopg import sql

_LONGEST: Final = 10_000  # characters of an id; a longer one is no plain row's
_SHALLOW: Final = 250  # bytes of JSON that cannot be nested too deep
# What jsonb prints that the fast encoder may print otherwise than canonical JSON: fractions, long numbers, names beyond
# ASCII, which sort by UTF-16.
_UNSURE = re.compile(rb"\d\.|\d{16}|[^\x00-\x7f]")
_TYPES: Final = ("text", "bytea", "text", "bytea", "text", "text", "text", "bytea")  # how psycopg reads the columns


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
        self._taken = fields.taken | table.members.keys()
        self._forms = Forms()
        self._namespaces: dict[str, tuple[bytes, bytes]] = {}

    @staticmethod
    def suits(table: Table, fields: Fields) -> bool:
        """Whether a table is of ours: nothing but texts and JSON in the usual columns, and one column of vectors."""
        kinds = {name: "jsonb" if member == "created_at" else "text" for member, name in fields.members}
        found = {name: column.type for name, column in table.members.items()}
        payload, vectors = table.payload, table.vectors
        is_one = len(vectors) == 1 and vectors[0].name == MAIN and vectors[0].type == "vector"
        is_ours = found == kinds and payload is not None and payload.type == "jsonb" and bool(table.reserved)
        return is_ours and is_one and table.is_plain and table.id.type == "text"

    def statement(self) -> sql.Composed:
        """Return the statement that sends the rows as they lie: no query is planned."""
        from psycopg import sql

        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        return sql.SQL("COPY {} ({}) TO STDOUT (FORMAT binary)").format(self._name, names)

    def types(self) -> Sequence[str]:
        """Return how psycopg is to read them."""
        return _TYPES

    def records(self, rows: Sequence[tuple[Any, ...]]) -> list[Record | Point]:
        """Return what a batch of rows is: records, and points of those that are not plain."""
        vectors = decode_vectors(self._column, [row[1] for row in rows])
        return [self._record(row, item) or self._point(row, item) for row, item in zip(rows, vectors, strict=True)]

    def _point(self, row: tuple[Any, ...], item: Vector | None) -> Point:
        found = [field[1:].decode() if at != 1 and type(field) is bytes else field for at, field in enumerate(row)]
        return self._rows.point((*found[:4], *(found[at] for at in self._members)), () if item is None else (item,))

    def _record(self, row: tuple[Any, ...], item: Vector | None) -> Record | None:
        identifier, _, reserved, metadata, text, namespace, model, created = row
        if metadata is not None:
            metadata = self._metadata(metadata)
            if metadata is None:
                return None
        dims = 0 if item is None else item.space.dims
        form = self._forms.of(reserved, model, dims, created is None, not metadata, namespace is None, text is None)
        if form is None or not 0 < len(identifier) < _LONGEST:
            return None
        filled: list[bytes] = []
        if created is not None:
            created = created[1:]
            # A text of jsonb without escapes is canonical as it is, and so is a short whole number.
            if (created[:1] != b'"' or b"\\" in created) and not (len(created) < 16 and created.isdigit()):
                return None
            filled.append(created)
        filled.append(dumps(identifier))
        if metadata:
            filled.append(metadata)
        if namespace is None:
            start = form.start
        else:
            printed, start = self._namespaces.get(namespace) or self._namespace(namespace)
            filled.append(printed)
        if text is not None:
            filled.append(dumps(text))
        body = form.body % tuple(filled)
        if len(body) > MAX_BODY_BYTES:
            return None
        name = start + identifier.encode()
        if item is None or form.vector is None:
            return Record(name, record_id(body, ()), body, ())
        space, frame = form.vector
        kept = item.row
        return Record(name, framed_id(body, frame, kept), body, (Vector(space, kept),))

    def _metadata(self, raw: bytes) -> bytes | None:
        """Return the canonical form of what jsonb holds, b"" for an empty object; None where it is not plain."""
        raw = raw[1:]
        try:
            parsed = orjson.loads(raw)
        except orjson.JSONDecodeError:  # a number that jsonb holds and this parser does not
            return None
        if type(parsed) is not dict or not self._taken.isdisjoint(parsed):
            return None
        if not parsed:
            return b""
        if len(raw) < _SHALLOW and _UNSURE.search(raw) is None:
            return dumps(parsed, option=orjson.OPT_SORT_KEYS)
        return canonical.encode_certain(parsed, depth=1)

    def _namespace(self, namespace: str) -> tuple[bytes, bytes]:
        """Return how a namespace is printed, and what keys in it begin with."""
        found = dumps(namespace), make_key(namespace, "")
        if len(self._namespaces) < MOST_FORMS and len(namespace) < _LONGEST:
            self._namespaces[namespace] = found
        return found
