"""A record taken apart into the fields that are merged, blamed and resolved one by one, and put together again.

Fields: each member of the body, each member of ``metadata`` (``metadata.importance``), the record's own vector
with the ``model`` and ``dims`` that describe it (``vector``), and each named vector (``vectors.title``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical, edge, vector
from vexrepo.objects.record import Record, body_value, key_of, with_body
from vexrepo.objects.record import from_json as from_value
from vexrepo.objects.vector import MAIN, Vector

Path: TypeAlias = tuple[str, ...]

TEXT: Final[Path] = ("text",)
VECTOR: Final[Path] = ("vector",)
METADATA: Final[Path] = ("metadata",)
NAMED: Final[Path] = ("vectors",)
_DESCRIBES_VECTOR = ("model", "dims", "vector")
_IDENTITY = ("id", "namespace")


class Absent:
    """The type of ABSENT: no such field, as against null."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = Absent()


class Embedding(NamedTuple):
    """A record's own vector with the members that describe it.

    ``described`` holds ``model``, ``dims`` and, where it is no vector (null, []), ``vector`` itself.
    """

    row: Vector | None
    described: dict[str, Any]


def fields_of(record: Record | None) -> dict[Path, Any]:
    """Return the fields of a record: JSON values, an Embedding for VECTOR, a Vector for a named one."""
    if record is None:
        return {}
    value = body_value(record.body)
    found: dict[Path, Any] = {}
    named = {item.space.name: item for item in record.vectors}
    main = named.pop(MAIN, None)
    described = {name: value.pop(name) for name in _DESCRIBES_VECTOR if name in value}
    if main is not None or described:
        found[VECTOR] = Embedding(main, described)
    for name, item in named.items():
        found["vectors", name] = item
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        del value["metadata"]
        found[METADATA] = {}  # that there is such an object, even an empty one
        for name, item in metadata.items():
            found["metadata", name] = item
    for name, item in value.items():
        found[name,] = item
    return found


def record_of(fields: dict[Path, Any]) -> Record:
    """Return the record of fields: the inverse of ``fields_of``.

    Raises: InvalidData (id-missing, namespace-type, dims-mismatch) where they make no record.
    """
    value, rows = _members(fields)
    model = value.get("model") if isinstance(value.get("model"), str) else None
    vectors = tuple(
        row if row.space.model == model else Vector(replace(row.space, model=model), row.row)
        for _, row in sorted(rows.items())
    )
    if MAIN in rows:
        _check_dims(value.get("dims"), rows[MAIN])
    return with_body(key_of(value), canonical.encode(value), vectors)


def edge_of(fields: dict[Path, Any]) -> Record:
    """Return the graph edge of fields.  Raises: InvalidData."""
    return edge.from_json(_members(fields)[0])


def _members(fields: dict[Path, Any]) -> tuple[dict[str, Any], dict[str, Vector]]:
    """Return the members of the body, and the vectors by name."""
    value: dict[str, Any] = {}
    rows: dict[str, Vector] = {}
    for path, item in fields.items():
        if path == VECTOR:
            value.update(item.described)
            if item.row is not None:
                rows[MAIN] = item.row
        elif path[0] == "vectors" and isinstance(item, Vector):
            rows[path[1]] = item
        elif path == NAMED and isinstance(item, tuple):
            rows.update((row.space.name, row) for row in item)
        elif len(path) == 1 and path != METADATA:
            value[path[0]] = item
    metadata = {path[1]: item for path, item in fields.items() if path[0] == "metadata" and len(path) == 2}
    if metadata or fields.get(METADATA) == {}:
        value["metadata"] = metadata
    elif METADATA in fields:
        value["metadata"] = fields[METADATA]
    return value, rows


def _check_dims(dims: Any, row: Vector) -> None:
    if dims is not None and row.space.kind == "dense" and dims != row.space.dims:
        raise InvalidData(f"dims says {dims!r:.40} but the vector has {row.space.dims} numbers", code="dims-mismatch")


def fit(sides: Sequence[dict[Path, Any]]) -> None:
    """Make the versions of one record comparable field by field.

    Where ``metadata`` is an object on one side and something else on another, or ``vectors`` a set of vectors here
    and something else there, it counts as one field on all sides.
    """
    if any(side.get(METADATA, {}) != {} for side in sides):
        for side in sides:
            if side.get(METADATA) == {}:
                side[METADATA] = {path[1]: side.pop(path) for path in _below("metadata", side)}
    if any(NAMED in side for side in sides):
        for side in sides:
            if rows := [side.pop(path) for path in _below("vectors", side)]:
                side[NAMED] = tuple(rows)


def _below(name: str, fields: dict[Path, Any]) -> list[Path]:
    return sorted(path for path in fields if len(path) == 2 and path[0] == name)


def is_same(one: Any, other: Any) -> bool:
    """Whether two field values are the same: numbers by value, vectors by every bit."""
    if one is ABSENT or other is ABSENT:
        return one is other
    if isinstance(one, Embedding) and isinstance(other, Embedding):
        return one.row == other.row and is_same(one.described, other.described)
    if isinstance(one, tuple) or isinstance(other, tuple):  # vectors, and records, which JSON values never are
        return type(one) is type(other) and bool(one == other)
    return canonical.encode(one) == canonical.encode(other)


def is_mergeable(path: Path) -> bool:
    """Whether a field can differ between two versions of one memory: its key cannot."""
    return path[0] not in _IDENTITY


def words(path: Path) -> str:
    """Return a field's name as users write it: ``metadata.importance``."""
    return ".".join(path)


def to_json(value: Any) -> Any:
    """Return a field value as JSON; an absent one has none and is given as null."""
    if value is ABSENT:
        return None
    if isinstance(value, Embedding):
        found = dict(value.described)
        if value.row is not None:
            found["vector"] = vector.to_json(value.row)
        return found
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Vector):
        return vector.to_json(value)
    return {row.space.name: vector.to_json(row) for row in value} if isinstance(value, tuple) else value


def from_json(path: Path, value: Any) -> Any:
    """Return the field value of JSON that ``to_json`` gave, or a user wrote.

    Raises: InvalidData (vector-type, dims-mismatch, …) where it is no value for the field.
    """
    if path == VECTOR:
        if not isinstance(value, dict):
            value = {"vector": value}
        made = fields_of(from_value({"id": "x", **value}))
        return made.get(VECTOR, Embedding(None, {}))
    if path == NAMED or (len(path) == 2 and path[0] == "vectors"):
        named = value if path == NAMED else {path[1]: value}
        made = fields_of(from_value({"id": "x", "vectors": named}))
        if path == NAMED:
            return tuple(made[each] for each in _below("vectors", made)) or value
        if path not in made:
            raise InvalidData(f"{words(path)} must be a vector, got {value!r:.60}", code="vector-type")
        return made[path]
    return value
