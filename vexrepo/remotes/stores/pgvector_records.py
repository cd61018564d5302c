"""Rows of a table of ours as records, without the way through points: most rows are plain, and there are many.

What a plain row says is put into a body that is prepared for all rows of its form: the same columns filled, the same
members carried, one model.  Every other row goes through a point; both ways give the same record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from orjson import dumps

from vexrepo.objects import canonical
from vexrepo.objects.record import MAX_BODY_BYTES, Record, frame_vector, framed_id, make_key, record_id
from vexrepo.objects.vector import MAIN, Dtype, Space, Vector
from vexrepo.remotes.stores.pgvector_rows import RowReader
from vexrepo.remotes.stores.pgvector_table import Table
from vexrepo.remotes.stores.pgvector_wire import decode_vectors
from vexrepo.remotes.stores.points import MOST_KEPT, Fields, Point, parse_carried

if TYPE_CHECKING:
    from psycopg import sql

_MOST_FORMS: Final = 10_000
_LONGEST: Final = 10_000  # characters of an id; a longer one is no plain row's
_SHALLOW: Final = 250  # bytes of JSON that cannot be nested too deep
# What jsonb prints that the fast encoder may print otherwise than canonical JSON: fractions, long numbers, names beyond
# ASCII, which sort by UTF-16.
_UNSURE = re.compile(rb"\d\.|\d{16}|[^\x00-\x7f]")
_TYPES: Final = ("text", "bytea", "text", "bytea", "text", "text", "text", "bytea")  # how psycopg reads the columns


class _Form:
    """How rows of one form become records.

    ``body`` takes what is filled, in order: time, id, metadata, namespace, text.  ``start`` is what their keys begin
    with where no namespace is filled.  ``vector``: the record's space, and what stands before a row in what its id is
    made of; None for rows without a vector.
    """

    __slots__ = ("body", "start", "vector")

    def __init__(self, parts: dict[str, bytes], namespace: str, space: Space | None) -> None:
        names = sorted(parts, key=lambda name: name.encode("utf-16-be"))  # as canonical JSON has them
        members = [canonical.encode(name).replace(b"%", b"%%") + b":" + parts[name] for name in names]
        self.body = b"{" + b",".join(members) + b"}"
        self.start = make_key(namespace, "")
        self.vector = None if space is None else (space, frame_vector(space, 4 * space.dims))


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
        self._forms: dict[Any, _Form | None] = {}
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
        key = (reserved, model, dims, created is None, not metadata, namespace is None, text is None)
        try:
            form = self._forms[key]
        except KeyError:
            form = self._form(*key)
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
        return canonical.encode_certain(parsed)

    def _namespace(self, namespace: str) -> tuple[bytes, bytes]:
        """Return how a namespace is printed, and what keys in it begin with."""
        found = dumps(namespace), make_key(namespace, "")
        if len(self._namespaces) < _MOST_FORMS and len(namespace) < _LONGEST:
            self._namespaces[namespace] = found
        return found

    def _form(self, reserved: str | None, model: str | None, dims: int, *are_null: bool) -> _Form | None:
        """Return how rows of a form become records; None for those that go through points."""
        if reserved is not None and len(reserved) > MOST_KEPT:
            return None
        form = self._made(reserved, model, dims, dict(zip(_NULLABLE, are_null, strict=True)))
        if len(self._forms) < _MOST_FORMS:
            self._forms[(reserved, model, dims, *are_null)] = form
        return form

    @staticmethod
    def _made(reserved: str | None, model: str | None, dims: int, is_null: dict[str, bool]) -> _Form | None:
        carried = parse_carried(reserved)
        if reserved is not None and (carried is None or not carried.is_usual):
            return None
        absent = dict(carried.absent) if carried is not None else {}
        filled = ["id", *(name for name, null in is_null.items() if not null)]
        # An object that is carried joins one that is there.
        if any(isinstance(absent.pop(name, None), dict) for name in filled):
            return None
        if dims and ("vector" in absent or absent.get("dims") not in (None, dims)):
            return None
        if model is not None:
            absent["model"] = model
        model, namespace = absent.get("model"), absent.get("namespace")
        parts = {name: canonical.encode(value).replace(b"%", b"%%") for name, value in absent.items()}
        parts |= dict.fromkeys(filled, b"%b")
        dtype: Dtype = "f32d" if carried is not None and MAIN in carried.decimals else "f32"
        space = Space(MAIN, "dense", model if isinstance(model, str) else None, dims, dtype) if dims else None
        return _Form(parts, namespace if isinstance(namespace, str) else "", space)


_NULLABLE: Final = ("created_at", "metadata", "namespace", "text")
