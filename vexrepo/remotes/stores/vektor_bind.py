"""What a record writes into the columns of VEKTOR's tables, and as what SQLite will give it back.

New rows look as the agent's own tools write them, so that the agent sees and sorts them: a time is in epoch
seconds, tags are joined by commas, importance is 3 and the agent ``vektor-mcp`` unless the record says otherwise.
What is not in the record is never read back as if it were: ``vektor_carry`` sees to that.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.timestamp import parse_time_us
from vexrepo.remotes.stores.vektor_rows import edge_member, fill_value, native_vector, parse_list, to_sql
from vexrepo.remotes.stores.vektor_schema import MEMORIES, Layout, is_harmless, quote

DEFAULT_AGENT: Final = "vektor-mcp"
DEFAULT_IMPORTANCE: Final = 3
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,15}\s*")
_PLAIN_TYPES = frozenset((str, int, float, bool, type(None)))


class _Unsure:
    """The type of UNSURE: what SQLite makes of a value must be read back."""


UNSURE: Final = _Unsure()
_MAY_BE_NUMBER: Final = frozenset("0123456789+-. \t\n\v\f\rINin")
_EXACT: Final = 1 << 53


def affinity(declared: str) -> str:
    """Return the affinity SQLite gives a column for its declared type."""
    name = declared.upper()
    if "INT" in name:
        return "NUMERIC"  # stores as NUMERIC does
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "NONE"
    return "REAL" if any(word in name for word in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


def stored(kind: str, item: Any) -> Any:
    """Return what a column of an affinity gives back for a value bound to it, as far as JSON can tell, or UNSURE."""
    type_ = type(item)
    if type_ is str:
        if kind in ("TEXT", "NONE") or not item or item[0] not in _MAY_BE_NUMBER:
            return item
        return UNSURE
    if type_ is int:
        if kind == "TEXT":
            return str(item)
        return item if kind != "REAL" or -_EXACT < item < _EXACT else UNSURE
    if type_ is float:
        return item if kind != "TEXT" and (-_EXACT < item < _EXACT or not item.is_integer()) else UNSURE
    return item


class Binder:
    """Turns members into the values of a table's columns (its id column apart), in table order.

    ``agent`` and ``now_us`` are what a new memory gets where it names no agent and no time.
    """

    def __init__(
        self, db: sqlite3.Connection, layout: Layout, agent: str | None = None, now_us: int | None = None
    ) -> None:
        taken = {name: role for role, name in layout.roles.items()}
        self.columns = tuple(column for column in layout.columns if taken.get(column.name) != "id")
        self._sources = tuple((taken.get(column.name), column.name) for column in self.columns)
        self._fill = tuple(fill_value(db, column) if column.notnull else None for column in self.columns)
        self._kinds = tuple(affinity(column.declared) for column in self.columns)
        self._now_s = None if now_us is None else now_us // 1_000_000
        self._has_seconds = all(
            role != "created_at" or kind != "TEXT" for (role, _), kind in zip(self._sources, self._kinds, strict=True)
        )
        self._agent = agent or DEFAULT_AGENT
        self._defaults = tuple(
            fill if found is None else found
            for found, fill in zip(map(self._default, *zip(*self._sources, strict=True)), self._fill, strict=True)
        )
        roles = [role for role, _ in self._sources]
        self._created_place = roles.index("created_at") if "created_at" in roles else None
        kinds = {column.name: affinity(column.declared) for column in layout.columns}
        self._id_kind = kinds.get(layout.roles.get("id", ""), "NONE")
        self.is_sure = not layout.id_is_rowid and all(
            is_harmless(sql or "")
            for (sql,) in db.execute(
                "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (MEMORIES,)
            )
        )

    def _default(self, role: str | None, name: str) -> Any:
        """Return what the agent's own tools write into a column of a new memory that names nothing for it."""
        if role == "created_at" and self._has_seconds:
            return self._now_s
        own = {"agent_id": self._agent, "importance": DEFAULT_IMPORTANCE, "updated_at": self._now_s}
        return own.get(name) if role is None else None

    def memory(self, record: Record, value: dict[str, Any]) -> list[Any]:
        """Return the column values that a memory (``value``: its members) names, None for the others."""
        metadata = value.get("metadata")
        if type(metadata) is not dict:
            metadata = {}
        row: list[Any] = []
        for role, name in self._sources:
            if role is None:
                item = metadata.get(name)
                if item is None:
                    if name == "agent_id":
                        item = value.get(name)
                        row.append(item if type(item) is str else None)
                    else:
                        row.append(None)
                elif type(item) is str:
                    row.append(item)
                elif name == "tags" and type(item) is list and all(type(tag) in _PLAIN_TYPES for tag in item):
                    row.append(",".join(map(_joined, item)))
                else:
                    row.append(to_sql(item))
            elif role == "vector":
                row.append(b"" if value.get("vector") == [] else native_vector(record))
            elif role == "created_at" and self._has_seconds:
                row.append(_seconds(value.get(role)))
            else:
                row.append(to_sql(value.get(role)))
        return row

    def filled(self, row: list[Any], value: dict[str, Any]) -> list[Any]:
        """Return the values of a new row: what the agent's own tools write where the memory names nothing.

        A time that they cannot read either is no time, and not the present one.
        """
        filled = [default if item is None else item for item, default in zip(row, self._defaults, strict=True)]
        place = self._created_place
        if place is not None and row[place] is None and value.get("created_at") not in (None, ""):
            filled[place] = self._fill[place]
        return filled

    def foreseen(self, identifier: str, row: Sequence[Any]) -> dict[str, Any] | None:
        """Return the members that a new row will read as, or None where that must be seen."""
        if not self.is_sure or stored(self._id_kind, identifier) is not identifier:
            return None
        value: dict[str, Any] = {"id": identifier}
        metadata: dict[str, Any] = {}
        for (role, name), kind, item in zip(self._sources, self._kinds, row, strict=True):
            if item is None:
                continue
            if role == "vector":
                if item == b"":
                    value["vector"] = []
                else:
                    value["dims"] = len(item) // 4
                continue
            found = stored(kind, item)
            if found is UNSURE or type(found) is bytes:
                return None
            if role is not None:
                value[role] = found
            else:
                metadata[name] = parse_list(found) if name == "potential" else found
        if metadata:
            value["metadata"] = metadata
        return value

    def update(self, rowid: str, *, keep_unnamed: bool) -> tuple[str, list[Any]]:
        """Return the statement that changes a row and its last values, after those of ``memory`` and the row number.

        A row keeps its agent and times where the record names none, and with ``keep_unnamed`` all it does not name.
        """
        constants: list[Any] = []
        parts = []
        for place, (role, name) in enumerate(self._sources):
            rest = [f"?{place + 1}"]
            default = self._defaults[place]
            is_touched = role is None and name == "updated_at" and self._now_s is not None
            if not is_touched and (
                role == "created_at" or (role is None and (keep_unnamed or name in ("agent_id", "updated_at")))
            ):
                rest.append(quote(name))
            if default is not None:
                constants.append(default)
                rest.append(f"?{len(self._sources) + 1 + len(constants)}")
            parts.append(f"{quote(name)} = " + (rest[0] if len(rest) == 1 else f"coalesce({', '.join(rest)})"))
        where = f"{rowid} = ?{len(self._sources) + 1}"
        return f"UPDATE {MEMORIES} SET {', '.join(parts)} WHERE {where}", constants

    def edge(self, value: dict[str, Any], native_id: Callable[[str], Any]) -> list[Any]:
        """Return the column values of an edge; ``native_id`` gives what a memory's id is in this database."""
        row = []
        for (role, name), fill in zip(self._sources, self._fill, strict=True):
            if role in ("source", "target"):
                item = native_id(value[role])
            else:
                item = to_sql(value.get(role or edge_member(name)))
            row.append(fill if item is None else item)
        return row


def _joined(tag: Any) -> str:
    # As JavaScript joins: nothing for null, numbers and booleans as it prints them.
    if tag is None:
        return ""
    return tag if type(tag) is str else canonical.encode(tag).decode()


def _seconds(created: Any) -> Any:
    """Return a time as the number VEKTOR keeps: text in whole seconds since 1970, a number as it is."""
    if type(created) is str:
        found = parse_time_us(created)
        if found is not None:
            return found // 1_000_000
        return int(created) if _WHOLE.fullmatch(created) else None
    return to_sql(created) if type(created) in (int, float) else None
