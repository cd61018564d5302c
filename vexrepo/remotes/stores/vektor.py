"""The connector for VEKTOR databases: an SQLite file with a ``memories`` table and, at times, a graph.

A row is a record: ``content`` is its text, the float32 blob its vector, ``namespace`` and ``created_at`` as they
are, and every other column that is not NULL a member of its metadata.  Mapping and generations: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Self

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects.record import Record, make_key, split_key
from vexrepo.remotes.stores import vektor_files as files
from vexrepo.remotes.stores import vektor_schema as schema
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Store, Written
from vexrepo.remotes.stores.vektor_carry import (
    Carried,
    CarryTable,
    carried_memory,
    remove_if_empty,
    restore,
)
from vexrepo.remotes.stores.vektor_edges import EdgeReader, EdgeWriter
from vexrepo.remotes.stores.vektor_fts import FullText
from vexrepo.remotes.stores.vektor_rows import (
    MAX_NATIVE_ID,
    MEMORY_ROLES,
    Binder,
    MemoryReader,
    Row,
    all_finite,
    place_words,
    whole_number,
)

_BATCH = 500


class VektorStore(Store):
    """A VEKTOR database.  Holds no connection between calls, so that the agent is never kept waiting."""

    kind: ClassVar[str] = "vektor"
    rewrites: ClassVar[bool] = False
    holds_edges: ClassVar[bool] = True
    reads_snapshot: ClassVar[bool] = True
    busy_timeout_s: ClassVar[float] = 5.0

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address)
        self._path = address.location
        self._create = create

    @classmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        """Return the connector open on a database file; with ``create``, a missing one is made when written to."""
        store = cls(address, create=create)
        if not store._is_new():
            with files.reading(store._path, cls.busy_timeout_s) as db:
                if not (create and not schema.tables(db)):
                    schema.read_memories(db, store._path)
        return store

    def _is_new(self) -> bool:
        return self._create and not os.path.lexists(self._path)

    def describe(self) -> Description:
        """Return the number of memories, the CREATE statements and a fingerprint of the files."""
        if self._is_new():
            return Description(0)
        mark = files.fingerprint(self._path)
        with files.reading(self._path, self.busy_timeout_s) as db:
            if self._create and not schema.tables(db):
                return Description(0, fingerprint=mark)
            schema.read_memories(db, self._path)
            count = db.execute(f"SELECT count(*) FROM {schema.MEMORIES}").fetchone()[0]
            return Description(count, schema.capture(db), mark)

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield every memory in batches, all from one moment.  ``place`` is the row number."""
        if self._is_new():
            return
        with files.reading(self._path, self.busy_timeout_s) as db:
            if self._create and not schema.tables(db):
                return
            rows = _MemoryRows(db, self._path, schema.read_memories(db, self._path))
            for batch in rows.batches():
                found = [Sourced(record, row) for row, record, _ in rows.read(batch, on_problem)]
                if found:
                    yield found

    def edges(self) -> Iterator[Record]:
        """Yield the edges of ``graph_edges`` and ``memory_edges``."""
        if self._is_new():
            return
        with files.reading(self._path, self.busy_timeout_s) as db:
            if self._create and not schema.tables(db):
                return
            layout = schema.read_memories(db, self._path)
            names = {}
            if layout.one_row_an_id:
                rows = _MemoryRows(db, self._path, layout)
                names = {native: split_key(key)[1] for _, native, key in _foreign_keys(rows, by_id=True)}
            for placed in EdgeReader(db, self._path, names).read():
                yield placed.record

    def write(self, plan: Plan) -> Written:
        """Make the database hold what ``plan`` wants in one transaction; rows it does not name stay as they are.

        Deletes run before upserts here (nobody can see between them), so that a native id that one memory
        leaves is free for another.
        """
        self.check_expected(plan)
        before = files.state(self._path)
        with files.writing(self._path, self.busy_timeout_s, create=self._create) as db:
            if plan.expected is not None and files.state(self._path) != before:
                # Another program committed between the look and our lock.
                raise StoreError(
                    f"{self._path} was changed by another program meanwhile; nothing was written: run the "
                    "command again",
                    code="store-changed",
                )
            if self._create and not schema.tables(db):
                schema.create(db, plan.config)
            layout = schema.read_memories(db, self._path)
            writer = _MemoryWriter(db, self._path, layout)
            # Native ids that differ from record ids can make an edge read otherwise: look at all of them then.
            edges = None
            if plan.edge_upserts or plan.edge_deletes or layout.one_row_an_id:
                edges = EdgeWriter(db, self._path, writer.record_ids, writer.native_ids, whole_ids=layout.id_is_rowid)
            deleted = writer.delete(plan.deletes)
            upserted = writer.upsert(plan.upserts(), plan.advance)
            if edges is not None:
                edges.apply(plan.edge_upserts, plan.edge_deletes)
            writer.finish()
        return Written(upserted, deleted, files.fingerprint(self._path))

    def place(self, place: int) -> str:
        """Return words for a row number: ``agent.db row 12``."""
        return f"{self.address.location} row {place}"


class _MemoryRows:
    """Reads ``memories`` through one connection, joined with what is carried."""

    def __init__(self, db: sqlite3.Connection, path: str, layout: schema.Layout) -> None:
        self.db = db
        self.path = path
        self.layout = layout
        self.carry = CarryTable(db, layout)
        self._select = layout.select(MEMORY_ROLES)
        self._reader = MemoryReader(path, layout)

    def batches(self) -> Iterator[list[Row]]:
        """Yield all rows by row number."""
        order = f"ORDER BY {self.layout.rowid} LIMIT {_BATCH}"
        rows = self._fetch(f"{self._select} {order}", ())
        while rows:
            yield rows
            rows = self._fetch(f"{self._select} WHERE {self.layout.rowid} > ? {order}", (rows[-1][0],))

    def at(self, numbers: Sequence[int]) -> list[Row]:
        """Return the rows of the given numbers (at most some hundreds), in any order."""
        marks = ",".join("?" * len(numbers))
        return self._fetch(f"{self._select} WHERE {self.layout.rowid} IN ({marks})", numbers)

    def named(self, natives: Sequence[str]) -> list[Row]:
        """Return the rows of the given native ids."""
        marks = ",".join("?" * len(natives))
        return self._fetch(f"{self._select} WHERE {schema.quote(self.layout.roles['id'])} IN ({marks})", natives)

    def _fetch(self, query: str, values: Sequence[Any]) -> list[Row]:
        try:
            return self.db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "decode to UTF-8" not in str(error):
                raise
        # Read on with marks in place of the bad bytes: the reader refuses exactly the rows that hold one.
        with _lenient_text(self.db):
            return self.db.execute(query, values).fetchall()

    def read(
        self, rows: list[Row], on_problem: Callable[[InvalidData], None] | None = None, *, joined: bool = True
    ) -> Iterator[tuple[int, Record, Record]]:
        """Yield (row number, record, native projection) for each row; unless ``joined``, both are the latter.

        Raises: InvalidData naming file, row and id, or reports it to ``on_problem`` and leaves the row out.
        """
        blobs = [row[3] for row in rows if type(row[3]) is bytes and not len(row[3]) & 3]
        is_finite = all_finite(blobs)
        sides = {}
        if joined and self.carry.exists:
            sides = self.carry.find([str(row[1]) for row in rows if isinstance(row[1], int) or _is_plain(row[1])])
        for row in rows:
            try:
                native = record = self._reader.read(row, is_finite)
                candidates = sides.get(str(row[1])) if sides else None
                side = self.carry.choose(candidates, row[0], native.body) if candidates else None
                if side is not None:
                    record = self._restored(row, native, side)
            except InvalidData as error:
                if on_problem is None:
                    raise
                on_problem(error)
                continue
            yield row[0], record, native

    def _restored(self, row: Row, native: Record, side: Carried) -> Record:
        try:
            return restore(side, native)
        except InvalidData as error:
            place = place_words(self.path, schema.MEMORIES, row[0], row[1])
            raise InvalidData(
                f"{place}: what the table vex_carry keeps for it is damaged ({error}); "
                "delete it there to read the row alone",
                code=error.code,
            ) from error

    def native_body(self, number: int) -> bytes:
        """Return the body a row reads as natively."""
        return self._reader.read(self.at([number])[0], False).body


@contextlib.contextmanager
def _lenient_text(db: sqlite3.Connection) -> Iterator[None]:
    """While entered, text that is not UTF-8 is read with lone surrogates in place of the bad bytes."""
    before = db.text_factory
    db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        db.text_factory = before


def _is_plain(identifier: Any) -> bool:
    return isinstance(identifier, str) and not any("\ud800" <= char <= "\udfff" for char in identifier)


def _foreign_keys(rows: _MemoryRows, *, by_id: bool) -> Iterator[tuple[int, str, bytes]]:
    """Yield (row number, native id, record key) of memories whose key is not the native one.

    ``by_id`` finds rows by their unique native id; row numbers are only right once the side table is healed.
    """
    sides = rows.carry.keyed()
    for start in range(0, len(sides), _BATCH):
        some = sides[start : start + _BATCH]
        found = rows.named([side.native for side in some]) if by_id else rows.at([side.row for side in some])
        ids = {row[0]: str(row[1]) for row in found}
        for number, record, native in rows.read(found, lambda error: None):
            if record.key != native.key:
                yield number, ids[number], record.key


class _MemoryWriter:
    """Writes memories within one transaction."""

    def __init__(self, db: sqlite3.Connection, path: str, layout: schema.Layout) -> None:
        self._rows = _MemoryRows(db, path, layout)
        self._db = db
        self._layout = layout
        self._carry = self._rows.carry
        self._carry.heal(self._rows.native_body)
        self._fts = FullText(db, layout)
        self._at: dict[bytes, int] = {}  # record key -> row number
        self._twins: dict[bytes, list[int]] = {}  # further rows of the same key
        self._taken: set[Any] = set()  # native ids, where the table wants them unique
        self.record_ids: dict[str, str] = {}
        self.native_ids: dict[str, Any] = {}
        self._read_keys()
        binder = Binder(db, layout)
        self._binder = binder
        names = [schema.quote(column.name) for column in binder.columns]
        identifier = schema.quote(layout.roles["id"])
        into = ([] if layout.id_is_rowid else [layout.rowid]) + [identifier, *names]
        self._insert = f"INSERT INTO memories ({', '.join(into)}) VALUES ({', '.join('?' * len(into))})"
        self._update = f"UPDATE memories SET {', '.join(f'{name} = ?' for name in names)} WHERE {layout.rowid} = ?"
        self._last = db.execute(f"SELECT max({layout.rowid}) FROM memories").fetchone()[0] or 0
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'memories'").fetchone()
            self._last = max(self._last, found[0] if found else 0)

    def _read_keys(self) -> None:
        foreign = {}
        for number, native, key in _foreign_keys(self._rows, by_id=False):
            foreign[number] = key
            self._map(split_key(key)[1], native)
        layout, space = self._layout, self._layout.roles.get("namespace")
        query = (
            f"SELECT {layout.rowid}, {schema.quote(layout.roles['id'])}, {schema.quote(space) if space else 'NULL'} "
            f"FROM memories ORDER BY {layout.rowid}"
        )
        with _lenient_text(self._db):
            for number, identifier, namespace in self._db.execute(query):
                if layout.one_row_an_id:
                    self._taken.add(number if layout.id_is_rowid else str(identifier))
                try:
                    if not isinstance(identifier, (str, int)) or not isinstance(namespace or "", str):
                        continue  # a row no scan can read is no row of ours to change
                    key = foreign.get(number) or make_key(namespace or "", str(identifier))
                except UnicodeEncodeError:
                    continue
                if key in self._at:
                    self._twins.setdefault(key, []).append(number)
                else:
                    self._at[key] = number

    def _map(self, identifier: str, native: str) -> None:
        self.record_ids[native] = identifier
        self.native_ids.setdefault(identifier, int(native) if self._layout.id_is_rowid else native)

    def delete(self, keys: Sequence[bytes]) -> int:
        """Remove the memories of ``keys`` and return how many there were."""
        numbers: list[int] = []
        count = 0
        for key in keys:
            if key in self._at:
                count += 1
                numbers += [self._at.pop(key), *self._twins.pop(key, ())]
        self._delete_rows(numbers)
        return count

    def _delete_rows(self, numbers: list[int]) -> None:
        for start in range(0, len(numbers), _BATCH):
            some = numbers[start : start + _BATCH]
            self._fts.touch(some, exist=True)
            marks = ",".join("?" * len(some))
            identifier = schema.quote(self._layout.roles["id"])
            where = f"FROM memories WHERE {self._layout.rowid} IN ({marks})"
            natives = self._db.execute(f"SELECT {identifier}, {self._layout.rowid} {where}", some).fetchall()
            self._db.execute(f"DELETE {where}", some)
            self._carry.drop((str(native), number) for native, number in natives)
            for native, number in natives:
                self._taken.discard(number if self._layout.id_is_rowid else str(native))
                identifier_of_record = self.record_ids.pop(str(native), None)
                if identifier_of_record is not None and str(self.native_ids.get(identifier_of_record)) == str(native):
                    del self.native_ids[identifier_of_record]

    def upsert(self, records: Iterable[Record], advance: Callable[[int], None]) -> int:
        """Write records, each replacing the memory of its key, and return how many."""
        count = 0
        stream = iter(records)
        while batch := list(islice(stream, _BATCH)):
            self._upsert_batch(batch)
            count += len(batch)
            advance(len(batch))
        return count

    def _upsert_batch(self, batch: list[Record]) -> None:
        inserts: list[list[Any]] = []
        updates: list[list[Any]] = []
        wanted: dict[int, Record] = {}
        fresh: set[int] = set()
        for record in batch:
            values = self._binder.memory(record)
            number = self._at.get(record.key)
            if number is None:
                number, head = self._new_row(record)
                inserts.append(head + values)
                fresh.add(number)
                self._at[record.key] = number
            else:
                updates.append([*values, number])
                if record.key in self._twins:
                    self._delete_rows(self._twins.pop(record.key))
            wanted[number] = record
        self._fts.touch([number for number in wanted if number not in fresh], exist=True)
        self._db.executemany(self._insert, inserts)
        self._db.executemany(self._update, updates)
        self._fts.touch(fresh, exist=False)
        self._check(wanted)

    def _new_row(self, record: Record) -> tuple[int, list[Any]]:
        """Return the row number and the values before the other columns' of a memory that is not there yet."""
        identifier = split_key(record.key)[1]
        if self._layout.id_is_rowid:
            number = whole_number(identifier)
            if number is None or number in self._taken:
                number = self._next()
                self._map(identifier, str(number))
            self._taken.add(number)
            self._last = max(self._last, number)
            return number, [number]
        number = self._next()
        native = identifier
        if self._layout.one_row_an_id:
            if native in self._taken:
                native = f"{identifier}#{number}"
                self._map(identifier, native)
            self._taken.add(native)
        return number, [number, native]

    def _next(self) -> int:
        while True:
            self._last += 1
            if self._layout.id_is_rowid and self._last > MAX_NATIVE_ID:
                self._last = 1
            if not self._layout.id_is_rowid or self._last not in self._taken:
                return self._last

    def _check(self, wanted: dict[int, Record]) -> None:
        """Read back what was written, and carry each record that the row alone does not give."""
        drops, puts = [], []
        rows = self._rows.at(list(wanted))
        natives = {row[0]: str(row[1]) for row in rows}
        for number, _, native in self._rows.read(rows, joined=False):
            record = wanted[number]
            if native.id == record.id:
                drops.append((natives[number], number))
            else:
                puts.append(carried_memory(number, record, native))
        self._carry.drop(drops)
        self._carry.put(puts)

    def finish(self) -> None:
        """Bring the full-text index and the side table up to date."""
        self._fts.finish()
        remove_if_empty(self._db)
