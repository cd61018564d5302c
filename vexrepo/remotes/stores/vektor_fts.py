"""Keeps ``memories_fts`` in step with rows we write, where the database's own triggers do not."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from vexrepo.remotes.stores.vektor_schema import FTS, MEMORIES, Layout, quote

_ALIASES = {"text": "text", "body": "text", "content": "text", "memory_id": "id", "mem_id": "id"}
_EVENT = re.compile(r"\b(INSERT|DELETE|UPDATE)\b(?:\s+OF\b[^;]*?)?\s+ON\b", re.IGNORECASE)


class FullText:
    """The full-text index of one database during one write.

    Shapes met: none; kept by triggers; external content (rebuilt at the end); its own or no content (touched
    rows are taken out and put in again).
    """

    def __init__(self, db: sqlite3.Connection, layout: Layout) -> None:
        self._db = db
        self._rowid = layout.rowid
        self._changed = False
        self._pairs: list[tuple[str, str]] = []  # the index's columns and where their values come from
        self._link: str | None = None  # the index's column that holds the memory's id
        self._link_column = layout.roles["id"]
        found = db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (FTS,)).fetchone()
        sql = found[0] if found else ""
        events = set()
        for (trigger,) in db.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (MEMORIES,)
        ):
            head, _, body = re.split(r"(\bBEGIN\b)", trigger, maxsplit=1, flags=re.IGNORECASE)
            event = _EVENT.search(head)
            if FTS in body and event:
                events.add(event[1].upper())
        self.needed = bool(sql) and events < {"INSERT", "DELETE", "UPDATE"}
        content = re.search(r"\bcontent\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|(\w+))", sql, re.IGNORECASE)
        source = "".join(part or "" for part in content.groups()) if content else None
        self._is_external = bool(source)
        self._is_contentless = source == "" and not re.search(r"contentless_delete\s*=\s*1", sql)
        if not self.needed or self._is_external:
            return
        names = {column.name.lower(): column.name for column in layout.columns}
        for _, name, *_ in db.execute(f"PRAGMA table_info({FTS})"):
            role = "id" if name.lower() == "id" else _ALIASES.get(name.lower())
            column = names.get(name.lower()) or (layout.roles.get(role) if role else None)
            if column is not None:
                self._pairs.append((name, column))
            if role == "id" and column is not None and source is None:
                self._link = name
        db.execute("CREATE TEMP TABLE vex_touched (item PRIMARY KEY) WITHOUT ROWID")

    def touch(self, rows: Iterable[int], *, exist: bool) -> None:
        """Note rows that are about to be changed or removed (``exist``), or were just inserted."""
        if not self.needed:
            return
        self._changed = True
        if self._is_external:
            return
        marks = [(row,) for row in rows]
        if self._is_contentless and exist:
            self._forget(marks)
        if self._link is None:
            self._db.executemany("INSERT OR IGNORE INTO temp.vex_touched VALUES (?)", marks)
        else:
            self._db.executemany(
                f"INSERT OR IGNORE INTO temp.vex_touched SELECT {quote(self._link_column)} FROM {MEMORIES} "
                f"WHERE {self._rowid} = ? AND {quote(self._link_column)} IS NOT NULL",
                marks,
            )

    def _forget(self, marks: list[tuple[int]]) -> None:
        # Without content the index must be told what to remove; telling it of a row it does not have damages it.
        into, of = self._columns()
        indexed = f"SELECT id FROM {FTS}_docsize"
        self._db.executemany(
            f"INSERT INTO {FTS} ({FTS}, rowid, {into}) SELECT 'delete', {self._rowid}, {of} FROM {MEMORIES} "
            f"WHERE {self._rowid} = ? AND {self._rowid} IN ({indexed})",
            marks,
        )

    def _columns(self) -> tuple[str, str]:
        return ", ".join(quote(a) for a, _ in self._pairs), ", ".join(quote(b) for _, b in self._pairs)

    def finish(self) -> None:
        """Bring the index up to date with everything that was touched."""
        if not self._changed:
            return
        if self._is_external:
            self._db.execute(f"INSERT INTO {FTS} ({FTS}) VALUES ('rebuild')")
            return
        into, of = self._columns()
        touched = "SELECT item FROM temp.vex_touched"
        if not self._is_contentless:
            self._db.execute(f"DELETE FROM {FTS} WHERE {quote(self._link) if self._link else 'rowid'} IN ({touched})")
        where = quote(self._link_column) if self._link else self._rowid
        rowid = "" if self._link else "rowid, "
        source = "" if self._link else f"{self._rowid}, "
        again = f"{where} IN ({touched})"
        if self._is_contentless:
            again += f" AND {self._rowid} NOT IN (SELECT id FROM {FTS}_docsize)"
        self._db.execute(f"INSERT INTO {FTS} ({rowid}{into}) SELECT {source}{of} FROM {MEMORIES} WHERE {again}")
        self._db.execute("DROP TABLE temp.vex_touched")
