"""The connector for SQLite databases with sqlite-vec: ``sqlite-vec:agent.db?table=NAME``.

A memory is a row of a vec0 table, or a row of an ordinary table that has its vector in a vec0 table
(``sqlite_vec_table``).  Databases are read without leaving a trace beside them; a write is one transaction: all of it
is done or nothing.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores import sqlite_files as files
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.point_reading import RawPoints
from vexrepo.remotes.stores.point_store import PointStore, Wanted
from vexrepo.remotes.stores.points import Fields, Point
from vexrepo.remotes.stores.raw_rows import Reading, ValueRows
from vexrepo.remotes.stores.record_columns import AT_ONCE
from vexrepo.remotes.stores.record_splitting import Named
from vexrepo.remotes.stores.sqlite_extension import connect
from vexrepo.remotes.stores.sqlite_vec_making import config_of, make_tables, make_vec0
from vexrepo.remotes.stores.sqlite_vec_records import RecordReader, RecordWriter, suits
from vexrepo.remotes.stores.sqlite_vec_rows import RowReader, RowWriter, is_held
from vexrepo.remotes.stores.sqlite_vec_table import (
    MAX_DIMS,
    TABLE,
    Layout,
    Part,
    find_layout,
    find_tables,
    quote,
)

READ_ROWS: Final = 1000
_CACHE_KIB: Final = 8000  # rows are added where the last ones are: more would only be held
_METRICS: Final = ("cosine", "l2", "l1")

_UNKEPT: Final = ("AUTOINCREMENT", "DEFAULT", "CHECK", "REFERENCES", "COLLATE")  # of the statement that made a table


class SqliteVecStore(PointStore):
    """Tables of an SQLite database.  Holds no connection between calls, so that the agent is never kept waiting."""

    kind: ClassVar[str] = "sqlite-vec"
    reads_snapshot: ClassVar[bool] = True
    holds_others_off: ClassVar[bool] = True
    writes_whole: ClassVar[bool] = True
    batch_points: ClassVar[int] = 2000
    batch_bytes: ClassVar[int] = 16 << 20
    options: ClassVar[frozenset[str]] = frozenset({"table", "vectors", "id", "text", "vector", "distance"})
    busy_timeout_s: ClassVar[float] = 5.0
    can = Capabilities(
        lambda value: True,
        "any JSON",
        holds_vector=lambda vector: vector.space.dims <= MAX_DIMS,
    )

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._path = address.location
        self._layout: Layout | None = None
        self._is_made = False
        self._db: sqlite3.Connection | None = None
        self._inserting: RecordWriter | None = None  # as long as the tables stay as they are
        self._metric = address.options.get("distance", "cosine").lower()
        if self._metric not in _METRICS:
            raise UsageError(
                f"{address}: distance is {self._metric!r:.20}, expected {', '.join(_METRICS)}", code="bad-address"
            )

    def collection_words(self) -> str:
        """Return what the table is called to people."""
        return f"table {self.address.options.get('table') or TABLE} in {self._path}"

    # -- the tables --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection that writes, or one that reads."""
        if self._db is not None:
            with files.translated(self._path):
                yield self._db
            return
        with files.reading(self._path, self.busy_timeout_s, connect) as db:
            yield db

    def exists(self) -> bool:
        """Whether there is such a table."""
        return self._find() is not None

    def _find(self) -> Layout | None:
        if self._layout is None and not (self.create and self._db is None and not os.path.lexists(self._path)):
            with self._reading() as db:
                found = find_layout(db, self.address.options, self._path)
                if found is None and not self.create:
                    tables = find_tables(db)
                    names = ", ".join(sorted([*tables.vectors, *tables.plain])) or "none"
                    raise StoreError(
                        f"there is no {self.collection_words()}; tables there: {names:.300}; name one with ?table=NAME",
                        code="store-missing",
                    )
                if found is not None:
                    self.can = self._capabilities(found)
                    self._layout = found
        return self._layout

    @property
    def layout(self) -> Layout:
        """Where the memories are, which is known."""
        found = self._find()
        assert found is not None
        return found

    def _capabilities(self, layout: Layout) -> Capabilities:
        """Return what these tables hold."""
        parts = {layout.space(part).name: part for part in layout.vector_parts}
        names = {name.lower() for name in layout.members}

        def holds_member(name: str, value: Any) -> bool:
            column = layout.members.get(name)
            if column is not None and column.holds(value):
                return True
            if layout.payload is None or name == layout.payload:
                return False
            # Another spelling of a column's name would be the column.
            return not column.is_required if column is not None else name.lower() not in names

        return replace(
            type(self).can,
            holds_member=holds_member,
            holds_id_member=True,
            id_form="text" if layout.has_text_id else "number",
            is_named=len(parts) > 1,
            names=frozenset(parts) if parts else None,
            holds_vector=(lambda item: is_held(parts[item.space.name], item)) if parts else type(self).can.holds_vector,
            # What is in the vec0 table, or copied from it, needs a row there.
            needs_vector=bool(parts) and (not layout.rows or layout.copy is not None or bool(layout.beside)),
        )

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return what the members are called: a column holds the text, or a member of the payload."""
        layout = self._find()
        if layout is None:
            return Fields(text="content")
        return Fields(text=layout.text) if layout.text is not None else super().find_fields(sample)

    def fields(self) -> Fields:
        """Return what the members of a payload are called."""
        layout = self._find()
        if self._fields is None and (layout is None or layout.text is not None or layout.payload is None):
            self._fields = self.find_fields(())
        return super().fields()

    def mapping(self) -> dict[str, str]:
        """Return which column, with its type, each member of a record is."""
        layout = self._find()
        if layout is None:
            return {}
        found = {"id": f"{layout.table}.{layout.id}"}
        payload = f"a member of {layout.payload}" if layout.payload is not None else "carried"
        named = dict(self.fields().members)
        for member, name in named.items():
            column = layout.members.get(name)
            found[member] = f"{name} {column.declared}".rstrip() if column is not None else f"{payload}: {name}"
        for part in layout.vector_parts:
            name = layout.space(part).name
            assert layout.vectors is not None
            found[f"vectors.{name}" if name else "vector"] = (
                f"{layout.vectors.name}.{part.name} {part.type}[{part.dims}] {part.metric or 'l2'}"
            )
        for name, column in layout.members.items():
            if name not in named.values():
                found[f"metadata.{name}"] = f"{name} {column.declared}".rstrip()
        found["metadata"] = f"all members of {layout.payload}" if layout.payload is not None else "carried"
        found["everything else"] = layout.reserved or f"the table {layout.carry}"
        return found

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the columns are declared for."""
        spaces = [self.layout.space(part) for part in self.layout.vector_parts]
        return {space.name: space for space in spaces}

    def describe(self) -> Description:
        """Return the number of memories, how the tables are set up, and a fingerprint of the files."""
        layout = self._find()
        mark = files.fingerprint(self._path)
        if layout is None:
            return Description(0, fingerprint=mark)
        with self._reading() as db:
            count = db.execute(f"SELECT count(*) FROM {quote(layout.table)}").fetchone()[0]
        return Description(count, config_of(layout), mark)

    def find_left(self) -> list[str]:
        """Return what the table of rows has that is not made again."""
        rows = self.layout.rows
        if not rows:
            return []
        with self._reading() as db:
            parts = "tbl_name = ? AND type IN ('trigger', 'index') AND sql <> '' ORDER BY 1 DESC, 2"
            query = f"SELECT type, name FROM sqlite_master WHERE {parts}"
            found = [f"{kind} {name}" for kind, name in db.execute(query, (rows,))]
            made = db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (rows,)).fetchone()
        return [*found, *(each for each in _UNKEPT if each in str(made and made[0]).upper())]

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield all rows in batches."""
        with self._reading() as db:
            reader = RowReader(db, self.layout)
            yield from map(reader.points, reader.rows(READ_ROWS))

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield all rows in batches, those of tables of ours as records."""
        if self.layout.text is None:
            yield from super().read_records()
            return
        with self._reading_rows() as (rows, make):
            yield from map(make, rows)

    def read_raw(self) -> RawPoints | None:
        """Return the rows as bytes, which the layout of the tables and the fields make records."""
        return ValueRows(self._reading_rows, self.kind, repr(self.layout), repr(self.fields().members))

    @contextlib.contextmanager
    def _reading_rows(self) -> Iterator[Reading]:
        """Give all rows in batches, and what makes of them what they are: records in tables of ours."""
        fields = self.fields()
        with self._reading() as db:
            if self.layout.text is not None and suits(self.layout, fields):
                records = RecordReader(db, self.layout, fields)
                yield records.rows(AT_ONCE), records.records
            else:
                points = RowReader(db, self.layout)
                yield points.rows(READ_ROWS), points.points

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the rows of some ids."""
        with self._reading() as db:
            reader = RowReader(db, self.layout)
            return reader.points(reader.find(ids))

    def place(self, place: int) -> str:
        """Return words for a row."""
        return f"{self._path} row {place}"

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the tables to a plan, as a whole or not at all.  Raises: StoreError (store-changed)."""
        if plan.expected is None:
            self._names = None  # what was read before may have changed
            plan = replace(plan, expected=files.fingerprint(self._path))
        self._plan = plan
        done = super().write(plan)
        return replace(done, fingerprint=files.fingerprint(self._path))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a transaction until all is written."""
        self._is_made = False
        expected = self._plan.expected
        try:
            with files.writing(
                self._path, self.busy_timeout_s, create=self.create, connect=connect, expected=expected
            ) as db:
                db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._db = db
                yield
        except BaseException:
            self._layout = None  # what was made is gone
            raise
        finally:
            self._db, self._inserting, self._is_made = None, None, False

    @property
    def _writer(self) -> RowWriter:
        assert self._db is not None
        return RowWriter(self._db, self.layout, is_new=self._is_made)

    def prepare(self, wanted: Wanted) -> None:
        """Make the tables."""
        assert self._db is not None
        name = self.address.options.get("table") or TABLE
        main = wanted.spaces.get("")
        make_tables(self._db, name, self._vectors_name(name), main, wanted.config, self._metric)
        self._is_made, self._layout, self._fields = True, None, None  # what was made may call its text otherwise

    def _vectors_name(self, rows: str) -> str:
        return self.address.options.get("vectors") or f"{rows}_vec"

    def upsert(self, points: Sequence[Point]) -> None:
        """Write rows, replacing those of their ids."""
        assert self._db is not None
        layout = self.layout
        if layout.vectors is None:
            main = next((item.space for point in points for item in point.vectors), None)
            if main is not None:  # the first vectors in a table of ours
                made = Part("vector", "embedding", "float", main.dims, self._metric)
                make_vec0(self._db, self._vectors_name(layout.rows), [made])
                self._layout = self._inserting = None
        self._writer.upsert(points)

    def insert_records(self, records: Sequence[Named]) -> Sequence[Named]:
        """Add rows of records of new ids to tables of ours, and return those that are not plain."""
        assert self._db is not None
        if not records or self.layout.text is None or not RecordWriter.suits(self.layout, self.fields()):
            return records
        if self._inserting is None:
            self._inserting = RecordWriter(self._db, self.layout, self.fields(), is_new=self._is_made)
        return self._inserting.insert(records)

    def fills(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return what the columns that must not be NULL say where a record does not: their defaults, one for each row.

        A default may be a function of a time or a random number, so it is only asked for rows that are written.
        """
        columns = [column for column in self.layout.members.values() if column.is_required]
        if not columns:
            return [{}] * count
        cells = ", ".join("NULL" if column.default is None else f"({column.default})" for column in columns)
        rows = "WITH RECURSIVE rows(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < ?)"
        with self._reading() as db:
            found = db.execute(f"{rows} SELECT {cells} FROM rows", (count,)).fetchall()
        return [
            {
                column.name: column.filler() if cell is None else column.read(cell)
                for column, cell in zip(columns, row, strict=True)
            }
            for row in found
        ]

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        self._writer.delete(ids)

    def finish(self) -> None:
        """Leave no empty table behind."""
        self._writer.finish()
