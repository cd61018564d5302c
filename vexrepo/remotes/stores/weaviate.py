"""Weaviate: classes of objects behind its REST interface.

``weaviate://HOST:8080/CLASS``; where the server is below a path, ``weaviate://HOST/PATH/CLASS``.  Options: ``?tenant=``
for a class that keeps objects by tenant, ``?tls=1``, ``?text=NAME``; ``?distance=`` (cosine, dot, l2-squared, hamming,
manhattan) for a class that is to be made.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import orjson

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import segment
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore
from vexrepo.remotes.stores.json_numbers import cut_arrays, placed, single, take_numbers
from vexrepo.remotes.stores.point_carried import VERSION
from vexrepo.remotes.stores.point_store import Point, Wanted
from vexrepo.remotes.stores.points import RESERVED, TEXTS, BadPoint, Fields
from vexrepo.remotes.stores.weaviate_schema import (
    DEFAULT,
    DISTANCES,
    JSON_TEXT,
    Schema,
    creation,
    own_properties,
    pack,
    read_config,
)
from vexrepo.storage.ahead import reading_ahead

_MOST_OBJECTS = 1000  # of one page; the server takes 10,000
_MOST_DELETED = 1000  # of one request; the server takes 10,000
_PAGE_BYTES = 16 << 20
_CLASS = re.compile(r"[A-Za-z][_0-9A-Za-z]{0,254}")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VECTOR = b'"vector":['
_MINUS_ZERO = (b"-0,", b"-0]")  # as Go prints it; read as an integer it has no sign
_DIMS = re.compile(r"vector with length|vector dimensions|vector lengths", re.IGNORECASE)
_PASSING = re.compile(r"read-only|deadline|timeout|memory|consistency level|overloaded|shutting down", re.IGNORECASE)


class WeaviateStore(HttpPointStore):
    """The connector of one class, or of one tenant of a class."""

    kind: ClassVar[str] = "weaviate"
    can = Schema().capabilities()
    port: ClassVar[int] = 8080
    secrets: ClassVar[Mapping[str, str]] = {KEY: "the API key of the Weaviate server"}
    key_hint: ClassVar[str] = "give a key that may read and write this class in the environment, as WEAVIATE_API_KEY"
    batch_points: ClassVar[int] = 256
    batch_bytes: ClassVar[int] = 4 << 20
    options: ClassVar[frozenset[str]] = frozenset({"text", "tls", "tenant", "distance"})
    resumes: ClassVar[bool] = True
    shows_late: ClassVar[bool] = True

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._schema = Schema()
        self._is_known = self._is_there = False
        self._most_objects = _MOST_OBJECTS
        self._spaces: dict[str, Space] = {}  # dims are known from what was read
        self._distance = address.options.get("distance", DISTANCES[0])
        if self._distance not in DISTANCES:
            raise UsageError(
                f"{address}: distance is {self._distance!r:.40}, expected one of {', '.join(DISTANCES)}",
                code="bad-address",
            )
        self._tenant = address.options.get("tenant")
        if self._tenant is not None and not _TENANT.fullmatch(self._tenant):
            raise UsageError(
                f"{address}: a tenant's name has 1 to 64 of the characters a-z A-Z 0-9 _ -", code="bad-address"
            )

    @property
    def collection(self) -> str:
        """The name of the class, its first letter large as the server makes it.  Raises: UsageError (bad-address)."""
        name = super().collection.rpartition("/")[2]
        if not _CLASS.fullmatch(name):
            raise UsageError(
                f"{self.address}: a class's name has 1 to 255 of the characters a-z A-Z 0-9 _, the first a letter",
                code="bad-address",
            )
        return name[0].upper() + name[1:]

    def collection_words(self) -> str:
        """Return what the class, or the tenant, is called to people."""
        return f"{'class' if self._tenant is None else 'tenant'} {self.address}"

    @cached_property
    def _above(self) -> str:
        return "".join(f"/{segment(each)}" for each in self.path.split("/")[:-1] if each) + "/v1"

    @property
    def _of_tenant(self) -> dict[str, str]:
        return {} if self._tenant is None else {"tenant": self._tenant}

    # -- what there is -----------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the class, and the tenant, are there; asked once."""
        if not self._is_known:
            self._look()
        return self._is_there

    def _look(self) -> None:
        answer = self.ask("GET", f"{self._above}/schema/{self.collection}", also={404})
        self._is_there = answer.status != 404
        if not self._is_there:
            meta = self.ask("GET", f"{self._above}/meta", also={404})
            if meta.status == 404 or meta.fields().text("version") is None:
                raise self.http.nonsense(f"{answer.where} is not there, and what answers is not Weaviate")
            self._schema = Schema()
        else:
            answer.fields().need_text("class")
            self._schema = Schema(answer.fields().value)
            self._look_for_tenant()
        self.can = self._schema.capabilities()
        self._is_known = True

    def _look_for_tenant(self) -> None:
        path = f"{self._above}/schema/{self.collection}/tenants"
        if not self._schema.keeps_tenants:
            if self._tenant is not None:
                raise UsageError(
                    f"{self.address}: this class does not keep objects by tenant; leave ?tenant= out",
                    code="bad-address",
                )
        elif self._tenant is None:
            found = self.ask("GET", path).json()
            names = sorted(str(each.get("name")) for each in found if isinstance(each, dict))
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise UsageError(
                f"{self.address} keeps objects by tenant; name one as ?tenant=NAME: {shown or 'there is none yet'}",
                code="bad-address",
            )
        else:
            self._is_there = self.ask("GET", f"{path}/{self._tenant}", also={404}).status != 404

    def describe(self) -> Description:
        """Return the count and how the class is set up."""
        self._look()
        config = {} if self._schema.info is None else read_config(self._schema.info)
        if not self._is_there:
            return Description(0)
        of = "" if self._tenant is None else f'(tenant:"{self._tenant}")'
        query = f"{{Aggregate{{{self.collection}{of}{{meta{{count}}}}}}}}"
        answer = self.ask("POST", f"{self._above}/graphql", body={"query": query}, can_repeat=True)
        try:
            count = answer.fields().value["data"]["Aggregate"][self.collection][0]["meta"]["count"]
        except (LookupError, TypeError) as error:
            raise self.http.nonsense(f"{answer.where} gives no count: {answer.words()}") from error
        if type(count) is not int:
            raise self.http.nonsense(f"{answer.where} gives no count")
        return Description(count, config)

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors of the class whose dimensions are known, from objects that were read."""
        return {name: space for name, space in self._spaces.items() if name in self._schema.vectors}

    # -- reading -----------------------------------------------------------------------------------------------------

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: by the objects there are, else by the properties of the class."""
        found = super().find_fields(sample)
        if sample or self.address.options.get("text"):
            return found
        kinds = self._schema.kinds
        name = next((each for each in TEXTS if kinds.get(each) in ("text", "string")), None)
        return Fields(text=name) if name else found

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the objects in order of their ids."""
        return self.read_points_after("")

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the objects whose ids come after one; the next page is on its way while one is looked at."""
        limit, after = 100, last
        with self.asking_ahead() as begin:
            coming = begin(self._page, after, limit)
            while True:
                answer = coming()
                objects, rows = self._read_page(answer)
                if not objects:
                    return
                newest = _id(objects[-1])
                if newest == after:
                    raise self.http.nonsense(f"{answer.where} gives the same page again and again")
                size = max(1, len(answer.body))
                limit = max(1, min(_MOST_OBJECTS, 2 * limit, limit * _PAGE_BYTES // size))
                if newest is not None:  # else one of them is refused below
                    after = newest
                    coming = begin(self._page, after, limit)
                yield self._exactly(answer, objects, rows)

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the objects of some ids, which are asked for one by one, several at a time."""
        with reading_ahead(max(1, self.address.reach.concurrency), self.readings) as pool:
            asked = [pool.submit(self._one, each) for each in ids]
            answers = [each.result() for each in asked]
        return [self._exactly(each, [each.json()], [None])[0] for each in answers if each.status != 404]

    def _one(self, identifier: str) -> Answer:
        path = f"{self._above}/objects/{self.collection}/{segment(identifier)}"
        return self.ask("GET", path, query={"include": "vector", **self._of_tenant}, also={404})

    def _exactly(self, answer: Answer, objects: list[Any], rows: Sequence[bytes | None]) -> list[Point]:
        """Return the points of objects; zeros of vectors keep their sign, which the quick parser takes from them."""
        points = [self._point(*each) for each in zip(objects, rows, strict=True)]
        if _may_hold_minus_zero(points) and any(each in answer.body for each in _MINUS_ZERO):
            value = json.loads(answer.body, parse_int=lambda text: -0.0 if text == "-0" else int(text))
            is_list = isinstance(value, dict) and "objects" in value
            points = [self._point(each) for each in (self._objects(answer, value) if is_list else [value])]
        return points

    def _read_page(self, answer: Answer) -> tuple[list[Any], Sequence[bytes | None]]:
        """Return the objects of an answer and of each the numbers of its vector, where those were taken out of it."""
        taken = take_numbers(answer.body, _VECTOR)
        if taken is not None:
            value, rows = taken
            objects = self._objects(answer, value)
            found = placed(objects, "vector", rows)
            if found is not None:
                return objects, found
        objects = self._objects(answer, answer.json())
        return objects, [None] * len(objects)

    def _objects(self, answer: Answer, value: Any) -> list[Any]:
        found = value.get("objects", ...) if isinstance(value, dict) else ...
        found = [] if found is None else found  # as Go prints a list that was never filled
        if not isinstance(found, list):
            raise self.http.nonsense(f"{answer.where} does not answer as Weaviate does: no objects")
        return found

    def _page(self, after: str, limit: int) -> Answer:
        """Ask for objects after an id; "" begins in order of ids, without it they come in some other."""
        query = {"class": self.collection, "after": after, "include": "vector", **self._of_tenant}
        while True:
            most = min(limit, self._most_objects)
            answer = self.ask(
                "GET", f"{self._above}/objects", query={**query, "limit": str(most)}, also={422} if most > 1 else ()
            )
            if answer.status != 422:
                return answer
            if "maximum results" not in answer.words():
                raise self.http.nonsense(f"{answer.where} does not take the request (422: {answer.words()})")
            self._most_objects = most // 2  # the server is set up for fewer at once

    def _point(self, value: Any, row: bytes | None = None) -> Point:
        """Return the point of an object; ``row``: its vector, where the object has only its place."""
        identifier = _id(value)
        if identifier is None:
            raise self.http.nonsense(f"{self.address}: an object has no UUID as its id: {value!r:.60}")
        try:
            vectors = [pack(MAIN, value.get("vector")) if row is None else single(MAIN, row)]
            named = value.get("vectors") or {}
            vectors += [pack(MAIN if name == DEFAULT else name, each) for name, each in named.items()]
        except (struct.error, TypeError, AttributeError, LookupError):
            why = "one of its vectors has something else than numbers in it"
            return BadPoint.of(identifier, InvalidData(why, code="vector-type"))
        held = tuple(each for each in vectors if each is not None)
        for each in held:
            self._spaces.setdefault(each.space.name, each.space)
        properties = value.get("properties")
        # No property is called "id": where there is one, it is the object's id, said again by the server.
        payload = {name: each for name, each in (properties or {}).items() if each is not None and name != "id"}
        if self._schema.is_original and RESERVED not in payload:
            payload = _of_original(payload)
        return Point(identifier, payload, held)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the class to a plan; one that is to be made has the properties that its configuration says."""
        if not self.exists() and self._schema.info is None:
            self._schema = Schema(properties=own_properties(plan.config))
            self.can = self._schema.capabilities()
            self._fields = None
        return super().write(plan)

    def needs_check(self, record: Record) -> bool:
        """Whether a record has a member that has no property yet."""
        try:
            value = orjson.loads(record.body)  # for its names alone: what is printed is canonical
        except orjson.JSONDecodeError:  # a number beyond all doubles
            return True
        known = self._schema.kinds
        if RESERVED not in known:
            self._schema.note({RESERVED: ""})
        if any(name not in known and value.get(member) is not None for member, name in self.fields().members):
            return True
        metadata = value.get("metadata")
        return isinstance(metadata, dict) and any(name not in known for name in metadata)

    def check_point(self, point: Point) -> None:
        """Note which properties are needed."""
        self._schema.note(point.payload)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the properties that are missing first: the server would guess a type for them."""
        if self._schema.info is not None:
            self._make_properties()
        self._schema.is_closed = True
        try:
            yield
        finally:
            self._schema.is_closed = False

    def _make_properties(self) -> None:
        for each in self._schema.properties(self.fields()):
            path = f"{self._above}/schema/{self.collection}/properties"
            answer = self.ask("POST", path, body=each, also={422}, can_repeat=True)
            if answer.status == 422 and not self._has_property(each):  # else it was made, and the answer lost
                raise StoreError(
                    f"{answer.where} does not take the property {each['name']!r} ({answer.words()}); no memory was "
                    "written: run the command again",
                    code="store-answer",
                )
        self._schema.new.clear()

    def _has_property(self, wanted: Mapping[str, Any]) -> bool:
        found = Schema(self.ask("GET", f"{self._above}/schema/{self.collection}").fields().value)
        return bool([found.kinds.get(wanted["name"])] == wanted["dataType"])

    def prepare(self, wanted: Wanted) -> None:
        """Make the class, and its tenant."""
        schema = self._schema
        if schema.info is None:
            made = schema.properties(self.fields())
            body = creation(self.collection, wanted.spaces.values(), wanted.config, made, self._distance)
            if self._tenant is not None:
                body["multiTenancyConfig"] = {"enabled": True}
            self.ask("POST", f"{self._above}/schema", body=body, can_repeat=False)
        if self._tenant is not None:
            path = f"{self._above}/schema/{self.collection}/tenants"
            self.ask("POST", path, body=[{"name": self._tenant}], can_repeat=True)
        self._look()
        self._schema.is_closed = True

    def upsert(self, points: Sequence[Point]) -> None:
        """Write objects.  Raises: StoreError (store-dims, store-cannot-hold, store-busy) where some were refused."""
        objects = [self._object(each) for each in points]
        body = orjson.dumps({"objects": objects}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self.ask("POST", f"{self._above}/batch/objects", body=body, can_repeat=True)
        try:
            found = orjson.loads(cut_arrays(answer.body, _VECTOR)[0])  # all that was sent is said again
        except orjson.JSONDecodeError:
            found = answer.json()
        if not isinstance(found, list) or len(found) != len(points):
            raise self.http.nonsense(f"{answer.where} does not answer as Weaviate does: not as many results as objects")
        refused = [(each, why) for each, result in zip(points, found, strict=True) if (why := _refusal(result))]
        if refused:
            point, why = refused[0]
            code = "store-busy" if _PASSING.search(why) else "store-cannot-hold"
            code = "store-dims" if _DIMS.search(why) else code
            raise StoreError(
                f"{self.address} did not take {len(refused)} of {len(points)} memories, the first {point.id}: "
                f"{why:.300}; what was taken is written, and running the command again writes the rest",
                code=code,
            )

    def _object(self, point: Point) -> dict[str, Any]:
        found: dict[str, Any] = {
            "class": self.collection,
            "id": point.id,
            "properties": self._schema.sent(point.payload),
            **self._of_tenant,
        }
        named = {}
        for item in point.vectors:
            values = np.frombuffer(item.row, "<f4")
            if item.space.kind == "multi":
                values = values.reshape(-1, item.space.dims)
            if item.space.name == MAIN and self._schema.has_legacy_vector:
                found["vector"] = values
            else:
                named[item.space.name or DEFAULT] = values
        if named:
            found["vectors"] = named
        return found

    def delete(self, ids: Sequence[str]) -> None:
        """Remove objects."""
        for start in range(0, len(ids), _MOST_DELETED):
            some = list(ids[start : start + _MOST_DELETED])
            while self._delete_some(some):
                pass  # the server is set up for fewer at once

    def _delete_some(self, ids: list[str]) -> bool:
        """Remove objects, and return whether some are left."""
        where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": ids}
        answer = self.ask(
            "DELETE",
            f"{self._above}/batch/objects",
            query=self._of_tenant or None,
            body={"match": {"class": self.collection, "where": where}},
        )
        results = answer.fields().part("results")
        if results is None:
            raise self.http.nonsense(f"{answer.where} does not answer as Weaviate does: no results")
        matches, done, failed = (results.number(name) or 0 for name in ("matches", "successful", "failed"))
        if failed or (matches and not done):
            raise StoreError(
                f"{answer.where} did not remove {failed or matches} memories: {answer.words()}; run the command again",
                code="store-busy",
            )
        return matches > done


def _refusal(result: Any) -> str:
    """Return why an object of a batch was refused, "" if it was not."""
    told = result.get("result") if isinstance(result, dict) else None
    if not isinstance(told, dict) or (told.get("status") in (None, "SUCCESS") and not told.get("errors")):
        return "" if isinstance(result, dict) else "no result"
    errors = (told.get("errors") or {}).get("error") or []
    words = [str(each["message"]) for each in errors if isinstance(each, dict) and each.get("message")]
    return "; ".join(words) or "no reason given"


def _may_hold_minus_zero(points: Sequence[Point]) -> bool:
    """Whether some vector has a zero, which then may have lost its sign."""
    return any(b"\0\0\0\0" in item.row for point in points for item in point.vectors)


def _id(value: Any) -> str | None:
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


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
