"""The side table ``vex_carry``: what a VEKTOR database cannot hold natively, beside it in the same file.

One row stands for one row of another table (``tbl``), found by its row number and native id.  VACUUM may renumber
rows, so the id decides and the number only tells rows of equal ids apart.  Rows left behind by a memory that
was deleted, or whose place was taken by another memory, are ignored when reading and removed by the next write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, key_of, record_id
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores import carry
from vexrepo.remotes.stores.carry import ABSENT
from vexrepo.remotes.stores.vektor_schema import Layout, quote

TABLE = "vex_carry"
_CREATE = f"""CREATE TABLE {TABLE} (
  tbl TEXT NOT NULL, native TEXT NOT NULL, row INTEGER NOT NULL,
  key BLOB, body BLOB NOT NULL, projection BLOB NOT NULL, digest BLOB, spaces BLOB NOT NULL, rows BLOB NOT NULL,
  PRIMARY KEY (tbl, native, row)
) WITHOUT ROWID"""
_GONE = Vector(Space(MAIN, "dense", None, 1, "f32"), b"")
_FIELDS = "native, row, key, body, projection, digest, spaces, rows"


@dataclass(frozen=True, slots=True)
class Carried:
    """One row of the side table.  ``key`` is the record's key where it is not the native one."""

    native: str
    row: int
    key: bytes | None
    body: bytes
    projection: bytes
    digest: bytes | None
    spaces: bytes
    rows: bytes


def digest_of(native: bytes | None) -> bytes | None:
    """Return what tells whether a native vector changed."""
    return None if native is None else blake3(native).digest(16)


def carried_memory(row: int, original: Record, read_back: Record) -> Carried:
    """Return the side row that restores ``original`` where the store reads ``read_back``."""
    blob = _blob(read_back)
    spaces, rows = carry.pack_vectors(original.vectors, blob)
    native = str(body_value(read_back.body)["id"])
    key = original.key if original.key != read_back.key else None
    return Carried(native, row, key, original.body, read_back.body, digest_of(blob), spaces, rows)


def carried_edge(native: str, row: int, original: bytes, read_back: bytes) -> Carried:
    """Return the side row that restores an edge's body where the store reads another."""
    return Carried(native, row, None, original, read_back, None, b"[]", b"")


def restore(carried: Carried, now: Record) -> Record:
    """Return the record a native row and its side row stand for.  Raises: InvalidData if the side row is damaged."""
    blob = _blob(now)
    digest = digest_of(blob)
    if now.body == carried.projection and digest == carried.digest:
        value = canonical.decode(carried.body)
        if not isinstance(value, dict):
            raise InvalidData("a carried body is not an object", code="not-an-object")
        vectors = carry.unpack_vectors(carried.spaces, carried.rows, blob)
        key = now.key if carried.key is None else key_of(value)
        return Record(key, record_id(carried.body, vectors), carried.body, vectors)
    if is_stale(carried, now):
        return now
    then_vectors: tuple[Vector, ...] = now.vectors
    if digest != carried.digest:
        # The old native row is gone; all that counts is that it is not the present one.
        then_vectors = () if carried.digest is None else (_GONE,)
        kept = carry.unpack_vectors(carried.spaces, carried.rows, None)
    else:
        kept = carry.unpack_vectors(carried.spaces, carried.rows, blob)
    original = Record(now.key, record_id(carried.body, kept), carried.body, kept)
    then = Record(now.key, record_id(carried.projection, then_vectors), carried.projection, then_vectors)
    return carry.reconcile(original, then, now)


def _blob(record: Record) -> bytes | None:
    return record.vectors[0].row if record.vectors else None


def is_stale(carried: Carried, now: Record) -> bool:
    """Return whether a native row is another memory than the one its side row was written for.

    An edit keeps the id and the time of creation; a reused row number keeps neither text nor time.
    """
    then, value = body_value(carried.projection), body_value(now.body)
    if then.get("id") != value.get("id"):
        return True
    return then.get("text") != value.get("text") and then.get("created_at") != value.get("created_at")


class CarryTable:
    """The side table of one database, for one of its tables."""

    def __init__(self, db: sqlite3.Connection, layout: Layout) -> None:
        self._db = db
        self._layout = layout
        self._id = quote(layout.roles["id"]) if "id" in layout.roles else layout.rowid
        found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,)).fetchone()
        self.exists = found is not None

    def find(self, natives: Sequence[str]) -> dict[str, list[Carried]]:
        """Return the side rows of some native ids (at most some hundreds), by id."""
        found: dict[str, list[Carried]] = {}
        if self.exists and natives:
            marks = ",".join("?" * len(natives))
            query = f"SELECT {_FIELDS} FROM {TABLE} WHERE tbl = ? AND native IN ({marks})"
            for row in self._db.execute(query, (self._layout.table, *natives)):
                found.setdefault(row[0], []).append(Carried(*row))
        return found

    def choose(self, candidates: Sequence[Carried], row: int, body: bytes) -> Carried | None:
        """Return the side row, of those with a row's native id, that belongs to the row of this native body.

        In this order: written for this very content, for this namespace, for this row number.
        """
        here = [each for each in candidates if each.row == row]
        for each in (*here, *candidates):
            if each.projection == body:
                return each
        if not candidates:
            return None
        namespace = body_value(body).get("namespace", ABSENT)
        for each in (*here, *candidates):
            if carry.is_same(body_value(each.projection).get("namespace", ABSENT), namespace):
                return each
        # Either the memory was moved to another namespace, or rows were renumbered and its own is elsewhere.
        return here[0] if here and not self._has_home(here[0]) else None

    def _has_home(self, carried: Carried) -> bool:
        namespace = body_value(carried.projection).get("namespace")
        column = self._layout.roles.get("namespace")
        query = (
            f"SELECT 1 FROM {self._layout.table} WHERE {self._id} = ? AND {quote(column) if column else 'NULL'} IS ?"
        )
        return self._db.execute(query, (carried.native, namespace)).fetchone() is not None

    def keyed(self) -> list[Carried]:
        """Return the side rows of records whose key is not the native one."""
        if not self.exists:
            return []
        query = f"SELECT {_FIELDS} FROM {TABLE} WHERE tbl = ? AND key IS NOT NULL"
        return [Carried(*found) for found in self._db.execute(query, (self._layout.table,))]

    def heal(self, body_at: Callable[[int], bytes]) -> None:
        """Point side rows at the rows their ids are in now, and remove those whose row is gone.

        ``body_at`` gives the native body of a row number.  Afterwards every side row names its row exactly.
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
        rows = self._db.execute(f"SELECT {rowid}, CAST({self._id} AS TEXT) FROM {table} ORDER BY {rowid}").fetchall()
        kept: list[Carried] = []
        for row, native in rows:
            candidates = doubtful.get(native, [])
            side = self.choose(candidates, row, body_at(row)) if candidates else None
            if side is not None:
                kept.append(replace(side, row=row))
        self.drop((side.native, side.row) for each in doubtful.values() for side in each)
        self.put(kept)

    def put(self, side_rows: Iterable[Carried]) -> None:
        """Store side rows, replacing those of the same rows; the table is made when the first one needs it."""
        values = [
            (self._layout.table, c.native, c.row, c.key, c.body, c.projection, c.digest, c.spaces, c.rows)
            for c in side_rows
        ]
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
    if db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,)).fetchone():
        if not db.execute(f"SELECT 1 FROM {TABLE} LIMIT 1").fetchone():
            db.execute(f"DROP TABLE {TABLE}")
