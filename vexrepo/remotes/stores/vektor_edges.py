"""The graph edges of a VEKTOR database: ``graph_edges`` and, in older ones, ``memory_edges``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects import edge
from vexrepo.objects.record import Record, body_value
from vexrepo.remotes.stores import carry
from vexrepo.remotes.stores.vektor_bind import Binder
from vexrepo.remotes.stores.vektor_carry import Carried, carried_edge
from vexrepo.remotes.stores.vektor_carry_table import CarryTable
from vexrepo.remotes.stores.vektor_rows import EDGE_ROLES, encode_row, place_words, read_edge, whole_number
from vexrepo.remotes.stores.vektor_schema import (
    EDGE_TABLES,
    GRAPH_EDGES,
    MEMORY_EDGES,
    NEWEST,
    Layout,
    quote,
    read_layout,
)

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Placed:
    """An edge as read, its table, row number and native id."""

    record: Record
    table: str
    row: int
    native: str


class EdgeReader:
    """Reads edges.  ``record_ids`` maps native memory ids to record ids where these differ."""

    def __init__(self, db: sqlite3.Connection, path: str, record_ids: Mapping[str, str]) -> None:
        self._db = db
        self._path = path
        self._record_ids = record_ids
        self.layouts: dict[str, Layout] = {}
        for table in EDGE_TABLES:
            layout = read_layout(db, path, table)
            if layout is not None:
                self.layouts[table] = layout

    def read(self) -> Iterator[Placed]:
        """Yield every edge.  Raises: InvalidData naming file, row and id."""
        for layout in self.layouts.values():
            table = CarryTable(self._db, layout)
            after: tuple[int, ...] = ()
            while True:
                where = f"WHERE {layout.rowid} > ?" if after else ""
                query = f"{layout.select(EDGE_ROLES)} {where} ORDER BY {layout.rowid} LIMIT {_BATCH}"
                rows = self._db.execute(query, after).fetchall()
                if not rows:
                    break
                after = (rows[-1][0],)
                sides = table.find([native_name(row) for row in rows])
                for row in rows:
                    native = native_name(row)
                    body = self.native_body(layout, row)
                    side = table.choose(sides[native], row[0], body_value(body)) if native in sides else None
                    yield Placed(self._restored(layout, row, body, side), layout.table, row[0], native)

    def native_body(self, layout: Layout, row: tuple[Any, ...]) -> bytes:
        """Return the canonical body of an edge row."""
        try:
            return encode_row(read_edge(layout, row, lambda native: self._record_ids.get(native, native)))
        except InvalidData as error:
            raise self._bad(layout, row, error) from error

    def body_at(self, layout: Layout, row: int) -> tuple[str, bytes]:
        """Return native id and canonical body of the edge in a row."""
        query = f"{layout.select(EDGE_ROLES)} WHERE {layout.rowid} = ?"
        found = self._db.execute(query, (row,)).fetchone()
        return native_name(found), self.native_body(layout, found)

    def heal(self) -> None:
        """Point what is carried for edges at their rows, and remove what is carried for edges that are gone."""
        for layout in self.layouts.values():
            CarryTable(self._db, layout).heal(lambda row, layout=layout: body_value(self.body_at(layout, row)[1]))  # type: ignore[misc]

    def _restored(self, layout: Layout, row: tuple[Any, ...], body: bytes, side: Carried | None) -> Record:
        try:
            if side is None:
                return edge.from_json(body_value(body))
            if side.projection == body:
                return edge.from_json(body_value(side.body))
            then, now = body_value(side.projection), body_value(body)
            if any(not carry.is_same(then.get(name), now.get(name)) for name in ("id", "type")):
                return edge.from_json(now)
            return edge.from_json(carry.reconcile_value(body_value(side.body), then, now))
        except InvalidData as error:
            raise self._bad(layout, row, error) from error

    def _bad(self, layout: Layout, row: tuple[Any, ...], error: InvalidData) -> InvalidData:
        place = place_words(self._path, layout.table, row[0], row[1])
        return InvalidData(f"{place} cannot be read: {error}; repair or delete that row", code=error.code)


def native_name(row: tuple[Any, ...]) -> str:
    """Return what stands for an edge row in the side table: its id, or its row number if it has none."""
    return str(row[0] if row[1] is None else row[1])


class EdgeWriter:
    """Writes edges within one transaction.

    ``record_ids`` (native to record id) and ``native_ids`` (record to native id) hold the memories whose native
    id is another one; they may change until ``apply`` is called.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        path: str,
        record_ids: Mapping[str, str],
        native_ids: Mapping[str, Any],
        *,
        whole_ids: bool,
    ) -> None:
        self._db = db
        self._path = path
        self._native_ids = native_ids
        self._whole_ids = whole_ids
        self._reader = EdgeReader(db, path, record_ids)
        self._reader.heal()
        self._before = list(self._reader.read())

    def apply(self, upserts: Sequence[Record], deletes: Sequence[Record]) -> None:
        """Remove ``deletes`` by key, then write ``upserts``, each replacing the edge of its key.

        An edge nobody asked to change but that reads otherwise now, because a memory's native id came or went,
        is carried as it was.  Raises: InvalidData, sqlite3.Error.
        """
        held: dict[bytes, list[Placed]] = {}
        for placed in self._before:
            held.setdefault(placed.record.key, []).append(placed)
        for record in deletes:
            self._remove(held.pop(record.key, []))
        by_table: dict[str, list[tuple[Record, Placed | None]]] = {}
        for record in upserts:
            table = self._table_of(record)
            old = held.pop(record.key, [])
            place = next((each for each in old if each.table == table), None)
            self._remove([each for each in old if each is not place])
            by_table.setdefault(table, []).append((record, place))
        written: dict[tuple[str, int], Record] = {}
        for table, wanted in by_table.items():
            for row, record in self._write(self._reader.layouts[table], wanted):
                written[table, row] = record
        for rest in held.values():
            for placed in rest:
                written[placed.table, placed.row] = placed.record
        self._carry(written)

    def _table_of(self, record: Record) -> str:
        layouts = self._reader.layouts
        table = GRAPH_EDGES
        if body_value(record.body).get("table") == MEMORY_EDGES or (GRAPH_EDGES not in layouts and layouts):
            table = MEMORY_EDGES
        if table not in layouts:
            self._db.execute(NEWEST[table])
            layout = read_layout(self._db, self._path, table)
            assert layout is not None
            layouts[table] = layout
        return table

    def _remove(self, placed: list[Placed]) -> None:
        for each in placed:
            layout = self._reader.layouts[each.table]
            self._db.execute(f"DELETE FROM {layout.table} WHERE {layout.rowid} = ?", (each.row,))
            CarryTable(self._db, layout).drop([(each.native, each.row)])

    def _write(self, layout: Layout, wanted: list[tuple[Record, Placed | None]]) -> Iterator[tuple[int, Record]]:
        binder = Binder(self._db, layout)
        names = [quote(column.name) for column in binder.columns]
        update = f"UPDATE {layout.table} SET {', '.join(f'{name} = ?' for name in names)} WHERE {layout.rowid} = ?"
        ids = [quote(layout.roles["id"])] if "id" in layout.roles else []
        into = ([] if layout.id_is_rowid else [layout.rowid]) + ids + names
        insert = f"INSERT INTO {layout.table} ({', '.join(into)}) VALUES ({', '.join('?' * len(into))})"
        last = self._db.execute(f"SELECT max({layout.rowid}) FROM {layout.table}").fetchone()[0] or 0
        rows = {row for (row,) in self._db.execute(f"SELECT {layout.rowid} FROM {layout.table}")}
        taken: set[str] = set()
        if ids and not layout.id_is_rowid:
            taken = {str(item) for (item,) in self._db.execute(f"SELECT {ids[0]} FROM {layout.table}")}
        for record, place in wanted:
            value = body_value(record.body)
            values = binder.edge(value, self._native_id)
            if place is not None:
                self._db.execute(update, (*values, place.row))
                yield place.row, record
                continue
            row = whole_number(value.get("id") or "") if layout.id_is_rowid else None
            if row is None or row in rows:
                row = last + 1
            last = max(last, row)
            rows.add(row)
            head: list[Any] = [row]
            if ids and not layout.id_is_rowid:
                native = value.get("id") or f"ge-{value['type']}-{value['source']}-{value['target']}"
                if native in taken:
                    native = f"{native}#{row}"
                taken.add(native)
                head.append(native)
            self._db.execute(insert, (*head, *values))
            yield row, record

    def _native_id(self, identifier: str) -> Any:
        native = self._native_ids.get(identifier)
        if native is None and self._whole_ids:
            native = whole_number(identifier)
        return identifier if native is None else native

    def _carry(self, wanted: dict[tuple[str, int], Record]) -> None:
        now = {(placed.table, placed.row): placed for placed in self._reader.read()}
        sides = {table: CarryTable(self._db, layout) for table, layout in self._reader.layouts.items()}
        for (table, row), record in wanted.items():
            if now[table, row].record.id == record.id and not sides[table].exists:
                continue
            native, body = self._reader.body_at(self._reader.layouts[table], row)
            sides[table].drop([(native, row)])
            if body != record.body:
                sides[table].put([carried_edge(native, row, record.body, body)])
