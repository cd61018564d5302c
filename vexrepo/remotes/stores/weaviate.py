"""Weaviate: classes of objects behind its REST interface.

``weaviate://HOST:8080/CLASS``; where the server is below a path, ``weaviate://HOST/PATH/CLASS``.  Options: ``?tenant=``
for a class that keeps objects by tenant, ``?tls=1``, ``?text=NAME``; ``?distance=`` (cosine, dot, l2-squared, hamming,
manhattan) for a class that is to be made.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import orjson

from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore
from vexrepo.remotes.stores.point_store import Point, Wanted
from vexrepo.remotes.stores.points import RESERVED, TEXTS, Fields
from vexrepo.remotes.stores.weaviate_batch import Batch
from vexrepo.remotes.stores.weaviate_objects import Objects
from vexrepo.remotes.stores.weaviate_pages import Pages
from vexrepo.remotes.stores.weaviate_schema import DISTANCES, Schema, creation, own_properties, read_config

_CLASS = re.compile(r"[A-Za-z][_0-9A-Za-z]{0,254}")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class WeaviateStore(HttpPointStore):
    """The connector of one class, or of one tenant of a class."""

    kind: ClassVar[str] = "weaviate"
    names_text: ClassVar[bool] = True
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
        self._spaces: dict[str, Space] = {}  # dims are known from what was read
        self._distance = address.choice("distance", DISTANCES) or DISTANCES[0]
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

    @property
    def _interface(self) -> str:
        return f"{self.above}/v1"

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
        answer = self.ask("GET", f"{self._interface}/schema/{self.collection}", also={404})
        self._is_there = answer.status != 404
        if not self._is_there:
            meta = self.ask("GET", f"{self._interface}/meta", also={404})
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
        path = f"{self._interface}/schema/{self.collection}/tenants"
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
        answer = self.ask("POST", f"{self._interface}/graphql", body={"query": query}, can_repeat=True)
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
        return self._pages.read_after(last)

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the objects of some ids, which are asked for one by one, several at a time."""
        return self._pages.find(ids)

    @property
    def _pages(self) -> Pages:
        objects = Objects(self, self._schema, self._spaces)
        return Pages(self, self._interface, self.collection, self._of_tenant, objects)

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
            if self._schema.info is not None:
                return True  # a class of others gets that property where something is carried, and not before
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
            path = f"{self._interface}/schema/{self.collection}/properties"
            answer = self.ask("POST", path, body=each, also={422}, can_repeat=True)
            if answer.status == 422 and not self._has_property(each):  # else it was made, and the answer lost
                raise StoreError(
                    f"{answer.where} does not take the property {each['name']!r} ({answer.words()}); no memory was "
                    "written: run the command again",
                    code="store-answer",
                )
        self._schema.new.clear()

    def _has_property(self, wanted: Mapping[str, Any]) -> bool:
        found = Schema(self.ask("GET", f"{self._interface}/schema/{self.collection}").fields().value)
        return bool([found.kinds.get(wanted["name"])] == wanted["dataType"])

    def prepare(self, wanted: Wanted) -> None:
        """Make the class, and its tenant."""
        schema = self._schema
        if schema.info is None:
            made = schema.properties(self.fields())
            body = creation(self.collection, wanted.spaces.values(), wanted.config, made, self._distance)
            if self._tenant is not None:
                body["multiTenancyConfig"] = {"enabled": True}
            self.ask("POST", f"{self._interface}/schema", body=body, can_repeat=False)
        if self._tenant is not None:
            path = f"{self._interface}/schema/{self.collection}/tenants"
            self.ask("POST", path, body=[{"name": self._tenant}], can_repeat=True)
        self._look()
        self._schema.is_closed = True

    @property
    def _batch(self) -> Batch:
        return Batch(self, self._interface, self.collection, self._of_tenant, self._schema)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write objects.  Raises: StoreError (store-dims, store-cannot-hold, store-busy) where some were refused."""
        self._batch.write(points)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove objects."""
        self._batch.delete(ids)
