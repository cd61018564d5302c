"""How the nodes of a label are set up: their indexes, and which property tells them apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from blake3 import blake3

from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.neo4j_graph import Graph, Row, is_name, quoted

INDEXES: Final = "SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, options, owningConstraint"
CONSTRAINTS: Final = "SHOW CONSTRAINTS YIELD name, type, entityType, labelsOrTypes, properties"
MAX_DIMS: Final = 4096  # of a vector index
SIMILARITIES: Final = ("cosine", "euclidean")
_KEPT: Final = frozenset(("VECTOR", "RANGE", "TEXT", "POINT", "FULLTEXT"))
_DIMS: Final = "vector.dimensions"
_SIMILARITY: Final = "vector.similarity_function"
_ODD: Final = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Index:
    """One index over nodes of the label: ``type`` as the server calls it, ``config`` its ``indexConfig``."""

    type: str
    properties: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dims(self) -> int:
        """The dimensions of a vector index, 0 where it takes any."""
        found = self.config.get(_DIMS)
        return found if type(found) is int else 0

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {"type": self.type, "properties": list(self.properties), "config": dict(self.config)}


@dataclass(frozen=True, slots=True)
class Schema:
    """What the server says of a label.  ``unique`` are properties that alone tell its nodes apart."""

    indexes: tuple[Index, ...]
    unique: frozenset[str]

    @property
    def vectors(self) -> dict[str, Index]:
        """The vector indexes, by property."""
        return {each.properties[0]: each for each in self.indexes if each.type == "VECTOR"}


def read_schema(graph: Graph, label: str) -> Schema:
    """Return how a label is set up; a server that does not tell has nothing."""
    indexes = tuple(
        Index(kind, tuple(properties), _config(options))
        for _, kind, entity, labels, properties, options, owner in graph.declare(INDEXES) or ()
        if entity == "NODE" and kind in _KEPT and label in (labels or ()) and properties and owner is None
    )
    rows = graph.declare(CONSTRAINTS) or ()
    return Schema(indexes, frozenset(each[4][0] for each in rows if _is_unique(each, label)))


def _is_unique(row: Row, label: str) -> bool:
    _, kind, entity, labels, properties = row
    is_key = "UNIQUE" in str(kind) or str(kind).endswith("NODE_KEY")
    return is_key and entity == "NODE" and list(labels) == [label] and len(properties) == 1


def _config(options: Any) -> dict[str, Any]:
    """Return the settings of an index that can be said again; not which version of it the server chose."""
    found = options.get("indexConfig") if isinstance(options, Mapping) else None
    return {
        name: value
        for name, value in sorted((found or {}).items())
        if isinstance(value, (str, bool, int, float)) or (isinstance(value, list) and value)
    }


def of_config(config: Mapping[str, Any], spaces: Mapping[str, Space], main: str) -> list[Index]:
    """Return the indexes that a kept configuration says, and of vectors the dims that the memories have.

    ``main`` is the property of the main vector here; kept is what it was called there.
    """
    found = []
    for each in config.get("indexes", ()):
        match each:
            case {"type": str(kind), "properties": [str(first), *rest], "config": dict(settings)} if kind in _KEPT:
                named = "" if first == config.get("vector") else first
                held = spaces.get(named)
                if kind == "VECTOR" and held is not None and held.kind == "dense":
                    settings = {**settings, _DIMS: held.dims}
                if kind == "VECTOR" and named == "":
                    first = main
                found.append(Index(kind, tuple(map(str, (first, *rest))), settings))
    return found


def new_vector_index(name: str, dims: int, similarity: str) -> Index:
    """Return the index of a vector that nothing is said of."""
    return Index("VECTOR", (name,), {_DIMS: dims, _SIMILARITY: similarity})


def constraint(label: str, name: str) -> str:
    """Return the statement that lets a property tell the nodes of a label apart."""
    made = quoted(_name("vex", label, name, "unique"))
    return f"CREATE CONSTRAINT {made} IF NOT EXISTS FOR (n:{quoted(label)}) REQUIRE n.{quoted(name)} IS UNIQUE"


def creation(label: str, index: Index) -> str:
    """Return the statement that makes an index."""
    name = quoted(_name("vex", label, *index.properties, index.type.lower()))
    each = [f"n.{quoted(name)}" for name in index.properties]
    what = "" if index.type == "RANGE" else f"{index.type} "
    on = f"EACH [{', '.join(each)}]" if index.type == "FULLTEXT" else f"({', '.join(each)})"
    said = {name: value for name, value in index.config.items() if is_name(name)}
    options = f" OPTIONS {{indexConfig: {_literal(said)}}}" if said else ""
    return f"CREATE {what}INDEX {name} IF NOT EXISTS FOR (n:{quoted(label)}) ON {on}{options}"


def _name(*parts: str) -> str:
    """Return a name for an index; another index of that name would keep this one from being made."""
    plain = "_".join(_ODD.sub("_", part) for part in parts)
    exact = "_".join(parts)
    return plain if plain == exact else f"{plain}_{blake3(exact.encode()).hexdigest(4)}"


def _literal(value: Any) -> str:
    """Return a value as Cypher writes it; no statement about the schema takes it as a parameter everywhere."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(name)}: {_literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return repr(value)
