"""Writing ``memories`` within one transaction, in memory that does not grow with the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final

from vexrepo.objects.record import Record, make_key, split_key
from vexrepo.remotes.stores import vektor_schema as schema
from vexrepo.remotes.stores.base import Plan
from vexrepo.remotes.stores.vektor_bind import Binder
from vexrepo.remotes.stores.vektor_carry import (
    Carried,
    can_be_short,
    carried_memory,
    plain_value,
    read_body,
    short_memory,
)
from vexrepo.remotes.stores.vektor_carry_table import remove_if_empty
from vexrepo.remotes.stores.vektor_fts import FullText
from vexrepo.remotes.stores.vektor_keys import KeyIndex
from vexrepo.remotes.stores.vektor_memories import BATCH, MemoryRows, foreign_keys, lenient_text
from vexrepo.remotes.stores.vektor_rows import MAX_NATIVE_ID, whole_number

MOST_AGENTS: Final = 1000


class MemoryWriter:
    """Writes memories.  ``agents`` are the native agents of the rows written, None for "any" (there were too many).

    ``record_ids`` and ``native_ids`` hold the memories whose native id is another one.
    """

    def __init__(
        self, db: sqlite3.Connection, path: str, layout: schema.Layout, plan: Plan, agent: str | None = None
    ) -> None:
        self._rows = MemoryRows(db, path, layout)
        self._db = db
        self._layout = layout
        self._carry = self._rows.carry
        self._carry.heal(self._rows.native_value)
        self._fts = FullText(db, layout)
        self._keys = KeyIndex(db)
        # Native ids where nothing but us keeps them distinct: the table has neither a namespace nor a rule.
        is_loose = layout.one_row_an_id and not (layout.id_is_rowid or layout.id_is_unique)
        self._natives = KeyIndex(db, "vex_natives") if is_loose else None
        self.agents: set[str] | None = set()
        self.record_ids: dict[str, str] = {}
        self.native_ids: dict[str, Any] = {}
        self._read_keys()
        self._binder = binder = Binder(db, layout, agent, plan.now_us)
        names = [column.name for column in binder.columns]
        self._agent_place = names.index("agent_id") if "agent_id" in names else None
        identifier = schema.quote(layout.roles["id"])
        into = ([] if layout.id_is_rowid else [layout.rowid]) + [identifier, *map(schema.quote, names)]
        self._insert = f"INSERT INTO memories ({', '.join(into)}) VALUES ({', '.join('?' * len(into))})"
        self._update, self._constants = binder.update(layout.rowid, keep_unnamed=plan.keep_unnamed)
        self._blob_place = next((place for place, name in enumerate(names) if name == layout.roles.get("vector")), None)
        self._last = db.execute(f"SELECT max({layout.rowid}) FROM memories").fetchone()[0] or 0
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'memories'").fetchone()
            self._last = max(self._last, found[0] if found else 0)

    def _read_keys(self) -> None:
        foreign = {}
        for number, native, key in foreign_keys(self._rows, by_id=False):
            foreign[number] = key
            self._map(split_key(key)[1], native)
        layout, space = self._layout, self._layout.roles.get("namespace")
        query = (
            f"SELECT {layout.rowid}, {schema.quote(layout.roles['id'])}, {schema.quote(space) if space else 'NULL'} "
            f"FROM memories ORDER BY {layout.rowid}"
        )
        with lenient_text(self._db):
            for number, identifier, namespace in self._db.execute(query):
                try:
                    if self._natives is not None:
                        self._natives.add(str(identifier).encode(), number)
                    if not isinstance(identifier, (str, int)) or not isinstance(namespace or "", str):
                        continue  # a row no scan can read is no row of ours to change
                    key = foreign.get(number) or make_key(namespace or "", str(identifier))
                except UnicodeEncodeError:
                    continue
                self._keys.add(key, number)

    def _map(self, identifier: str, native: str) -> None:
        self.record_ids[native] = identifier
        self.native_ids.setdefault(identifier, int(native) if self._layout.id_is_rowid else native)

    def delete(self, keys: Sequence[bytes]) -> int:
        """Remove the memories of ``keys`` and return how many there were."""
        count = 0
        for start in range(0, len(keys), BATCH):
            found = self._keys.find(keys[start : start + BATCH])
            self._keys.remove(list(found))
            count += len(found)
            self._delete_rows([number for numbers in found.values() for number in numbers])
        return count

    def _delete_rows(self, numbers: list[int]) -> None:
        for start in range(0, len(numbers), BATCH):
            some = numbers[start : start + BATCH]
            self._fts.touch(some, exist=True)
            marks = ",".join("?" * len(some))
            identifier = schema.quote(self._layout.roles["id"])
            where = f"FROM memories WHERE {self._layout.rowid} IN ({marks})"
            natives = self._db.execute(f"SELECT {identifier}, {self._layout.rowid} {where}", some).fetchall()
            self._db.execute(f"DELETE {where}", some)
            self._carry.drop((str(native), number) for native, number in natives)
            if self._natives is not None:
                self._natives.remove([str(native).encode() for native, _ in natives])
            for native, _ in natives:
                identifier_of_record = self.record_ids.pop(str(native), None)
                if identifier_of_record is not None and str(self.native_ids.get(identifier_of_record)) == str(native):
                    del self.native_ids[identifier_of_record]

    def upsert(self, records: Iterable[Record], advance: Callable[[int], None]) -> int:
        """Write records, each replacing the memory of its key, and return how many."""
        count = 0
        stream = iter(records)
        while batch := list(islice(stream, BATCH)):
            self._upsert_batch(batch)
            count += len(batch)
            advance(len(batch))
        return count

    def _upsert_batch(self, batch: list[Record]) -> None:
        held = self._keys.find([record.key for record in batch])
        inserts: list[list[Any]] = []
        puts: list[Carried] = []
        unsure: dict[int, Record] = {}
        fresh: list[int] = []
        replaced: dict[int, Record] = {}
        taken: set[Any] = set()
        for record in batch:
            numbers = held.get(record.key)
            if numbers is not None:
                replaced[numbers[0]] = record  # of two in one batch, the last
                continue
            value, is_plain = read_body(record.body)
            number, head = self._new_row(record, value, taken)
            row = self._binder.filled(self._binder.memory(record, value), value)
            inserts.append(head + row)
            fresh.append(number)
            self._note_agent(row)
            held[record.key] = [number]
            self._keys.add(record.key, number)
            now = self._binder.foreseen(head[-1], row)
            blob = None if self._blob_place is None else row[self._blob_place]
            if now is None or not _has_key(value, now) or not can_be_short(record, blob):
                unsure[number] = record
                continue
            side = short_memory(head[-1], number, record, value, now, blob, is_plain=is_plain)
            if side is not None:
                puts.append(side)
        self._db.executemany(self._insert, inserts)
        self._fts.touch(fresh, exist=False)
        self._carry.put(puts)
        self._check(unsure)
        if replaced:
            self._replace(replaced, held)

    def _replace(self, replaced: dict[int, Record], held: dict[bytes, list[int]]) -> None:
        """Write records over rows, those apart that read as the record already."""
        as_they_are = set()
        for row, record, _ in self._rows.read(self._rows.at(list(replaced)), lambda error: None):
            if replaced[row[0]].id == record.id:
                as_they_are.add(row[0])
        updates = []
        for number, record in replaced.items():
            twins = held[record.key][1:]
            if twins:
                self._delete_rows(twins)
                self._keys.remove([record.key])
                self._keys.add(record.key, number)
            if number not in as_they_are:
                values = self._binder.memory(record, plain_value(record.body))
                updates.append([*values, number, *self._constants])
        wanted = {number: record for number, record in replaced.items() if number not in as_they_are}
        self._fts.touch(wanted, exist=True)
        self._db.executemany(self._update, updates)
        self._check(wanted)
        self._note_agents(list(replaced))

    def _note_agent(self, row: list[Any]) -> None:
        if self._agent_place is not None and self.agents is not None:
            agent = row[self._agent_place]
            if type(agent) is str and agent not in self.agents:
                self.agents.add(agent)
                if len(self.agents) > MOST_AGENTS:
                    self.agents = None

    def _note_agents(self, numbers: list[int]) -> None:
        if self._agent_place is not None and self.agents is not None:
            marks = ",".join("?" * len(numbers))
            query = f"SELECT DISTINCT agent_id FROM memories WHERE {self._layout.rowid} IN ({marks})"
            for (agent,) in self._db.execute(query, numbers).fetchall():
                if type(agent) is str and self.agents is not None:
                    self.agents.add(agent)
                    if len(self.agents) > MOST_AGENTS:
                        self.agents = None

    def _new_row(self, record: Record, value: dict[str, Any], taken: set[Any]) -> tuple[int, list[Any]]:
        """Return the row number and the values before the other columns' of a memory that is not there yet.

        ``taken`` are the native ids of the rows of this batch that are not written yet.
        """
        identifier: str = value["id"]
        if self._layout.id_is_rowid:
            number = whole_number(identifier)
            if number is None or self._is_taken(number, taken):
                number = self._next(taken)
                self._map(identifier, str(number))
            taken.add(number)
            self._last = max(self._last, number)
            return number, [number]
        number = self._next(taken)
        native = identifier
        if self._layout.one_row_an_id:
            if self._is_taken(native, taken):
                native = f"{identifier}#{number}"
                self._map(identifier, native)
            taken.add(native)
            if self._natives is not None:
                self._natives.add(native.encode(), number)
        return number, [number, native]

    def _is_taken(self, native: Any, taken: set[Any]) -> bool:
        if native in taken:
            return True
        if self._natives is not None:
            return bool(self._natives.find([native.encode()]))
        query = f"SELECT 1 FROM memories WHERE {schema.quote(self._layout.roles['id'])} = ?"
        return self._db.execute(query, (native,)).fetchone() is not None

    def _next(self, taken: set[Any]) -> int:
        while True:
            self._last += 1
            if self._layout.id_is_rowid and self._last > MAX_NATIVE_ID:
                self._last = 1
            if not self._layout.id_is_rowid or not self._is_taken(self._last, taken):
                return self._last

    def _check(self, wanted: dict[int, Record]) -> None:
        """Read back what was written, and carry each record that the row alone does not give."""
        drops, puts = [], []
        for row, value in self._rows.native(self._rows.at(list(wanted))):
            number, native = row[0], str(row[1])
            record = wanted[number]
            members = plain_value(record.body)
            side: Carried | None
            if _has_key(members, value) and native == members["id"] and can_be_short(record, row[3]):
                side = short_memory(native, number, record, members, value, row[3])
            else:
                read_back = self._rows.native_record(row, value)
                side = None if read_back.id == record.id else carried_memory(number, record, read_back)
            if side is None:
                drops.append((native, number))
            else:
                puts.append(side)
        self._carry.drop(drops)
        self._carry.put(puts)

    def finish(self) -> None:
        """Bring the full-text index and the side table up to date."""
        self._fts.finish()
        self._keys.close()
        if self._natives is not None:
            self._natives.close()
        remove_if_empty(self._db)


def _has_key(value: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether a record's members and the native ones make the same key."""
    return value["id"] == now["id"] and (value.get("namespace") or "") == (now.get("namespace") or "")
