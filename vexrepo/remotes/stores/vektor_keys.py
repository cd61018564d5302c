"""Which rows hold which memory, for databases of any size in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import ClassVar

_SOME = 500


class KeyIndex:
    """Row numbers by record key.  The latest are held in memory, the others in a temporary table."""

    held: ClassVar[int] = 100_000

    def __init__(self, db: sqlite3.Connection, name: str = "vex_keys") -> None:
        self._db = db
        self._name = name
        self._recent: dict[bytes, int] = {}
        self._twins: dict[bytes, list[int]] = {}  # further rows of a recent key
        self._spilled = False

    def add(self, key: bytes, row: int) -> None:
        """Note a row of a key; a key may have several."""
        if key in self._recent:
            self._twins.setdefault(key, []).append(row)
            return
        self._recent[key] = row
        if len(self._recent) >= self.held:
            self._spill()

    def _spill(self) -> None:
        if not self._spilled:
            self._db.execute("PRAGMA temp.cache_size = -16000")
            self._db.execute(
                f"CREATE TEMP TABLE {self._name} (key BLOB, row INTEGER, PRIMARY KEY (key, row)) WITHOUT ROWID"
            )
            self._spilled = True
        # In order, so that each page of the table is touched once.
        insert = f"INSERT OR IGNORE INTO temp.{self._name} VALUES (?, ?)"
        self._db.executemany(insert, ((key, self._recent[key]) for key in sorted(self._recent)))
        self._db.executemany(insert, ((key, row) for key, rows in self._twins.items() for row in rows))
        self._recent.clear()
        self._twins.clear()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return the rows of those keys that have any, in order of their numbers."""
        found: dict[bytes, list[int]] = {}
        if self._spilled:
            for start in range(0, len(keys), _SOME):
                some = keys[start : start + _SOME]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, row FROM temp.{self._name} WHERE key IN ({marks}) ORDER BY key, row"
                for key, row in self._db.execute(query, some):
                    found.setdefault(key, []).append(row)
        recent = self._recent
        for key in keys:
            if key in recent and recent[key] not in found.get(key, ()):
                found[key] = sorted([*found.get(key, ()), recent[key], *self._twins.get(key, ())])
        return found

    def remove(self, keys: Sequence[bytes]) -> None:
        """Forget all rows of some keys."""
        if self._spilled:
            self._db.executemany(f"DELETE FROM temp.{self._name} WHERE key = ?", ((key,) for key in keys))
        for key in keys:
            self._recent.pop(key, None)
            self._twins.pop(key, None)

    def close(self) -> None:
        """Drop the temporary table."""
        if self._spilled:
            self._db.execute(f"DROP TABLE temp.{self._name}")
