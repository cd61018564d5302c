"""The side table ``vex_carry`` in a VEKTOR database.  What its rows mean: ``vektor_carry``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from vexrepo.remotes.stores.vektor_carry import Carried, agrees, fits, then_of
from vexrepo.remotes.stores.vektor_schema import Layout, quote

TABLE = "vex_carry"
_CREATE = f"""CREATE TABLE {TABLE} (
  tbl TEXT NOT NULL, native TEXT NOT NULL, row INTEGER NOT NULL,
  key BLOB, body BLOB NOT NULL, projection BLOB NOT NULL, digest BLOB, spaces BLOB NOT NULL, rows BLOB NOT NULL,
  PRIMARY KEY (tbl, native, row)
) WITHOUT ROWID"""
_FIELDS = "native, row, key, body, projection, digest, spaces, rows"
_BATCH = 500


class CarryTable:
    """The side table of one database, for one of its tables."""

    def __init__(self, db: sqlite3.Connection, layout: Layout) -> None:
        self._db = db
        self._layout = layout
        self._id = quote(layout.roles["id"]) if "id" in layout.roles else layout.rowid
        self.exists = _is_there(db)

    def find(self, natives: Sequence[str]) -> dict[str, list[Carried]]:
        """Return the side rows of some native ids (at most some hundreds), by id."""
        found: dict[str, list[Carried]] = {}
        if self.exists and natives:
            marks = ",".join("?" * len(natives))
            query = f"SELECT {_FIELDS} FROM {TABLE} WHERE tbl = ? AND native IN ({marks})"
            for row in self._db.execute(query, (self._layout.table, *natives)):
                found.setdefault(row[0], []).append(Carried(*row))
        return found

    def choose(self, candidates: Sequence[Carried], row: int, now: dict[str, Any]) -> Carried | None:
        """Return the side row, of those with a row's native id, that belongs to the row of these native members.

        In this order: written for this very content, for this namespace, for this row number.
        """
        here = [each for each in candidates if each.row == row]
        for each in (*here, *candidates):
            if fits(each, now):
                return each
        for each in (*here, *candidates):
            if agrees(then_of(each), now, "namespace"):
                return each
        # Either the memory was moved to another namespace, or rows were renumbered and its own is elsewhere.
        return here[0] if here and not self._has_home(here[0]) else None

    def _has_home(self, carried: Carried) -> bool:
        namespace = then_of(carried).get("namespace")
        column = self._layout.roles.get("namespace")
        query = (
            f"SELECT 1 FROM {self._layout.table} WHERE {self._id} = ? AND {quote(column) if column else 'NULL'} IS ?"
        )
        return self._db.execute(query, (carried.native, namespace)).fetchone() is not None

    def keyed(self) -> Iterator[list[tuple[str, int]]]:
        """Yield, in batches, (native id, row number) of the side rows of records whose key is not the native one."""
        if not self.exists:
            return
        after: tuple[str, int] = ("", -(1 << 63))
        while True:
            query = (
                f"SELECT native, row FROM {TABLE} WHERE tbl = ? AND (native, row) > (?, ?) AND key IS NOT NULL "
                f"ORDER BY native, row LIMIT {_BATCH}"
            )
            found = self._db.execute(query, (self._layout.table, *after)).fetchall()
            if not found:
                return
            after = found[-1]
            yield found

    def heal(self, value_at: Callable[[int], dict[str, Any]]) -> None:
        """Point side rows at the rows their ids are in now, and remove those whose row is gone.

        ``value_at`` gives the native members of a row number.  Afterwards every side row names its row exactly.
        """
        if not self.exists:
            return
        table, rowid = self._layout.table, self._layout.rowid
        # In doubt: side rows whose place holds another id or none, and several of one id.
        query = f"""SELECT {", ".join("c." + name for name in _FIELDS.split(", "))} FROM {TABLE} AS c
            WHERE c.tbl = ?1 AND c.native IN (
                SELECT native FROM {TABLE} WHERE tbl = ?1 GROUP BY native HAVING count(*) > 1
                UNION ALL
                SELECT d.native FROM {TABLE} AS d LEFT JOIN {table} AS t
                    ON t.{rowid} = d.row AND CAST(t.{self._id} AS TEXT) = d.native
                WHERE d.tbl = ?1 AND t.{rowid} IS NULL)"""
        doubtful: dict[str, list[Carried]] = {}
        for found in self._db.execute(query, (table,)):
            doubtful.setdefault(found[0], []).append(Carried(*found))
        if not doubtful:
            return
        rows = self._db.execute(f"SELECT {rowid}, CAST({self._id} AS TEXT) FROM {table} ORDER BY {rowid}")
        kept: list[Carried] = []
        for row, native in rows:
            candidates = doubtful.get(native, [])
            side = self.choose(candidates, row, value_at(row)) if candidates else None
            if side is not None:
                kept.append(side._replace(row=row))
        self.drop((side.native, side.row) for each in doubtful.values() for side in each)
        self.put(kept)

    def put(self, side_rows: Iterable[Carried]) -> None:
        """Store side rows, replacing those of the same rows; the table is made when the first one needs it."""
        values = [(self._layout.table, *each) for each in side_rows]
        if not values:
            return
        if not self.exists:
            self._db.execute(_CREATE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            self.exists = True
        self._db.executemany(f"INSERT OR REPLACE INTO {TABLE} (tbl, {_FIELDS}) VALUES (?,?,?,?,?,?,?,?,?)", values)

    def drop(self, places: Iterable[tuple[str, int]]) -> None:
        """Remove the side rows of (native id, row number)."""
        if self.exists:
            self._db.executemany(
                f"DELETE FROM {TABLE} WHERE tbl = ? AND native = ? AND row = ?",
                [(self._layout.table, native, row) for native, row in places],
            )


def remove_if_empty(db: sqlite3.Connection) -> None:
    """Drop the side table when nothing is carried any more."""
    if _is_there(db):
        if not db.execute(f"SELECT 1 FROM {TABLE} LIMIT 1").fetchone():
            db.execute(f"DROP TABLE {TABLE}")


def carried_models(db: sqlite3.Connection, layout: Layout) -> list[tuple[str, str]]:
    """Return the different (namespace, model) that are kept of memories with an embedding, without reading those."""
    if "vector" not in layout.roles or not _is_there(db):
        return []
    space = f"m.{quote(layout.roles['namespace'])}" if "namespace" in layout.roles else "NULL"
    vector, identifier = (f"m.{quote(layout.roles[role])}" for role in ("vector", "id"))
    body = "json(CAST(c.body AS TEXT))"
    found = db.execute(
        f"SELECT DISTINCT coalesce(json_extract({body}, '$.namespace'), {space}, ''), json_extract({body}, '$.model') "
        f"FROM {TABLE} c JOIN {layout.table} m ON m.{layout.rowid} = c.row "
        f"WHERE c.tbl = ? AND CAST({identifier} AS TEXT) = c.native AND length({vector}) > 0 "
        f"AND json_valid(CAST(c.body AS TEXT)) AND json_type(CAST(c.body AS TEXT), '$.model') = 'text'",
        [layout.table],
    )
    return [(str(namespace), model) for namespace, model in found]


def _is_there(db: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return db.execute(query, (TABLE,)).fetchone() is not None
