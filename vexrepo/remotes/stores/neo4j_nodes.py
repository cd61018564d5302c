"""Nodes as points and records, and points as nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space, Vector, pack_numbers
from vexrepo.remotes.stores.exact_vectors import Found, exact_numbers, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.neo4j_ids import Ids
from vexrepo.remotes.stores.neo4j_labels import LABELS
from vexrepo.remotes.stores.neo4j_values import Kinds
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain
from vexrepo.remotes.stores.points import Point

Node: TypeAlias = Mapping[str, Any]

_NUMBERS: Final = frozenset((float, int))


@dataclass(frozen=True, slots=True)
class Nodes:
    """What reads and makes the nodes of one label, given and taken by their properties.

    ``vectors``: which properties those are, by the names of the vectors.  ``problem`` is told, with a code, of nodes
    that make no point.
    """

    where: str
    ids: Ids
    vectors: Mapping[str, str]
    kinds: Kinds
    problem: Callable[[str, str], None]

    def points(self, nodes: Sequence[Node]) -> list[Point]:
        """Return the points of nodes."""
        return [point for each in nodes if (point := self._point_or_problem(each)) is not None]

    def records(self, reader: PayloadReader, nodes: Sequence[Node]) -> list[Point | Record]:
        """Return the records of nodes, and points of those that are not plain."""
        main = self.vectors[MAIN]
        numbers = [_floats(each.get(main)) for each in nodes]
        made = reader.records_of(nodes, numbers, self._plain, loses=False)
        found: list[Point | Record] = []
        for node, record in zip(nodes, made, strict=True):
            found += self.points([node]) if record is None else (record,)
        return found

    def _plain(self, node: Node, row: bytes | None) -> Plain | None:
        """Return the point of a node whose main vector has some numbers, None where it is not plain."""
        id_name = self.ids.name
        rest = {name: value for name, value in node.items() if name != id_name}
        if row is not None:
            del rest[self.vectors[MAIN]]
        if not rest.keys().isdisjoint(self.vectors.values()):
            return None
        try:
            return Plain(self.ids.shown(node[id_name]), self.kinds.payload(rest), row)
        except InvalidData:
            return None

    def _point_or_problem(self, properties: Node) -> Point | None:
        try:
            return self.point(properties)
        except InvalidData as error:
            self.problem(f"{self.where} node {properties.get(self.ids.name)!r:.80}: {error}", error.code)
        return None

    def point(self, properties: Node) -> Point:
        """Return the point of a node.  Raises: InvalidData."""
        id_name = self.ids.name
        identifier = self.ids.shown(properties[id_name])
        rest: dict[str, Any] = {}
        found: list[Found] = []
        decimals: list[str] = []
        places = {held: name for name, held in self.vectors.items()}
        for name, value in properties.items():
            if name == id_name:
                continue
            numbers = numbers_of(value) if name in places else None
            if numbers is None:
                rest[name] = value
                continue
            if type(value).__name__ == "Vector":
                self.kinds.payload({name: value})
            if (row := _single(numbers)) is not None:
                found.append(Found(Vector(Space(places[name], "dense", None, len(numbers), "f32"), row), None))
                continue
            dtype, row = pack_numbers(numbers)
            if dtype == "f32d":
                decimals.append(places[name])
            found.append(exact_vector(places[name], row, "<f8" if dtype == "f64" else "<f4", name))
        return Point(identifier, with_exact(self.kinds.payload(rest), found, decimals), single_vectors(found))

    def row(self, point: Point) -> dict[str, Any]:
        """Return the node of a point: its id, all its properties, and its other labels."""
        native = self.ids.native(point.id)
        payload, exact = exact_numbers(point, tells_decimals=True)
        labels = payload.get(LABELS, [])
        properties = self.kinds.properties({name: value for name, value in payload.items() if name != LABELS})
        for space, row in point.vectors:
            held = self.vectors[space.name]
            numbers = exact.get(space.name) or np.frombuffer(row, "<f4").astype("<f8").tolist()
            properties[held] = self.kinds.numbers(held, numbers)
        properties[self.ids.name] = native
        return {"id": native, "properties": properties, "labels": labels}


def numbers_of(value: Any) -> list[Any] | None:
    """Return the numbers of a vector: a list, the vector type, or JSON text, as the original tool writes; else None."""
    if isinstance(value, str):
        if not (value.startswith("[") and value.endswith("]")):
            return None
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    elif type(value).__name__ == "Vector":
        value = value.to_native()
    return value if isinstance(value, list) and value and set(map(type, value)) <= _NUMBERS else None


def _floats(value: Any) -> list[Any] | None:
    """Return the numbers of a vector that is a list of floats, [] of none; None of others."""
    if value is None:
        return []
    return value if isinstance(value, list) and value and {float}.issuperset(map(type, value)) else None


def _single(numbers: list[Any]) -> bytes | None:
    """Return numbers as float32, None where that loses something: most vectors are such, and this is quick."""
    if set(map(type, numbers)) != {float}:
        return None
    values = np.array(numbers, "<f8")
    with np.errstate(over="ignore"):
        row = values.astype("<f4")
    is_same = np.isfinite(row).all() and np.array_equal(row.astype("<f8").view("<u8"), values.view("<u8"))
    return row.tobytes() if is_same else None
