"""Objects of a class of Weaviate as points, and points as objects."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.json_numbers import placed, single, take_numbers
from vexrepo.remotes.stores.point_carried import VERSION
from vexrepo.remotes.stores.points import RESERVED, BadPoint, Fields, Point
from vexrepo.remotes.stores.weaviate_schema import DEFAULT, JSON_TEXT, Schema, pack

VECTOR: Final = b'"vector":['  # behind it come numbers
_MINUS_ZERO = (b"-0,", b"-0]")  # as Go prints it; read as an integer it has no sign


@dataclass(frozen=True, slots=True)
class Objects:
    """What reads the objects of one class.

    ``spaces`` gets the vectors that were seen, by name: nothing but the objects says how many dimensions they have.
    """

    store: HttpPointStore
    schema: Schema
    spaces: dict[str, Space]

    def take(self, answer: Answer) -> tuple[list[Any], Sequence[bytes | None]]:
        """Return the objects of an answer and of each the numbers of its vector, where those were taken out of it."""
        taken = take_numbers(answer.body, VECTOR)
        if taken is not None:
            value, rows = taken
            objects = self._listed(answer, value)
            found = placed(objects, "vector", rows)
            if found is not None:
                return objects, found
        objects = self._listed(answer, answer.json())
        return objects, [None] * len(objects)

    def _listed(self, answer: Answer, value: Any) -> list[Any]:
        found = value.get("objects", ...) if isinstance(value, dict) else ...
        found = [] if found is None else found  # as Go prints a list that was never filled
        if not isinstance(found, list):
            raise self.store.http.nonsense(f"{answer.where} does not answer as Weaviate does: no objects")
        return found

    def points(self, answer: Answer, objects: list[Any], rows: Sequence[bytes | None]) -> list[Point]:
        """Return the points of objects; zeros of vectors keep their sign, which the quick parser takes from them."""
        points = [self._point(*each) for each in zip(objects, rows, strict=True)]
        if _may_hold_minus_zero(points) and any(each in answer.body for each in _MINUS_ZERO):
            value = json.loads(answer.body, parse_int=lambda text: -0.0 if text == "-0" else int(text))
            is_list = isinstance(value, dict) and "objects" in value
            points = [self._point(each) for each in (self._listed(answer, value) if is_list else [value])]
        return points

    def _point(self, value: Any, row: bytes | None = None) -> Point:
        """Return the point of an object; ``row``: its vector, where the object has only its place."""
        identifier = id_of(value)
        if identifier is None:
            raise self.store.http.nonsense(f"{self.store.address}: an object has no UUID as its id: {value!r:.60}")
        try:
            vectors = [pack(MAIN, value.get("vector")) if row is None else single(MAIN, row)]
            named = value.get("vectors") or {}
            vectors += [pack(MAIN if name == DEFAULT else name, each) for name, each in named.items()]
        except (struct.error, TypeError, AttributeError, LookupError):
            why = "one of its vectors has something else than numbers in it"
            return BadPoint.of(identifier, InvalidData(why, code="vector-type"))
        held = tuple(each for each in vectors if each is not None)
        for each in held:
            self.spaces.setdefault(each.space.name, each.space)
        properties = value.get("properties")
        # No property is called "id": where there is one, it is the object's id, said again by the server.
        payload = {name: each for name, each in (properties or {}).items() if each is not None and name != "id"}
        if self.schema.is_original and RESERVED not in payload:
            payload = _of_original(payload)
        return Point(identifier, payload, held)


def _may_hold_minus_zero(points: Sequence[Point]) -> bool:
    """Whether some vector has a zero, which then may have lost its sign."""
    return any(b"\0\0\0\0" in item.row for point in points for item in point.vectors)


def id_of(value: Any) -> str | None:
    """Return the id of an object, None where it has none."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def object_of(point: Point, class_name: str, tenant: Mapping[str, str], schema: Schema) -> dict[str, Any]:
    """Return the object of a point; numpy has the numbers of its vectors.  ``tenant``: the member that names it."""
    found: dict[str, Any] = {
        "class": class_name,
        "id": point.id,
        "properties": schema.sent(point.payload),
        **tenant,
    }
    named = {}
    for item in point.vectors:
        values = np.frombuffer(item.row, "<f4")
        if item.space.kind == "multi":
            values = values.reshape(-1, item.space.dims)
        if item.space.name == MAIN and schema.has_legacy_vector:
            found["vector"] = values
        else:
            named[item.space.name or DEFAULT] = values
    if named:
        found["vectors"] = named
    return found


def _of_original(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of an object that the original tool wrote: its metadata is JSON in a text.

    Members of that metadata that are called as members of a record are said as what is carried.
    """
    text = payload.get(JSON_TEXT)
    plain = {name: each for name, each in payload.items() if name != JSON_TEXT}
    if text == "":
        return plain
    try:
        metadata = canonical.parse(text.encode()) if isinstance(text, str) else None
    except (InvalidData, UnicodeEncodeError):
        return payload
    if not isinstance(metadata, dict):
        return payload
    taken = Fields().taken
    patch: list[Any] = [[["metadata", name], [], [metadata[name]]] for name in sorted(metadata.keys() & taken)]
    if not metadata:
        patch = [[["metadata"], [], [{}]]]
    if patch:
        plain[RESERVED] = canonical.encode({"v": VERSION, "b": patch}).decode()
    return {**{name: each for name, each in metadata.items() if name not in taken}, **plain}
