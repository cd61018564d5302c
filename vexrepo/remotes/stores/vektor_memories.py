"""Reading ``memories`` through one connection, joined with what is carried for them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record, make_key
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores import vektor_schema as schema
from vexrepo.remotes.stores.vektor_carry import Carried, restore, restore_simply
from vexrepo.remotes.stores.vektor_carry_table import CarryTable
from vexrepo.remotes.stores.vektor_rows import MEMORY_ROLES, MemoryReader, Row, all_finite, place_words

BATCH = 500


class MemoryRows:
    """Reads ``memories``."""

    def __init__(self, db: sqlite3.Connection, path: str, layout: schema.Layout) -> None:
        self.db = db
        self.path = path
        self.layout = layout
        self.carry = CarryTable(db, layout)
        self._select = layout.select(MEMORY_ROLES)
        self._reader = MemoryReader(path, layout)

    def batches(self) -> Iterator[list[Row]]:
        """Yield all rows by row number."""
        order = f"ORDER BY {self.layout.rowid} LIMIT {BATCH}"
        rows = self._fetch(f"{self._select} {order}", ())
        while rows:
            yield rows
            rows = self._fetch(f"{self._select} WHERE {self.layout.rowid} > ? {order}", (rows[-1][0],))

    def newest(self) -> Iterator[list[Row]]:
        """Yield all rows by time, the latest first; those of one time by row number."""
        created = self.layout.roles.get("created_at")
        order = f"{schema.quote(created)} DESC, " if created else ""
        query = f"SELECT {self.layout.rowid} FROM {schema.MEMORIES} ORDER BY {order}{self.layout.rowid}"
        numbers = self.db.execute(query)
        while some := [number for (number,) in numbers.fetchmany(BATCH)]:
            rows = {row[0]: row for row in self.at(some)}
            yield [rows[number] for number in some]

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
        with lenient_text(self.db):
            return self.db.execute(query, values).fetchall()

    def read(
        self, rows: list[Row], on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[tuple[Row, Record, dict[str, Any]]]:
        """Yield (row, record, native members) for each row.

        Raises: InvalidData naming file, row and id, or reports it to ``on_problem`` and leaves the row out.
        """
        sides: dict[str, list[Carried]] = {}
        if self.carry.exists:
            sides = self.carry.find([str(row[1]) for row in rows if isinstance(row[1], int) or _is_plain(row[1])])
        for row, value in self.native(rows, on_problem):
            try:
                candidates = sides.get(value["id"]) if sides else None
                if candidates:
                    record = self._restored(row, value, candidates)
                else:
                    record = self._reader.record(row, value)
            except InvalidData as error:
                if on_problem is None:
                    raise
                on_problem(error)
                continue
            yield row, record, value

    def native(
        self, rows: list[Row], on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Yield (row, members) for each row as it reads natively; its text may not be UTF-8.  As ``read`` else."""
        is_finite = all_finite([row[3] for row in rows if type(row[3]) is bytes and not len(row[3]) & 3])
        for row in rows:
            try:
                value = self._reader.value(row, is_finite)
            except InvalidData as error:
                if on_problem is None:
                    raise
                on_problem(error)
                continue
            yield row, value

    def native_record(self, row: Row, value: dict[str, Any]) -> Record:
        """Return the record a row reads as natively."""
        return self._reader.record(row, value)

    def _restored(self, row: Row, value: dict[str, Any], candidates: list[Carried]) -> Record:
        blob = row[3]

        def space(dtype: str) -> Space:
            return self._reader.space(len(blob) // 4, dtype)

        if len(candidates) == 1:
            found = restore_simply(candidates[0], row[0], value, blob, space)
            if found is not None:
                return found
        try:
            side = self.carry.choose(candidates, row[0], value)
            if side is None:
                return self._reader.record(row, value)
            return restore(side, value, blob, lambda: self._reader.record(row, value), space)
        except InvalidData as error:
            self._reader.record(row, value)  # says so if it is the row that cannot be read
            place = place_words(self.path, schema.MEMORIES, row[0], row[1])
            raise InvalidData(
                f"{place}: what the table vex_carry keeps for it is damaged ({error}); "
                "delete it there to read the row alone",
                code=error.code,
            ) from error

    def native_value(self, number: int) -> dict[str, Any]:
        """Return the members a row reads as natively."""
        return self._reader.value(self.at([number])[0], False)


@contextlib.contextmanager
def lenient_text(db: sqlite3.Connection) -> Iterator[None]:
    """While entered, text that is not UTF-8 is read with lone surrogates in place of the bad bytes."""
    before = db.text_factory
    db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        db.text_factory = before


def _is_plain(identifier: Any) -> bool:
    return isinstance(identifier, str) and (
        identifier.isascii() or not any("\ud800" <= char <= "\udfff" for char in identifier)
    )


def foreign_keys(rows: MemoryRows, *, by_id: bool) -> Iterator[tuple[int, str, bytes]]:
    """Yield (row number, native id, record key) of memories whose key is not the native one.

    ``by_id`` finds rows by their unique native id; row numbers are only right once the side table is healed.
    """
    for some in rows.carry.keyed():
        found = rows.named([native for native, _ in some]) if by_id else rows.at([row for _, row in some])
        for row, record, value in rows.read(found, lambda error: None):
            if record.key != make_key(value.get("namespace", ""), value["id"]):
                yield row[0], str(row[1]), record.key
