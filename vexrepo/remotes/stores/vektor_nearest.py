"""Nearest memories of a VEKTOR database by sqlite-vec: the order of a query, and the table agents search.

``memories_vec`` is a vec0 table with a copy of each vector under the row number of its memory.  The original tool makes
and fills it once (its ``migrate-vec``) and keeps it in step with what it imports; so does every write of ours, in its
own transaction.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores import sqlite_files as files
from vexrepo.remotes.stores import vektor_schema as schema
from vexrepo.remotes.stores.sqlite_extension import connect
from vexrepo.remotes.stores.sqlite_vec_table import MAX_DIMS, VectorTable, parse_vec0

TABLE: Final = "memories_vec"
_ROWS: Final = 2000


@dataclass(frozen=True, slots=True)
class InStep:
    """What was done, or is to be done, to bring ``memories_vec`` in step: rows added, replaced and removed.

    ``is_new``: the table is made.  ``others``: vectors of other dimensions, which it cannot hold.
    """

    dims: int
    is_new: bool
    added: int
    replaced: int
    removed: int
    others: int

    @property
    def changes(self) -> int:
        """How many rows of it are touched."""
        return self.added + self.replaced + self.removed


def has_table(db: sqlite3.Connection) -> bool:
    """Whether a database has a table ``memories_vec``; needs no extension."""
    return _statement(db) is not None


def _statement(db: sqlite3.Connection) -> str | None:
    found = db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,)).fetchone()
    return str(found[0]) if found is not None else None


def extended(path: str, timeout_s: float) -> files.Connect | None:
    """Return how to open a database so that what writes it keeps ``memories_vec`` in step in the same transaction.

    None where there is no such table or no sqlite-vec, and where what stands in for ``sqlite3`` cannot read all text.
    """
    if find_spec("sqlite_vec") is None:
        return None
    can_load = hasattr(sqlite3.Connection, "enable_load_extension")
    with files.reading(path, timeout_s) as db:
        if not has_table(db) or not (can_load or find_spec("apsw") is not None):
            return None
        return connect if can_load or _is_all_text(db) else None


def _is_all_text(db: sqlite3.Connection) -> bool:
    """Whether what is text in a database is UTF-8 throughout; writers read such that is not, if they can."""
    names = schema.tables(db)
    try:
        for name in {schema.MEMORIES, "vex_carry", *schema.EDGE_TABLES}.intersection(names):
            deque(db.execute(f"SELECT * FROM {schema.quote(name)}"), maxlen=0)
    except sqlite3.OperationalError as error:
        if "UTF-8" not in str(error):
            raise
        return False
    return True


def bring_in_step(db: sqlite3.Connection, path: str) -> None:
    """Bring ``memories_vec`` in step within the transaction that a connection with sqlite-vec is in; all or nothing.

    Raises: StoreError (store-schema), sqlite3.Error.
    """
    db.execute("SAVEPOINT vex_in_step")
    try:
        _bring_in_step(db, path, None, dry_run=False)
    except (StoreError, sqlite3.Error):
        if db.in_transaction:  # a full disk may have ended all of it
            db.execute("ROLLBACK TO vex_in_step")
            db.execute("RELEASE vex_in_step")
        raise
    db.execute("RELEASE vex_in_step")


def backfill(path: str, timeout_s: float, *, dims: int | None = None, dry_run: bool = False) -> InStep:
    """Make ``memories_vec`` where it is missing, and bring it in step with ``memories``, in one transaction.

    ``dims``: of the vectors it is made for; None: those most have.  Raises: StoreError (store-schema,
    store-unreadable where sqlite-vec is not installed, …).
    """
    if dry_run:
        with files.reading(path, timeout_s, connect) as db:
            return _bring_in_step(db, path, dims, dry_run=True)
    with files.writing(path, timeout_s, create=False, connect=connect) as db:
        return _bring_in_step(db, path, dims, dry_run=False)


def _bring_in_step(db: sqlite3.Connection, path: str, dims: int | None, *, dry_run: bool) -> InStep:
    layout = schema.read_memories(db, path)
    if "vector" not in layout.roles:
        raise StoreError(f"{path}: the table memories has no column of vectors", code="store-schema")
    vector, rowid = schema.quote(layout.roles["vector"]), layout.rowid
    statement = _statement(db)
    sizes = dict(
        db.execute(
            f"SELECT length({vector}) / 4, count(*) FROM memories "
            f"WHERE typeof({vector}) = 'blob' AND length({vector}) > 0 AND length({vector}) % 4 = 0 GROUP BY 1"
        ).fetchall()
    )
    if statement is None:
        wanted = dims or max(sizes, key=lambda size: (sizes[size], -size), default=0)
        if not 0 < wanted <= MAX_DIMS:
            raise StoreError(
                f"{path}: no memory has a vector that says for how many dimensions {TABLE} is to be"
                if not wanted
                else f"{path}: {wanted} dimensions, more than the {MAX_DIMS} that sqlite-vec takes",
                code="store-cannot-hold",
            )
        others = sum(sizes.values()) - sizes.get(wanted, 0)
        if dry_run:
            return InStep(wanted, True, sizes.get(wanted, 0), 0, 0, others)
        db.execute(f"CREATE VIRTUAL TABLE {TABLE} USING vec0(embedding FLOAT[{wanted}])")
        column, key = "embedding", "rowid"
    else:
        table = _understood(path, statement)
        column, wanted, key = table.vectors[0].name, table.vectors[0].dims, table.key
        if dims not in (None, wanted):
            raise StoreError(
                f"{path}: {TABLE} is made for {wanted} dimensions, not {dims}; drop it first to make it anew",
                code="store-dims",
            )
        others = sum(sizes.values()) - sizes.get(wanted, 0)
    fits = f"typeof(m.{vector}) = 'blob' AND length(m.{vector}) = {4 * wanted}"
    held = f"{TABLE} v LEFT JOIN memories m ON m.{rowid} = v.{key} AND {fits}"
    gone = _numbers(db, f"SELECT v.{key} FROM {held} WHERE m.{rowid} IS NULL")
    stale = _numbers(db, f"SELECT v.{key} FROM {held} WHERE m.{rowid} IS NOT NULL AND v.{column} <> m.{vector}")
    missing = _numbers(
        db,
        f"SELECT m.{rowid} FROM memories m LEFT JOIN {TABLE} v ON v.{key} = m.{rowid} WHERE v.{key} IS NULL AND {fits}",
    )
    if not dry_run:
        for numbers in (gone, stale):
            db.executemany(f"DELETE FROM {TABLE} WHERE {key} = ?", ((number,) for number in numbers))
        for numbers in (stale, missing):
            for start in range(0, len(numbers), _ROWS):
                some = ",".join(map(str, numbers[start : start + _ROWS]))
                rows = db.execute(
                    f"SELECT m.{rowid}, m.{vector} FROM memories m WHERE m.{rowid} IN ({some})"
                ).fetchall()
                db.executemany(f"INSERT INTO {TABLE}({key}, {column}) VALUES (?, ?)", rows)
    return InStep(wanted, statement is None, len(missing), len(stale), len(gone), others)


def _numbers(db: sqlite3.Connection, query: str) -> array[int]:
    """Return row numbers; 8 bytes each."""
    return array("q", (number for (number,) in db.execute(query)))


def _understood(path: str, statement: str) -> VectorTable:
    """Return what ``memories_vec`` is.  Raises: StoreError (store-schema) for a table that is not ours to fill."""
    table = parse_vec0(TABLE, statement)
    if table is None or table.has_text_key or table.members or [part.type for part in table.vectors] != ["float"]:
        raise StoreError(
            f"{path}: the table {TABLE} is not as the original tool makes it, vec0(embedding FLOAT[…]); it is left "
            f"alone: {statement:.200}",
            code="store-schema",
        )
    return table


def nearest_rows(path: str, timeout_s: float, query: Sequence[float]) -> array[int] | None:
    """Return the row numbers of all memories with a vector, the nearest to a query first, by cosine.

    None where that cannot be told so: sqlite-vec is not installed, there are vectors of other dimensions, or some that
    the rows do not have as they are (what is carried, ``vex_carry``).
    """
    import numpy as np

    # sqlite-vec adds up squares in single precision: a query of very large or small numbers would be infinitely long,
    # or of no length.  Its direction is what counts.
    values = np.asarray(query, np.float64)
    blob = np.ldexp(values, -int(np.frexp(np.abs(values).max())[1])).astype("<f4").tobytes()
    try:
        with files.reading(path, timeout_s, connect) as db:
            layout = schema.read_memories(db, path)
            if "vector" not in layout.roles:
                return None
            vector = schema.quote(layout.roles["vector"])
            odd = db.execute(
                f"SELECT 1 FROM memories WHERE {vector} IS NOT NULL AND length({vector}) > 0 "
                f"AND (typeof({vector}) <> 'blob' OR length({vector}) <> {len(blob)}) LIMIT 1"
            ).fetchone()
            if odd is not None or _carries_vectors(db):
                return None
            # Of a vector of zeros there is no cosine; it counts as at a right angle.
            order = f"coalesce(vec_distance_cosine({vector}, ?), 1.0)"
            rows = db.execute(
                f"SELECT {layout.rowid} FROM memories WHERE length({vector}) > 0 ORDER BY {order}, {layout.rowid}",
                (blob,),
            )
            return array("q", (number for (number,) in rows))
    except StoreError as error:
        if error.code in ("store-unreadable", "store-schema"):
            return None  # without the extension; what else is wrong is said where the memories are read
        raise


def _carries_vectors(db: sqlite3.Connection) -> bool:
    if "vex_carry" not in schema.tables(db):
        return False
    query = "SELECT 1 FROM vex_carry WHERE tbl = 'memories' AND length(rows) > 0 LIMIT 1"
    return db.execute(query).fetchone() is not None
