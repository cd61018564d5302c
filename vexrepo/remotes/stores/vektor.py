"""The connector for VEKTOR databases: an SQLite file with a ``memories`` table and, at times, a graph.

A row is a record: ``content`` is its text, the float32 blob its vector, ``namespace`` and ``created_at`` as they
are, and every other column that is not NULL a member of its metadata.  Mapping and generations: remotes/STORES.md.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Self

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects.record import Record, split_key
from vexrepo.remotes.stores import sqlite_files as files
from vexrepo.remotes.stores import vektor_nearest as nearest
from vexrepo.remotes.stores import vektor_schema as schema
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Store, Written
from vexrepo.remotes.stores.vektor_carry_table import carried_models
from vexrepo.remotes.stores.vektor_edges import EdgeReader, EdgeWriter
from vexrepo.remotes.stores.vektor_graph import link
from vexrepo.remotes.stores.vektor_memories import BATCH, MemoryRows, foreign_keys
from vexrepo.remotes.stores.vektor_writer import MemoryWriter


class VektorStore(Store):
    """A VEKTOR database.  Holds no connection between calls, so that the agent is never kept waiting."""

    kind: ClassVar[str] = "vektor"
    rewrites: ClassVar[bool] = False
    holds_edges: ClassVar[bool] = True
    reads_snapshot: ClassVar[bool] = True
    holds_others_off: ClassVar[bool] = True
    builds_edges: ClassVar[bool] = True
    checks_itself: ClassVar[bool] = True
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
        return self._scan(on_problem, newest_first=False)

    def scan_newest(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """As ``scan``, by the native ``created_at``, the latest first, memories without one last."""
        return self._scan(on_problem, newest_first=True)

    def _scan(self, on_problem: Callable[[InvalidData], None] | None, *, newest_first: bool) -> Iterator[list[Sourced]]:
        if self._is_new():
            return
        with files.reading(self._path, self.busy_timeout_s) as db:
            if self._create and not schema.tables(db):
                return
            rows = MemoryRows(db, self._path, schema.read_memories(db, self._path))
            for batch in rows.newest() if newest_first else rows.batches():
                found = [Sourced(record, row[0]) for row, record, _ in rows.read(batch, on_problem)]
                if found:
                    yield found

    def scan_nearest(
        self, query: Sequence[float], on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[list[Sourced]] | None:
        """As ``scan``, the memories with a vector, the nearest to a query first; None where sqlite-vec cannot tell."""
        numbers = None if self._is_new() else nearest.nearest_rows(self._path, self.busy_timeout_s, query)
        if numbers is None:
            return None
        return self._scan_rows(numbers, on_problem)

    def _scan_rows(
        self, numbers: Sequence[int], on_problem: Callable[[InvalidData], None] | None
    ) -> Iterator[list[Sourced]]:
        with files.reading(self._path, self.busy_timeout_s) as db:
            rows = MemoryRows(db, self._path, schema.read_memories(db, self._path))
            for start in range(0, len(numbers), BATCH):
                some = list(numbers[start : start + BATCH])
                held = {row[0]: row for row in rows.at(some)}
                batch = [held[number] for number in some if number in held]
                yield [Sourced(record, row[0]) for row, record, _ in rows.read(batch, on_problem)]

    def told_models(self) -> list[tuple[str, str]]:
        """Return (namespace, model) of the memories that have an embedding, as they are noted beside them."""
        if self._is_new():
            return []
        with files.reading(self._path, self.busy_timeout_s) as db:
            return carried_models(db, schema.read_memories(db, self._path))

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
                rows = MemoryRows(db, self._path, layout)
                names = {native: split_key(key)[1] for _, native, key in foreign_keys(rows, by_id=True)}
            for placed in EdgeReader(db, self._path, names).read():
                yield placed.record

    def write(self, plan: Plan) -> Written:
        """Make the database hold what ``plan`` wants in one transaction; rows it does not name stay as they are.

        Deletes run before upserts here (nobody can see between them), so that a native id that one memory
        leaves is free for another.
        """
        connect = None if self._is_new() else nearest.extended(self._path, self.busy_timeout_s)
        trouble: Exception | None = None
        with files.writing(
            self._path, self.busy_timeout_s, create=self._create, connect=connect, expected=plan.expected
        ) as db:
            if self._create and not schema.tables(db):
                schema.create(db, plan.config)
            layout = schema.read_memories(db, self._path)
            writer = MemoryWriter(db, self._path, layout, plan, self.address.options.get("agent_id"))
            # Native ids that differ from record ids can make an edge read otherwise: look at all of them then.
            edges = None
            if plan.edge_upserts or plan.edge_deletes or layout.one_row_an_id:
                edges = EdgeWriter(db, self._path, writer.record_ids, writer.native_ids, whole_ids=layout.id_is_rowid)
            deleted = writer.delete(plan.deletes)
            upserted = writer.upsert(plan.upserts(), plan.advance)
            if edges is not None:
                edges.apply(plan.edge_upserts, plan.edge_deletes)
            writer.finish()
            linked = 0
            if plan.link:
                ids = (writer.record_ids, writer.native_ids)
                linked = link(db, self._path, layout, writer.agents, ids, plan.now_us)
            is_left = connect is None and nearest.has_table(db)
            if connect is not None:
                try:
                    nearest.bring_in_step(db, self._path)
                except (StoreError, sqlite3.Error) as error:
                    if not db.in_transaction:
                        raise
                    trouble = error
        if is_left:  # the next best: in a transaction of its own
            try:
                nearest.backfill(self._path, self.busy_timeout_s)
            except StoreError as error:
                trouble = error
        if trouble is not None:
            self.address.reach.notice(
                f"{self._path}: {nearest.TABLE}, which agents search, is not in step with what was written: {trouble}; "
                f"then run: vex backfill {self._path}"
            )
        return Written(upserted, deleted, files.fingerprint(self._path), linked)

    def place(self, place: int) -> str:
        """Return words for a row number: ``agent.db row 12``."""
        return f"{self.address.location} row {place}"
