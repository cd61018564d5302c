"""Points as rows of a table: how each column is read and written.

Most columns are text or JSON and go as they are; those of other types go as JSON through ``to_jsonb`` and
``jsonb_populate_record``.  Where a JSON column has a member of the name of a column, both are kept: the column's value
is the member, and the other is in an object of the JSON column's name, unless the column only says what it can of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import Vector
from vexrepo.remotes.stores.carry import is_same
from vexrepo.remotes.stores.pgvector_columns import Column
from vexrepo.remotes.stores.pgvector_pages import Pages
from vexrepo.remotes.stores.pgvector_table import Table
from vexrepo.remotes.stores.pgvector_wire import decode_vectors, encode_row, encode_vectors
from vexrepo.remotes.stores.points import RESERVED, Point

if TYPE_CHECKING:
    from psycopg import sql

_INCOMING: Final = "vex_incoming"
_TYPED: Final = "vex_typed"
_LONG_NUMBER = re.compile(r"[0-9.]{16}")
JSONB: Final = b"\1"  # the version of its binary form


class RowReader:
    """Makes points of rows: the id, the vectors, what is carried, the payload, the members."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._members = [(column, None if column.is_text else _parse) for column in table.members.values()]

    def statement(self, ids: Sequence[str] | None = None, pages: Pages | None = None) -> sql.Composed:
        """Return the statement that sends the rows, those of some pages, or those of some ids."""
        from psycopg import sql

        table = self._table
        parts: list[sql.Composable] = [table.id.as_text()]
        parts += [sql.Identifier(each.column) for each in table.vectors]
        parts.append(sql.Identifier(table.reserved) if table.reserved else sql.SQL("NULL::text"))
        if table.payload is not None:
            parts.append(sql.SQL("{}::text").format(sql.Identifier(table.payload.name)))
        parts += [column.as_text() if column.is_text else column.as_json() for column, _ in self._members]
        only: sql.Composable = pages.condition() if pages is not None else sql.SQL("")
        if ids is not None:
            only = sql.SQL(" WHERE {} OPERATOR(pg_catalog.=) ANY({}::pg_catalog.text[]::{}[])").format(
                sql.Identifier(table.id.name), sql.Literal(list(ids)), sql.SQL(table.id.type)
            )
        return sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT binary)").format(
            sql.SQL(", ").join(parts), table.identifier(), only
        )

    def types(self) -> Sequence[str]:
        """Return how psycopg is to read them."""
        table = self._table
        texts = 1 + (table.payload is not None) + len(self._members)
        return ["text", *["bytea"] * len(table.vectors), *["text"] * texts]

    def points(self, rows: Sequence[tuple[Any, ...]]) -> list[Point]:
        """Return the points of a batch of rows."""
        columns = [decode_vectors(each, [row[at] for row in rows]) for at, each in enumerate(self._table.vectors, 1)]
        vectors: Iterable[tuple[Vector, ...]]
        if len(columns) == 1:
            vectors = [() if item is None else (item,) for item in columns[0]]
        elif columns:
            vectors = [tuple([item for item in items if item is not None]) for items in zip(*columns, strict=True)]
        else:
            vectors = [()] * len(rows)
        return [self.point(row, held) for row, held in zip(rows, vectors, strict=True)]

    def point(self, row: tuple[Any, ...], vectors: tuple[Vector, ...]) -> Point:
        """Return the point of a row."""
        table, at = self._table, 1 + len(self._table.vectors)
        payload: dict[str, Any] = {}
        reserved = row[at]
        at += 1
        if table.payload is not None:
            held = row[at]
            at += 1
            if held is not None:
                held = _parse(held)
                if isinstance(held, dict):
                    payload = held
                else:
                    payload[table.payload.name] = held
        beside: dict[str, Any] = {}
        for (column, parse), text in zip(self._members, row[at:], strict=True):
            if text is None:
                continue
            name = column.name
            value = text if parse is None else parse(text)
            if name in payload:
                other = payload[name]
                if is_same(value, other) or is_same(column.nearest(other), value):
                    continue
                beside[name] = other
            payload[name] = value
        if beside and table.payload is not None:
            payload[table.payload.name] = beside
        if reserved is not None:
            payload[RESERVED] = reserved
        return Point(row[0], payload, vectors)


def _parse(text: str) -> Any:
    if _LONG_NUMBER.search(text) is None and '"' + RESERVED not in text:
        return orjson.loads(text)
    try:
        return canonical.parse(text.encode())
    except InvalidData:  # a number beyond all that doubles can say: kept as it is printed
        return text


class RowWriter:
    """Makes rows of points, and the statements that bring them into the table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        members = [(each, each.holder()) for each in table.members.values()]
        self._plain = [(each, holds) for each, holds in members if each.is_text or each.is_json]
        self._typed = [(each, holds) for each, holds in members if not (each.is_text or each.is_json)]

    @property
    def is_direct(self) -> bool:
        """Whether rows need not go through another table: the server has no value to convert."""
        return not self._typed

    def _direct(self) -> list[str]:
        """Return the columns whose values are copied as they are, in the order of a row's fields."""
        table = self._table
        names = [each.column for each in table.vectors]
        names += [table.reserved] if table.reserved else []
        names += [table.payload.name] if table.payload is not None else []
        return names + [each.name for each, _ in self._plain]

    def incoming(self) -> sql.Composed:
        """Return the statement that makes an empty table for what comes in, gone with the transaction."""
        from psycopg import sql

        direct = sql.SQL(", ").join(map(sql.Identifier, [self._table.id.name, *self._direct()]))
        typed = sql.SQL(", NULL::pg_catalog.jsonb AS {}").format(sql.Identifier(_TYPED)) if self._typed else sql.SQL("")
        return sql.SQL(
            "DROP TABLE IF EXISTS pg_temp.{name}; "
            "CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS SELECT {direct}{typed} FROM {table} LIMIT 0"
        ).format(name=sql.Identifier(_INCOMING), direct=direct, typed=typed, table=self._table.identifier())

    def copy(self, *, directly: bool) -> sql.Composed:
        """Return the statement that takes the rows, into the table itself or into that for what comes in."""
        from psycopg import sql

        names = [self._table.id.name, *self._direct(), *([_TYPED] if self._typed else [])]
        target = self._table.identifier() if directly else sql.Identifier("pg_temp", _INCOMING)
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            target, sql.SQL(", ").join(map(sql.Identifier, names))
        )

    def merge(self) -> list[sql.Composed]:
        """Return the statements that bring what came in into the table: replaced where the id is there, else added."""
        from psycopg import sql

        table = self._table
        names = [table.id.name, *self._direct(), *(each.name for each, _ in self._typed)]
        values: list[sql.Composable] = [
            sql.SQL("i.{}").format(sql.Identifier(n)) for n in (table.id.name, *self._direct())
        ]
        values += [sql.SQL("t.{}").format(sql.Identifier(each.name)) for each, _ in self._typed]
        source = sql.SQL("pg_temp.{} i").format(sql.Identifier(_INCOMING))
        if self._typed:
            source += sql.SQL(", pg_catalog.jsonb_populate_record(NULL::{}, i.{}) t").format(
                table.identifier(), sql.Identifier(_TYPED)
            )
        parts = {
            "table": table.identifier(),
            "id": sql.Identifier(table.id.name),
            "names": sql.SQL(", ").join(map(sql.Identifier, names)),
            "values": sql.SQL(", ").join(values),
            "source": source,
        }
        add = "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {source}"
        if table.is_unique:
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in names[1:]
            )
            conflict = " ON CONFLICT ({id}) DO UPDATE SET {changes}" if names[1:] else " ON CONFLICT ({id}) DO NOTHING"
            return [sql.SQL(add + conflict).format(**parts, changes=changes)]
        gone = sql.SQL(
            "DELETE FROM {table} o USING pg_temp.{incoming} i WHERE o.{id} OPERATOR(pg_catalog.=) i.{id}"
        ).format(**parts, incoming=sql.Identifier(_INCOMING))
        return [gone, sql.SQL(add).format(**parts)]

    def rows(self, points: Sequence[Point]) -> bytes:
        """Return the rows of points as binary COPY has them."""
        columns = [encode_vectors(each, [_named(point, each.name) for point in points]) for each in self._table.vectors]
        vectors: Iterable[tuple[bytes | None, ...]] = zip(*columns, strict=True) if columns else [()] * len(points)
        return b"".join(
            [
                encode_row([self._id(point.id), *held, *self._fields(point.payload)])
                for point, held in zip(points, vectors, strict=True)
            ]
        )

    def _id(self, native: str) -> bytes:
        kind = self._table.id.type
        if kind == "uuid":
            return bytes.fromhex(native.replace("-", ""))
        if kind in _SIZES:
            return int(native).to_bytes(_SIZES[kind], "big", signed=True)
        return native.encode()

    def _fields(self, payload: dict[str, Any]) -> list[bytes | None]:
        """Return the fields after the vectors."""
        table = self._table
        left = dict(payload)
        reserved = left.pop(RESERVED, None)
        beside = left.pop(table.payload.name, None) if table.payload is not None else None
        plain: list[bytes | None] = []
        for column, holds in self._plain:
            value = _take(column, holds, left)
            if value is None:
                plain.append(None)
            elif column.is_text:
                plain.append(value.encode())
            else:
                plain.append(_json(value) if column.type == "json" else JSONB + _json(value))
        typed = {each.name: value for each, holds in self._typed if (value := _take(each, holds, left)) is not None}
        fields: list[bytes | None] = []
        if table.reserved:
            fields.append(None if reserved is None else reserved.encode())
        elif reserved is not None:
            left[RESERVED] = reserved
        if table.payload is not None:
            if isinstance(beside, dict):
                left |= beside
            if left or beside is not None or table.payload.is_required:
                raw = _json(left if left or beside is None else beside)
                fields.append(raw if table.payload.type == "json" else JSONB + raw)
            else:
                fields.append(None)
        fields += plain
        if self._typed:
            fields.append(JSONB + _json(typed))
        return fields


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits
        return canonical.encode(value)


_SIZES: Final = {"bigint": 8, "integer": 4, "smallint": 2}


def _named(point: Point, name: str) -> Vector | None:
    return next((item for item in point.vectors if item.space.name == name), None)


def _take(column: Column, holds: Callable[[Any], bool], left: dict[str, Any]) -> Any:
    """Return what a column is to hold; a member that it holds wholly is taken out of what is left for the payload."""
    value = left.get(column.name)
    if value is None:
        return None
    if holds(value):
        del left[column.name]
        return value
    return column.nearest(value)
