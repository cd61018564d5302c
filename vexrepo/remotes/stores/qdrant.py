"""Qdrant: collections of points behind its REST interface, or in a folder.

``qdrant://HOST:6333/COLLECTION``; where the server is below a path, ``qdrant://HOST/PATH/COLLECTION``.  Options:
``?tls=1``, ``?text=NAME``; for a collection that is to be made ``?distance=Cosine`` (or Dot, Euclid, Manhattan) and
``?dims=384``, needed where no memory has a vector.  The key is that of the server, or of the collection.
``qdrant:FOLDER?collection=COLLECTION`` is the client's embedded mode (``qdrant_local``).
Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import segment
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.asked_dims import no_dims, parse_dims, with_dims
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.capabilities import Capabilities, is_number
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore, Service
from vexrepo.remotes.stores.json_numbers import placed, single, take_numbers
from vexrepo.remotes.stores.point_store import Point, Wanted
from vexrepo.remotes.stores.profiles import MEM0_FILTERS
from vexrepo.remotes.stores.qdrant_config import (
    DISTANCES,
    EXACT_TYPES,
    MAX_DIMS,
    Trait,
    capabilities,
    creation,
    holds_here,
    indexes,
    read_config,
    read_traits,
)

_MOST_POINTS = 256  # of one page
_PAGE_BYTES = 16 << 20  # of an answer; pages are made smaller beyond, so that none grows past what is read at once
_VECTOR = b'"vector":['
_COLLECTION = re.compile(r'[^<>:"/\\|?*\0]{1,255}')


class QdrantStore(HttpPointStore):
    """The connector of one collection."""

    kind: ClassVar[str] = "qdrant"
    names_text: ClassVar[bool] = True
    port: ClassVar[int] = 6333
    secrets: ClassVar[Mapping[str, str]] = {KEY: "the API key of the Qdrant server"}
    key_header: ClassVar[str] = "api-key"
    key_scheme: ClassVar[str] = ""
    key_hint: ClassVar[str] = "give a key that may read and write this collection in the environment, as QDRANT_API_KEY"
    batch_points: ClassVar[int] = 256
    batch_bytes: ClassVar[int] = 5 << 20  # numbers are three times as long in JSON; the server takes 32 MiB
    options: ClassVar[frozenset[str]] = frozenset({"collection", "text", "tls", "distance", "dims", "profile"})
    has_folders: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    can = capabilities(None)

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._info: dict[str, Any] | None = None
        self._is_known = False
        self._traits: dict[str, Trait] = {}
        self._distance = address.choice("distance", DISTANCES) or DISTANCES[0]
        self._dims = parse_dims(address, MAX_DIMS)

    @property
    def collection(self) -> str:
        """The name of the collection.  Raises: UsageError (bad-address)."""
        name = super().collection.rpartition("/")[2]
        if not _COLLECTION.fullmatch(name):
            raise UsageError(
                f"{self.address}: a collection's name has 1 to 255 characters, none of <>:\"\\|?*", code="bad-address"
            )
        return name

    def folder(self) -> Service:
        """Return the engine of the folder."""
        from vexrepo.remotes.stores.qdrant_local import QdrantFolder

        return QdrantFolder(self.address)

    @property
    def keeps_originals(self) -> bool:
        """Whether it is a folder: the client scales what it has in memory, and writes what it was given."""
        return self.address.is_path

    @cached_property
    def _path(self) -> str:
        return f"{self.above}/collections/{segment(self.collection)}"

    # -- what there is -----------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the collection is there; asked once."""
        if not self._is_known:
            self._look()
        return self._info is not None

    def _capabilities(self, traits: Mapping[str, Trait] | None) -> Capabilities:
        """Return what the collection holds, numbers of any digits in the embedded mode."""
        found = capabilities(traits)
        return replace(found, holds=holds_here, nearest=lambda value: value) if self.is_folder else found

    def _look(self) -> None:
        """Ask what the collection is like now."""
        answer = self.ask("GET", self._path, also={404})
        found = answer.fields()
        if answer.status == 404:
            if found.part("status") is None:
                raise self.http.nonsense(
                    f"{answer.where} is not there, and what answers is not Qdrant: {answer.words()}"
                )
            self._info, self._traits, self.can = None, {}, self._capabilities(None)
        else:
            info = found.part("result")
            if info is None or info.part("config") is None:
                raise self.http.nonsense(f"{answer.where} does not answer as Qdrant does: no configuration")
            self._info = info.value
            self._traits = read_traits(info.value["config"])
            self.can = self._capabilities(self._traits)
            strict = info.value["config"].get("strict_mode_config") or {}
            most = strict.get("upsert_max_batchsize")
            if strict.get("enabled") and type(most) is int and most > 0:
                self.most_points = min(self.most_points, most)
        self._is_known = True

    def describe(self) -> Description:
        """Return the exact count and how the collection is set up."""
        self._look()
        if self._info is None:
            return Description(0)
        answer = self.ask("POST", f"{self._path}/points/count", body={"exact": True}, can_repeat=True)
        result = answer.fields().part("result")
        count = None if result is None else result.number("count")
        if count is None:
            raise self.http.nonsense(f"{answer.where} does not answer as Qdrant does: no count")
        return Description(count, read_config(self._info))

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the collection is set up for."""
        self.exists()
        return {name: each.space for name, each in self._traits.items()}

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the points in order of their ids."""
        return self._pages(None)

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the points whose ids come after one."""
        for page in self._pages(_id(last)):  # begins with that one, if it is there still
            found = page[1:] if page and page[0].id == last else page
            if found:
                yield found

    def _pages(self, offset: Any) -> Iterator[list[Point]]:
        """Yield the points from one on in order of their ids; the next page is on its way while one is looked at."""
        limit = _MOST_POINTS if self.is_folder else 64
        with self.asking_ahead() as begin:
            coming = begin(self._page, offset, limit)
            while True:
                answer = coming()
                points, rows, following = self._read_page(answer)
                if following is not None:  # not 0, which is a point
                    if following == offset:
                        raise self.http.nonsense(f"{answer.where} gives the same page again and again")
                    offset, size = following, max(1, answer.size_bytes)
                    limit = max(1, min(_MOST_POINTS, 2 * limit, limit * _PAGE_BYTES // size))
                    coming = begin(self._page, offset, limit)
                yield [self._point(*each) for each in zip(points, rows, strict=True)]
                if following is None:
                    return

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the points of some ids."""
        body = {"ids": [_id(each) for each in ids], "with_payload": True, "with_vector": True}
        answer = self.ask("POST", f"{self._path}/points", body=body, can_repeat=True)
        return [self._point(each.value) for each in answer.fields().parts("result")]

    def _page(self, offset: Any, limit: int) -> Answer:
        body = {"limit": limit, "with_payload": True, "with_vector": True}
        if offset is not None:
            body["offset"] = offset
        return self.ask("POST", f"{self._path}/points/scroll", body=body, can_repeat=True)

    def _read_page(self, answer: Answer) -> tuple[Sequence[Mapping[str, Any]], Sequence[bytes | None], Any]:
        """Return the points of a page, of each the numbers of its vector where they were taken out, and the next."""
        taken = take_numbers(answer.body, _VECTOR)
        if taken is not None:
            points, following = self._points(answer, taken[0])
            rows = placed(points, "vector", taken[1])
            if rows is not None:
                return points, rows, following
        points, following = self._points(answer, answer.json())
        return points, [None] * len(points), following

    def _points(self, answer: Answer, value: Any) -> tuple[Sequence[Mapping[str, Any]], Any]:
        result = answer.fields_of(value).part("result")
        if result is None:
            raise self.http.nonsense(f"{answer.where} does not answer as Qdrant does: no result")
        return [each.value for each in result.parts("points")], result.value.get("next_page_offset")

    def _point(self, value: Mapping[str, Any], row: bytes | None = None) -> Point:
        """Return the point of an answer; ``row``: its vector, where the answer has only its place."""
        identifier, payload = value.get("id"), value.get("payload")
        if type(identifier) not in (int, str):
            raise self.http.nonsense(
                f"{self.address}: a point has {identifier!r:.40} as its id; expected a number or UUID"
            )
        try:
            vectors = _read_vectors(value.get("vector")) if row is None else (single(MAIN, row),)
        except (struct.error, OverflowError, TypeError, AttributeError, LookupError) as error:
            raise InvalidData(
                f"{self.address}: the vector of point {identifier} has something else than numbers in it",
                code="vector-type",
            ) from error
        return Point(str(identifier), payload if isinstance(payload, dict) else {}, vectors)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the collection to a plan.

        Raises: StoreError (store-cannot-hold) also for a collection that keeps vectors in ways that cannot be undone.
        """
        self.exists()
        for name, each in self._traits.items():
            if each.datatype not in EXACT_TYPES:
                raise StoreError(
                    f"{self.address} keeps its vector{f' {name!r}' if name else ''} as {each.datatype}, from which "
                    "nobody can tell what was written; nothing was written: use a collection of float32, float16 or "
                    "uint8 (quantization beside them does no harm)",
                    code="store-cannot-hold",
                )
        return super().write(plan)

    def prepare(self, wanted: Wanted) -> None:
        """Make the collection, and its payload indexes."""
        spaces = with_dims(wanted.spaces, self._dims, self.address)
        body = creation(spaces, wanted.config, self._distance)
        if not body["vectors"] and not body.get("sparse_vectors"):
            raise no_dims(self.address, MAX_DIMS)
        self.ask("PUT", self._path, body=body)
        made = indexes(wanted.config)
        if not wanted.config and self.fields().complete is not None:
            made = dict.fromkeys(MEM0_FILTERS, "keyword")
        for field, schema in made.items():
            self.ask(
                "PUT", f"{self._path}/index", query={"wait": "true"}, body={"field_name": field, "field_schema": schema}
            )
        self._look()

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; they are there when this returns."""
        body = {
            "points": [
                {"id": _id(each.id), "vector": _vectors_json(each.vectors), "payload": each.payload} for each in points
            ]
        }
        self._change("PUT", f"{self._path}/points", body)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points."""
        self._change("POST", f"{self._path}/points/delete", {"points": [_id(each) for each in ids]})

    def _change(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        answer = self.ask(method, path, query={"wait": "true"}, body=body, can_repeat=True)
        result = answer.fields().part("result")
        status = None if result is None else result.text("status")
        if status not in ("completed", "acknowledged"):
            raise StoreError(
                f"{answer.where} took points and has not finished with them ({status}); run the command again",
                code="store-busy",
            )


def _id(native: str) -> int | str:
    return int(native) if is_number(native) else native


def _vectors_json(vectors: Sequence[Vector]) -> Any:
    """Return vectors as a point has them: the main one alone as it is, else all by name; none is an empty object."""
    if len(vectors) == 1 and vectors[0].space.name == MAIN:
        return _numbers(vectors[0])
    return {each.space.name: _numbers(each) for each in vectors}


def _numbers(item: Vector) -> Any:
    space, row = item
    if space.kind == "sparse":
        count = len(row) // 8
        return {"indices": np.frombuffer(row[: 4 * count], "<u4"), "values": np.frombuffer(row[4 * count :], "<f4")}
    values = np.frombuffer(row, "<f4")
    return values.reshape(-1, space.dims) if space.kind == "multi" else values


def _read_vectors(value: Any) -> tuple[Vector, ...]:
    if not value:
        return ()
    if isinstance(value, list):
        return (_read_vector(MAIN, value),)
    return tuple(_read_vector(name, each) for name, each in value.items())


def _read_vector(name: str, value: Any) -> Vector:
    if isinstance(value, dict):
        places, values = value["indices"], value["values"]
        row = struct.pack(f"<{len(places)}I{len(places)}f", *places, *values)
        return Vector(Space(name, "sparse", None, 0, "f32"), row)
    if isinstance(value[0], list):
        dims = len(value[0])
        row = b"".join(struct.pack(f"<{dims}f", *each) for each in value)
        return Vector(Space(name, "multi", None, dims, "f32"), row)
    return Vector(Space(name, "dense", None, len(value), "f32"), struct.pack(f"<{len(value)}f", *value))
