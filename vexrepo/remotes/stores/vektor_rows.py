"""How one row of VEKTOR's tables reads as a record, and what a record writes into its columns."""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, make_key, record_id
from vexrepo.objects.vector import MAIN, MAX_DIMS, Space, Vector
from vexrepo.remotes.stores.vektor_schema import Column, Layout

Row: TypeAlias = tuple[Any, ...]

MEMORY_ROLES: Final = ("id", "text", "vector", "namespace", "created_at")
EDGE_ROLES: Final = ("id", "source", "target", "type")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,15}")
# The agent reads numbers as doubles, exact up to 2^53; half of that leaves room for the ids it counts on to next.
MAX_NATIVE_ID: Final = 1 << 52


def whole_number(identifier: str) -> int | None:
    """Return the integer an id can be kept as in an INTEGER column without becoming another id, or None."""
    if _WHOLE.fullmatch(identifier):
        number = int(identifier)
        if abs(number) <= MAX_NATIVE_ID:
            return number
    return None


def place_words(path: str, table: str, row: int, identifier: object) -> str:
    """Return words for a row: ``agent.db, memories row 5 (id 'mem_1')``."""
    return f"{path}, {table} row {row} (id {identifier!r:.60})"


class MemoryReader:
    """Reads rows of ``memories``, selected with MEMORY_ROLES, as records."""

    def __init__(self, path: str, layout: Layout, *, advice: str = "repair or delete that row") -> None:
        self._path = path
        self._advice = advice
        self._others = layout.others
        self._potential = layout.others.index("potential") if "potential" in layout.others else None
        self._spaces: dict[tuple[str, int], Space] = {}

    def value(self, row: Row, is_finite: bool) -> dict[str, Any]:
        """Return the members of a row's record, its vector apart.

        ``is_finite`` says that its vector is known to hold no NaN or infinity.  Raises: InvalidData (id-missing,
        namespace-type, vector-type, not-finite, limit-exceeded) naming file, row and id.
        """
        _, identifier, text, blob, namespace, created, *others = row
        if type(identifier) is int:
            identifier = str(identifier)
        elif type(identifier) is not str or not identifier:
            raise self._bad(row, "has no usable id, expected text or an integer", "id-missing")
        value: dict[str, Any] = {"id": identifier}
        if text is not None:
            value["text"] = text
        if blob is not None:
            if blob == b"":
                value["vector"] = []
            else:
                value["dims"] = self._check_vector(row, blob, is_finite)
        if namespace is not None:
            if type(namespace) is not str:
                raise self._bad(row, f"has the namespace {namespace!r:.40}, expected text", "namespace-type")
            value["namespace"] = namespace
        metadata = {name: item for name, item in zip(self._others, others, strict=True) if item is not None}
        if metadata:
            if self._potential is not None and others[self._potential] is not None:
                metadata["potential"] = parse_list(metadata["potential"])
            value["metadata"] = metadata
        if created is not None:
            value["created_at"] = created
        if bytes in map(type, others) or type(text) is bytes or type(created) is bytes:
            value = _without_blobs(value)
        return value

    def record(self, row: Row, value: dict[str, Any]) -> Record:
        """Return the record of a row and its members.  Raises: InvalidData (not-utf8, …)."""
        blob = row[3]
        vectors = (Vector(self.space(len(blob) // 4, "f32"), blob),) if blob else ()
        body = self._encode(row, value)
        return Record(make_key(value.get("namespace", ""), value["id"]), record_id(body, vectors), body, vectors)

    def space(self, dims: int, dtype: str) -> Space:
        """Return the space of vectors without a model."""
        found = self._spaces.get((dtype, dims))
        if found is None:
            found = self._spaces[dtype, dims] = Space(MAIN, "dense", None, dims, "f32d" if dtype == "f32d" else "f32")
        return found

    def _check_vector(self, row: Row, blob: Any, is_finite: bool) -> int:
        if type(blob) is not bytes:
            raise self._bad(
                row, f"has a vector of type {type(blob).__name__}, expected a blob of float32", "vector-type"
            )
        if len(blob) % 4:
            raise self._bad(
                row,
                f"has a vector of {len(blob)} bytes, expected a multiple of 4 (float32, little-endian)",
                "vector-type",
            )
        dims = len(blob) // 4
        if dims > MAX_DIMS:
            raise self._bad(row, f"has a vector of {dims} numbers, the limit is {MAX_DIMS}", "limit-exceeded")
        if not is_finite and not all_finite([blob]):
            raise self._bad(row, "has a vector with NaN or infinity, expected finite numbers", "not-finite")
        return dims

    def _encode(self, row: Row, value: dict[str, Any]) -> bytes:
        try:
            return encode_row(value)
        except InvalidData as error:
            if error.code == "lone-surrogate":
                raise self._bad(row, "holds text that is not UTF-8", "not-utf8") from error
            raise self._bad(row, f"cannot be read: {error}", error.code) from error

    def _bad(self, row: Row, what: str, code: str) -> InvalidData:
        place = place_words(self._path, "memories", row[0], row[1])
        return InvalidData(f"{place} {what}; {self._advice}", code=code)


def encode_row(value: dict[str, Any]) -> bytes:
    """Return canonical bytes of a row's members; a blob becomes ``{"$blob": base64}``."""
    try:
        return canonical.encode(value)
    except InvalidData as error:
        if error.code != "unsupported-value":
            raise
    return canonical.encode(_without_blobs(value))


def _without_blobs(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$blob": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _without_blobs(item) for name, item in value.items()}
    return value


def parse_list(text: Any) -> Any:
    """Return the list that a text is the canonical JSON of, or the text."""
    # Only where writing the list gives the same text again: otherwise the text is what the store holds.
    if isinstance(text, str) and text.startswith("["):
        try:
            found = canonical.parse(text.encode())
            if isinstance(found, list) and canonical.encode(found).decode() == text:
                return found
        except (InvalidData, UnicodeEncodeError):
            pass
    return text


def all_finite(blobs: list[bytes]) -> bool:
    """Return whether float32 blobs hold neither NaN nor infinity."""
    import numpy as np

    return bool(np.isfinite(np.frombuffer(b"".join(blobs), "<f4")).all())


def to_sql(value: Any) -> Any:
    """Return the closest value SQLite can bind.  What does not read back the same is carried by the caller."""
    if value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return value
        try:
            return float(value)
        except OverflowError:
            return str(value)
    if isinstance(value, dict) and list(value) == ["$blob"] and isinstance(value["$blob"], str):
        try:
            return base64.b64decode(value["$blob"], validate=True)
        except (binascii.Error, ValueError):
            pass
    return canonical.encode(value).decode()


def native_vector(record: Record) -> bytes | None:
    """Return the float32 bytes closest to a record's own vector, or None where it has none a blob can stand for."""
    for item in record.vectors:
        if item.space.name == MAIN and item.space.kind == "dense":
            if item.space.dtype != "f64":
                return item.row
            import numpy as np

            with np.errstate(over="ignore"):
                singles = np.frombuffer(item.row, "<f8").astype("<f4")
            return singles.tobytes() if np.isfinite(singles).all() else None
    return None


def fill_value(db: sqlite3.Connection, column: Column) -> Any:
    """Return what stands for an absent value in a column that refuses NULL."""
    if column.default is not None:
        try:
            found = db.execute(f"SELECT {column.default}").fetchone()[0]
        except sqlite3.Error:
            found = None
        if found is not None:
            return found
    declared = column.declared.upper()
    if "BLOB" in declared or not declared:
        return b""
    return "" if any(word in declared for word in ("CHAR", "CLOB", "TEXT")) else 0


def edge_member(column: str) -> str:
    """Return the member of an edge's JSON that a column without a role is."""
    return f"column {column}" if column in ("source", "target", "type", "table", "id") else column


def read_edge(layout: Layout, row: Row, record_id_of: Callable[[str], str]) -> dict[str, Any]:
    """Return the members of an edge row, selected with EDGE_ROLES.

    ``table`` is given for the older table only, whatever else the database has, so that an edge reads the same
    from every database it is in.
    """
    _, identifier, source, target, kind, *others = row
    value: dict[str, Any] = {"type": kind}
    for name, end in (("source", source), ("target", target)):
        value[name] = record_id_of(str(end)) if isinstance(end, (str, int)) else end
    if identifier is not None:
        value["id"] = str(identifier) if isinstance(identifier, (int, float)) else identifier
    for name, item in zip(layout.others, others, strict=True):
        if item is not None:
            value[edge_member(name)] = item
    if layout.table == "memory_edges":
        value["table"] = "memory_edges"
    return value
