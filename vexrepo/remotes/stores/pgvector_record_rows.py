"""Records as rows of a table of ours, without the way through points: most records are plain, and there are many.

A plain record's row is the very one that ``RowWriter`` makes of its point; every other record goes that way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Vector
from vexrepo.remotes.stores.pgvector_records import RecordReader
from vexrepo.remotes.stores.pgvector_rows import JSONB
from vexrepo.remotes.stores.pgvector_table import Table
from vexrepo.remotes.stores.pgvector_wire import MAX_DIMS, encode_row, encode_vectors
from vexrepo.remotes.stores.points import TEXTS, Fields, encode_usual, is_usual

# What a body may say that jsonb or the fast parser does not keep: NUL, integers of any size, floats without a fraction.
_UNSURE = re.compile(rb"\\u0000|\d{16}|e\+")


class RecordWriter:
    """Makes rows of records whose own ids the rows have."""

    def __init__(self, table: Table, fields: Fields) -> None:
        assert table.payload is not None
        self._column = table.vectors[0]
        self._payload = table.payload
        self._members = [next(member for member, name in fields.members if name == column) for column in table.members]
        self._odd = fields.taken | {*TEXTS, table.payload.name}

    @staticmethod
    def suits(table: Table, fields: Fields) -> bool:
        """Whether a table is of ours, and has no column that must say something."""
        return RecordReader.suits(table, fields) and not any(column.is_required for column in table.members.values())

    def rows(self, records: Sequence[tuple[Record, str]]) -> tuple[bytes, list[tuple[Record, str]]]:
        """Return the rows of those records, each with its native id, that are plain; and the others."""
        rows: list[tuple[str, list[bytes | None]]] = []
        vectors: list[Vector | None] = []
        others = []
        for each in records:
            fields = self._fields(*each)
            if fields is None:
                others.append(each)
            else:
                rows.append((each[1], fields))
                vectors.append(each[0].vectors[0] if each[0].vectors else None)
        packed = encode_vectors(self._column, vectors)
        return b"".join(
            [
                encode_row([native.encode(), vector, *fields])
                for (native, fields), vector in zip(rows, packed, strict=True)
            ]
        ), others

    def _fields(self, record: Record, native: str) -> list[bytes | None] | None:
        """Return the fields after the vector, None where a record is not plain."""
        decimals: tuple[str, ...] = ()
        if record.vectors:
            if len(record.vectors) != 1:
                return None
            space = record.vectors[0].space
            if space.name != MAIN or space.kind != "dense" or space.dims > MAX_DIMS or space.dtype == "f64":
                return None
            if self._column.dims not in (0, space.dims):
                return None
            if space.dtype == "f32d":
                decimals = (MAIN,)
        if _UNSURE.search(record.body) is not None:
            return None
        absent: dict[str, Any] = orjson.loads(record.body)
        if absent.pop("id") != native:
            return None
        payload = absent.pop("metadata", None)
        if payload is None:
            held = JSONB + b"{}" if self._payload.is_required else None
            if b'"metadata"' in record.body:
                return None  # null, or none at all
        elif type(payload) is not dict or not payload or not self._odd.isdisjoint(payload):
            return None
        else:
            held = JSONB + orjson.dumps(payload)
        fields: list[bytes | None] = [None, held]
        for member in self._members:
            value = absent.get(member)
            if type(value) is str:
                del absent[member]
                fields.append(value.encode() if member != "created_at" else JSONB + orjson.dumps(value))
            elif member == "created_at" and value is not None:
                return None
            else:
                fields.append(None)
        if absent or decimals:
            if not is_usual(absent):
                return None
            fields[0] = encode_usual(absent, decimals).encode()
        return fields
