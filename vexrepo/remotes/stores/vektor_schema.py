"""The layouts VEKTOR databases have had, as found in the database itself.

Two generations: ``memories.id`` TEXT without uniqueness, with a namespace column and ``graph_edges``; and an
older one with an INTEGER primary key, at times no namespace column, and ``memory_edges``.  Column names are read
from the table; columns this module does not know are metadata.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vexrepo.errors import StoreError

MEMORIES = "memories"
GRAPH_EDGES = "graph_edges"
MEMORY_EDGES = "memory_edges"
EDGE_TABLES = (GRAPH_EDGES, MEMORY_EDGES)
FTS = "memories_fts"
OWN_TABLES = (MEMORIES, GRAPH_EDGES, MEMORY_EDGES, FTS)

NEWEST = {
    MEMORIES: """CREATE TABLE memories (
  id TEXT, agent_id TEXT, content TEXT, summary TEXT, importance INT,
  tags TEXT, namespace TEXT, pinned INT, created_at NUM, updated_at NUM,
  vector BLOB, edge_type TEXT, potential TEXT
)""",
    GRAPH_EDGES: """CREATE TABLE graph_edges (
  id TEXT PRIMARY KEY, source_id TEXT NOT NULL, target_id TEXT NOT NULL,
  edge_type TEXT NOT NULL, weight REAL DEFAULT 1.0, created_at INTEGER
)""",
    MEMORY_EDGES: """CREATE TABLE memory_edges (
  id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT, source_id INTEGER NOT NULL,
  target_id INTEGER NOT NULL, edge_type TEXT NOT NULL, weight REAL DEFAULT 1.0, created_at INTEGER
)""",
}

# role -> the names a column of that role has had, newest first
_MEMORY_ROLES = {
    "id": ("id",),
    "text": ("content", "text"),
    "vector": ("vector", "embedding"),
    "namespace": ("namespace",),
    "created_at": ("created_at",),
}
_EDGE_ROLES = {
    "id": ("id",),
    "source": ("source_id", "source"),
    "target": ("target_id", "target"),
    "type": ("edge_type", "type"),
}
_NEEDED = {"memories": ("id", "text"), "edges": ("source", "target", "type")}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, declared type, and what an absent value becomes where NULL is refused."""

    name: str
    declared: str
    notnull: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as it is: which column plays which role, and the others (metadata of memories, extras of edges)."""

    table: str
    rowid: str  # the name under which the table's row number can be reached
    columns: tuple[Column, ...]
    roles: dict[str, str]
    id_is_rowid: bool
    id_is_unique: bool

    @property
    def one_row_an_id(self) -> bool:
        """Whether ids of memories are kept distinct: the table wants it, or has no namespace to tell rows apart."""
        return self.id_is_rowid or self.id_is_unique or "namespace" not in self.roles

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the columns without a role, in table order."""
        taken = set(self.roles.values())
        return tuple(column.name for column in self.columns if column.name not in taken)

    def select(self, roles: tuple[str, ...]) -> str:
        """Return the start of a query for the row number, the given roles (NULL where missing) and the others."""
        parts = [self.rowid]
        parts += [quote(self.roles[role]) if role in self.roles else "NULL" for role in roles]
        parts += [quote(name) for name in self.others]
        return f"SELECT {', '.join(parts)} FROM {self.table}"


def quote(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def tables(db: sqlite3.Connection) -> list[str]:
    """Return the names of all tables and views but SQLite's own, sorted."""
    found = db.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return sorted(name for (name,) in found)


def read_layout(db: sqlite3.Connection, path: str, table: str) -> Layout | None:
    """Return the layout of a table, or None if there is no such table.  Raises: StoreError (store-schema)."""
    row = db.execute(
        "SELECT type, sql FROM sqlite_master WHERE name = ? AND type IN ('table', 'view')", (table,)
    ).fetchone()
    if row is None:
        return None
    info = db.execute(f"PRAGMA table_info({table})").fetchall()
    columns = tuple(
        Column(name, declared or "", bool(notnull), default) for _, name, declared, notnull, default, _ in info
    )
    names = {column.name.lower(): column.name for column in columns}
    rowid = next((each for each in ("rowid", "_rowid_", "oid") if each not in names), None)
    if row[0] != "table" or rowid is None or re.search(r"\bWITHOUT\s+ROWID\b", row[1] or "", re.IGNORECASE):
        raise StoreError(
            f"{path}: {table} is a view or a table without row numbers, expected a plain table; export it instead",
            code="store-schema",
        )
    roles = roles_of(table, names.values())
    missing = [role for role in _NEEDED["edges" if table in EDGE_TABLES else "memories"] if role not in roles]
    if missing:
        raise StoreError(
            f"{path}: the table {table} has no column for {' or '.join(missing)}; found {', '.join(names.values())}; "
            "is this a VEKTOR database?",
            code="store-schema",
        )
    if table == MEMORIES and "vector" not in roles:
        _check_vectors(db, path)
    keys = [(name, (declared or "").upper()) for _, name, declared, _, _, pk in info if pk]
    identifier = roles.get("id")
    return Layout(
        table,
        rowid,
        columns,
        roles,
        id_is_rowid=keys == [(identifier, "INTEGER")],
        id_is_unique=identifier is not None and _is_unique(db, table, identifier),
    )


def _check_vectors(db: sqlite3.Connection, path: str) -> None:
    """Raise StoreError (store-schema) where the vectors are beside the memories, in a table of sqlite-vec.

    Read as a VEKTOR database, those memories would have none.
    """
    made = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    beside = [name for name, sql in made if re.search(r"\bUSING\s+vec0\b", sql or "", re.IGNORECASE)]
    if beside:
        raise StoreError(
            f"{path}: the table {MEMORIES} has no column for vectors, they are in {beside[0]:.60}, a table of "
            f"sqlite-vec, and no VEKTOR database is made so; name it sqlite-vec:{path}",
            code="store-schema",
        )


def roles_of(table: str, columns: Iterable[str]) -> dict[str, str]:
    """Return which of a table's columns plays which role."""
    names = {name.lower(): name for name in columns}
    roles: dict[str, str] = {}
    for role, spellings in (_EDGE_ROLES if table in EDGE_TABLES else _MEMORY_ROLES).items():
        found = next((names[each] for each in spellings if each in names), None)
        if found is not None:
            roles[role] = found
    return roles


def _is_unique(db: sqlite3.Connection, table: str, column: str) -> bool:
    for _, name, unique, _, partial in db.execute(f"PRAGMA index_list({table})").fetchall():
        if unique and not partial:
            parts = [part[2] for part in db.execute(f"PRAGMA index_info({quote(name)})").fetchall()]
            if parts == [column]:
                return True
    return False


def read_memories(db: sqlite3.Connection, path: str) -> Layout:
    """Return the layout of ``memories``.  Raises: StoreError (store-schema) naming the tables that were found."""
    layout = read_layout(db, path, MEMORIES)
    if layout is None:
        found = ", ".join(tables(db)) or "none"
        raise StoreError(
            f"{path} has no table 'memories', expected a VEKTOR database; tables found: {found}; check the path",
            code="store-schema",
        )
    return layout


def capture(db: sqlite3.Connection) -> dict[str, Any]:
    """Return what is needed to create the database anew: its CREATE statements and its version number."""
    order = {"table": 0, "index": 1, "trigger": 2}
    found = [
        (order[kind], OWN_TABLES.index(table), name, sql)
        for kind, name, table, sql in db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        if sql and kind in order and table in OWN_TABLES
    ]
    config: dict[str, Any] = {"schema": [sql for *_, sql in sorted(found)]}
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version:
        config["user_version"] = version
    return config


def create(db: sqlite3.Connection, config: dict[str, Any]) -> None:
    """Create an empty store: as ``config`` (from ``capture``) says, or in the newest layout.

    A configuration may come from a clone, so only statements that can do nothing but shape VEKTOR's own tables
    are taken from it; others are passed over.
    """
    schema = config.get("schema")
    wanted = [sql for sql in schema if isinstance(sql, str) and is_harmless(sql)] if isinstance(schema, list) else []
    memories = [sql for sql in wanted if _TABLE.match(sql) and _named(sql) == MEMORIES]
    if not any(_try(db, sql) for sql in memories[:1]):
        db.execute(NEWEST[MEMORIES])
        wanted = []
    for sql in wanted:
        if sql not in memories:
            _try(db, sql)
    version = config.get("user_version")
    if type(version) is int and 0 <= version < 1 << 31:
        db.execute(f"PRAGMA user_version = {version}")


def _try(db: sqlite3.Connection, sql: str) -> bool:
    db.execute("SAVEPOINT vex_schema")
    try:
        db.execute(sql)
        return True
    except (sqlite3.Error, sqlite3.Warning):  # Warning: more than one statement, before Python 3.12
        db.execute("ROLLBACK TO vex_schema")
        return False
    finally:
        db.execute("RELEASE vex_schema")


_NAME = r"""["'`\[]?(\w+)["'`\]]?"""
_TABLE = re.compile(rf"\s*CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s*\(", re.IGNORECASE)
_VIRTUAL = re.compile(
    rf"\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+USING\s+fts[345]\s*\(", re.IGNORECASE
)
_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+ON\s+{_NAME}\s*\(", re.IGNORECASE
)
_TRIGGER = re.compile(
    rf"\s*CREATE\s+TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+AFTER\s+(?:INSERT|DELETE|UPDATE(?:\s+OF\s+[\w\s,]+?)?)"
    rf"\s+ON\s+{_NAME}\s+(?:FOR\s+EACH\s+ROW\s+)?(?:WHEN\s[^;]*?)?BEGIN\s(.*)END\s*;?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_TRIGGER_STEP = re.compile(
    rf"\s*(?:INSERT\s+(?:OR\s+REPLACE\s+)?INTO\s+{FTS}\b|DELETE\s+FROM\s+{FTS}\b|UPDATE\s+{FTS}\b)", re.IGNORECASE
)


def _named(sql: str) -> str:
    match = _TABLE.match(sql) or _VIRTUAL.match(sql) or _INDEX.match(sql) or _TRIGGER.match(sql)
    return match[1].lower() if match else ""


def is_harmless(sql: str) -> bool:
    """Return whether a statement only creates one of VEKTOR's tables, their indexes, or triggers that keep the
    full-text index in step."""
    if re.search(r"\bSELECT\b", sql, re.IGNORECASE):
        return False
    name = _named(sql)
    if _TABLE.match(sql):
        return name in (MEMORIES, GRAPH_EDGES, MEMORY_EDGES)
    if _VIRTUAL.match(sql):
        return name == FTS
    if _INDEX.match(sql):
        return name in (MEMORIES, GRAPH_EDGES, MEMORY_EDGES)
    trigger = _TRIGGER.match(sql)
    if trigger is None or name != MEMORIES:
        return False
    return all(_TRIGGER_STEP.match(step) for step in trigger[2].split(";") if step.strip())
