"""Tables of sqlite-vec for memories, made as some were set up elsewhere or before; a configuration tells how."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.points import RESERVED
from vexrepo.remotes.stores.sqlite_columns import Column
from vexrepo.remotes.stores.sqlite_vec_table import MAX_DIMS, VECTOR_NAMES, Layout, Part, first, quote

_OURS: Final = {
    "id": "TEXT",
    "content": "TEXT",
    "namespace": "TEXT",
    "model": "TEXT",
    "created_at": "",
    "metadata": "TEXT",
}
_DECLARED: Final = re.compile(r"(?:[A-Za-z][A-Za-z ]{0,40}(?:\(\d{1,9}(?: ?, ?\d{1,9})?\))?)?")
_METRICS: Final = frozenset(("l2", "l1", "cosine"))


def config_of(layout: Layout) -> dict[str, Any]:
    """Return how tables are set up, as JSON."""
    config: dict[str, Any] = {}
    if layout.rows:
        config |= {"columns": dict(layout.columns), "id": layout.id}
    if layout.vectors is not None:
        config["vectors"] = [part.to_json() for part in layout.vectors.parts]
        if layout.vectors.chunk_size:
            config["chunk_size"] = layout.vectors.chunk_size
    return config


def make_tables(
    db: sqlite3.Connection, name: str, vectors: str, main: Space | None, config: Mapping[str, Any], metric: str
) -> None:
    """Make the tables for memories, as some were set up before.

    ``config`` may come from a stranger's repository: only what is known is taken from it.
    """
    had, size = _parts_of(config), config.get("chunk_size")
    if "vectors" in config and "columns" not in config and any(part.role == "vector" for part in had):
        make_vec0(db, name, _fitted(had, main, metric), size)
        return
    given = config.get("columns")
    columns = {
        column: kind
        for column, kind in (given if isinstance(given, dict) else {}).items()
        if isinstance(kind, str) and _DECLARED.fullmatch(kind) and 0 < len(column) <= 200 and "\0" not in column
    }
    identifier = config.get("id")
    if not isinstance(identifier, str) or columns.get(identifier, "") == "":
        columns, identifier = _OURS, "id"
    by_lower = {column.lower(): column for column in columns}
    columns = {column: columns[column] for column in by_lower.values() if column.lower() not in (RESERVED, "number")}
    parts = ["number INTEGER PRIMARY KEY"] if columns[identifier].upper() != "INTEGER" else []
    for column, kind in columns.items():
        rule = ""
        if column == identifier:
            rule = " PRIMARY KEY" if not parts else " NOT NULL UNIQUE"
        parts.append(f"{quote(column)} {kind}{rule}".rstrip())
    parts.append(f"{RESERVED} TEXT")
    db.execute(f"CREATE TABLE {quote(name)} ({', '.join(parts)})")
    if main is not None or any(part.role == "vector" for part in had):
        has_text_id = Column(identifier, columns[identifier]).affinity == "text"
        had = [part for part in had if has_text_id or (part.role, part.type) != ("key", "text")]
        make_vec0(db, vectors, _fitted(had, main, metric), size)


def _fitted(parts: Sequence[Part], main: Space | None, metric: str) -> list[Part]:
    """Return the columns of a vec0 table with room for a main vector."""
    found = list(parts)
    if main is None:
        return found
    names = [part.name for part in found if part.role == "vector"]
    name = first(VECTOR_NAMES, names) or next(iter(names), None)
    if name is None:
        return [*found, Part("vector", "embedding", "float", main.dims, metric)]
    return [Part("vector", name, part.type, main.dims, part.metric) if part.name == name else part for part in found]


def make_vec0(db: sqlite3.Connection, name: str, parts: Iterable[Part], chunk_size: Any = None) -> None:
    """Make a vec0 table."""
    words = [part.sql() for part in parts]
    if type(chunk_size) is int and 8 <= chunk_size <= 4096 and not chunk_size % 8:
        words.append(f"chunk_size={chunk_size}")
    db.execute(f"CREATE VIRTUAL TABLE {quote(name)} USING vec0({', '.join(words)})")


def _parts_of(config: Mapping[str, Any]) -> list[Part]:
    """Return the columns of a vec0 table that a configuration tells of; what cannot be one is left out."""
    given = config.get("vectors")
    found: dict[str, Part] = {}
    for each in given if isinstance(given, list) else ():
        match each:
            case {"role": "vector", "name": str(name), "type": "float" | "int8" | "bit" as kind, "dims": int(dims)}:
                metric = each.get("metric")
                is_right = 0 < dims <= MAX_DIMS and (kind != "bit" or dims % 8 == 0)
                part = Part("vector", name, kind, dims, metric if metric in _METRICS else "")
            case {"role": "key", "name": str(name), "type": "text" | "integer" as kind}:
                part, is_right = Part("key", name, kind), not any(other.role == "key" for other in found.values())
            case {"role": "partition", "name": str(name), "type": "text" | "integer" as kind}:
                part, is_right = Part("partition", name, kind), True
            case {"role": "metadata", "name": str(name), "type": "text" | "integer" | "float" | "boolean" as kind}:
                part, is_right = Part("metadata", name, kind), True
            case {"role": "auxiliary", "name": str(name), "type": "text" | "integer" | "float" | "blob" as kind}:
                part, is_right = Part("auxiliary", name, kind), True
            case _:
                continue
        if is_right and re.fullmatch(r"[A-Za-z]\w{0,62}", name, re.ASCII) and name.lower() not in found:
            found[name.lower()] = part
    return list(found.values())
