"""Documents of an index of OpenSearch or Elasticsearch as points, and those of ours as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space, Vector, pack_numbers
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.opensearch_mapping import VectorField
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain
from vexrepo.remotes.stores.points import RESERVED, Point

Hit: TypeAlias = dict[str, Any]

_NUMBERS: Final = frozenset((int, float))


@dataclass(frozen=True, slots=True)
class Documents:
    """What reads the documents of one index.

    ``vectors``: which fields those are, by the names of the vectors.  ``routes`` gets, by id, where a document lies
    that is not where its id says; ``doubles`` the names of vectors whose numbers came with more than single precision:
    the index gives them back as they were sent.
    """

    store: HttpPointStore
    vectors: Mapping[str, VectorField]
    routes: dict[str, str]
    doubles: set[str]

    def points(self, hits: Sequence[Hit]) -> list[Point]:
        """Return the points of documents."""
        return [self._point(hit) for hit in hits]

    def records(self, reader: PayloadReader, hits: Sequence[Hit]) -> list[Point | Record]:
        """Return the records of documents, and points of those that are not plain."""
        numbers = [self._numbers(hit) for hit in hits]
        made = reader.records_of(hits, numbers, self._plain, loses=True)  # what was more is carried
        return [self._point(hit) if record is None else record for hit, record in zip(hits, made, strict=True)]

    def _plain(self, hit: Hit, row: bytes | None) -> Plain:
        return Plain(hit["_id"], self._without_vector(hit["_source"]), row)

    def _without_vector(self, source: Mapping[str, Any]) -> dict[str, Any]:
        payload = dict(source)
        if MAIN in self.vectors:
            payload.pop(self.vectors[MAIN].name, None)
        return payload

    def _numbers(self, hit: Hit) -> list[Any] | None:
        """Return the main vector's numbers of a document of ours, [] for none; None of one that is not plain."""
        source, main = hit.get("_source"), self.vectors.get(MAIN)
        if not isinstance(source, dict) or RESERVED not in source or not isinstance(hit.get("_id"), str):
            return None
        if "_routing" in hit or any(each.name in source for each in self.vectors.values() if each is not main):
            return None
        if main is None or main.name not in source:
            return []
        numbers = source[main.name]
        is_right = isinstance(numbers, list) and numbers and _NUMBERS.issuperset(map(type, numbers))
        return numbers if is_right else None

    def _point(self, hit: Hit) -> Point:
        identifier, source = hit.get("_id"), hit.get("_source")
        if not isinstance(identifier, str) or not isinstance(source, dict):
            raise self.store.http.nonsense(f"{self.store.address}: a document has no id, or is not given back")
        if isinstance(hit.get("_routing"), str):
            self.routes[identifier] = str(hit["_routing"])
        found: list[Found] = []
        for name, each in self.vectors.items():
            numbers = source.get(each.name)
            if isinstance(numbers, list) and numbers and set(map(type, numbers)) <= _NUMBERS:
                del source[each.name]
                found.append(_vector(name, numbers, each.name, is_ours=RESERVED in source))
                if found[-1].exact is not None:
                    self.doubles.add(name)
            elif numbers is not None:
                raise InvalidData(
                    f"{self.store.address} document {identifier!r:.80}: field {each.name!r:.60} has something else "
                    "than numbers in it",
                    code="vector-type",
                )
        return Point(identifier, with_exact(source, found, []), single_vectors(found))


def _vector(name: str, numbers: list[Any], place: str, *, is_ours: bool) -> Found:
    """Return a vector: its numbers are those of single precision however they are printed, unless they have more.

    In a document of ours they never have: what was more is carried.
    """
    row = _single(numbers, is_ours=is_ours)
    if row is None:
        dtype, row = pack_numbers(numbers)
        if dtype == "f64":
            return exact_vector(name, row, "<f8", place)
    return Found(Vector(Space(name, "dense", None, len(numbers), "f32"), row), None)


def _single(numbers: list[Any], *, is_ours: bool) -> bytes | None:
    """Return numbers of single precision, printed shortly or in full, as such: most are, and this is quick."""
    values = np.array(numbers, "<f8")
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
    if not np.isfinite(single).all():
        return None
    if is_ours:
        return single.tobytes()
    is_short = orjson.loads(orjson.dumps(single, option=orjson.OPT_SERIALIZE_NUMPY)) == numbers
    return single.tobytes() if is_short or np.array_equal(single.astype("<f8"), values) else None
