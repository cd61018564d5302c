"""Chroma: collections behind its HTTP interface, version 2, or in a folder.

``chroma://HOST:8000/COLLECTION``.  Options: ``?tenant=``, ``?database=``; ``?text=NAME`` for a text that is in a member
of the metadata in place of the document; ``?distance=`` (cosine, l2, ip) for a collection that is to be made.
``chroma:FOLDER?collection=COLLECTION`` is the embedded mode (``chroma_local``).
An upsert there adds to what a record has: members that are to go are named.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import base64
import re
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import segment
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.capabilities import ROUNDING, Capabilities
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore, Service
from vexrepo.remotes.stores.json_numbers import single, take_rows
from vexrepo.remotes.stores.number_kinds import NumberKinds
from vexrepo.remotes.stores.point_store import FOUND_AT_ONCE, Point, Wanted
from vexrepo.remotes.stores.points import Fields
from vexrepo.remotes.stores.serde import is_read_as_printed, nearest_value

DOCUMENT: Final = "chroma:document"  # what Chroma itself calls these members in its tables
URI: Final = "chroma:uri"
DISTANCES: Final = ("cosine", "l2", "ip")
_MOST_POINTS = 1000  # of one page
_PAGE_BYTES = 16 << 20
_MOST_IDS = 10_000  # of one list of ids alone
_LISTS = 8  # of all ids, in none of which they may move
_COLUMNS = ("embeddings", "metadatas", "documents", "uris")
_EMBEDDINGS = b'"embeddings":[['
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")


def holds(value: Any) -> bool:
    """Whether a value of the metadata comes back exactly: a text, flag or number of 64 bits, or a list of one kind."""
    if isinstance(value, list):
        is_plain = not any(isinstance(each, (list, dict)) for each in value)
        return is_plain and len({type(each) for each in value}) == 1 and all(map(holds, value))
    if isinstance(value, (str, bool)):
        return True
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return isinstance(value, float) and is_read_as_printed(value) and not (value == 0 and str(value) == "-0.0")


def holds_name(name: str) -> bool:
    """Whether a member may have a name; Chroma's own, but for the URI's, would be taken for what they stand for."""
    return bool(name) and name[0] not in "#$" and (name == URI or not name.startswith("chroma:"))


def _fits_cosine(item: Vector) -> bool:
    """Whether a vector survives being taken apart into direction and length in float32."""
    values = np.frombuffer(item.row, "<f4").astype("<f8")
    square = float((values * values).sum())
    return 1e-30 < square < 1e37 or not any(item.row)


_CAN = Capabilities(
    holds,
    values="text, flags, numbers of 64 bits but some of more than 15 to 16 digits, and lists of one of these",
    nearest=lambda value: nearest_value(value, is_read_as_printed),
    holds_id_member=True,
    holds_name=holds_name,
    holds_member=lambda name, value: name != URI or isinstance(value, str),
    needs_vector=True,
)
_COSINE = replace(_CAN, holds_vector=_fits_cosine, alters=ROUNDING)


class ChromaStore(HttpPointStore):
    """The connector of one collection."""

    kind: ClassVar[str] = "chroma"
    can = _CAN
    port: ClassVar[int] = 8000
    secrets: ClassVar[Mapping[str, str]] = {KEY: "the API key of Chroma"}
    key_header: ClassVar[str] = "x-chroma-token"
    key_scheme: ClassVar[str] = ""
    key_hint: ClassVar[str] = "give a key that may read and write this collection in the environment, as CHROMA_API_KEY"
    batch_points: ClassVar[int] = 500
    batch_bytes: ClassVar[int] = 4 << 20
    most_at_once: ClassVar[int] = 1  # one writer at a time is what its database takes
    options: ClassVar[frozenset[str]] = frozenset({"collection", "text", "tls", "tenant", "database", "distance"})
    has_folders: ClassVar[bool] = True

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._found: dict[str, Any] | None = None
        self._is_known = self._is_new = self._has_looked = False
        self._numbers = NumberKinds()
        self._distance = address.choice("distance", DISTANCES) or DISTANCES[0]

    @property
    def collection(self) -> str:
        """The name of the collection.  Raises: UsageError (bad-address)."""
        name = super().collection
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{self.address}: a collection's name has 3 to 512 of the characters a-z A-Z 0-9 . _ -, the first and "
                "last a letter or digit",
                code="bad-address",
            )
        return name

    def folder(self) -> Service:
        """Return the engine of the folder."""
        from vexrepo.remotes.stores.chroma_local import ChromaFolder

        return ChromaFolder(self.address)

    @cached_property
    def _base(self) -> str:
        options = self.address.options
        tenant = segment(options.get("tenant") or "default_tenant")
        database = segment(options.get("database") or "default_database")
        return f"/api/v2/tenants/{tenant}/databases/{database}/collections"

    @property
    def _path(self) -> str:
        assert self._found is not None
        return f"{self._base}/{segment(self._found['id'])}"

    # -- what there is -----------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the collection is there; asked once."""
        if not self._is_known:
            self._look()
        return self._found is not None

    def _look(self) -> None:
        answer = self.ask("GET", f"{self._base}/{segment(self.collection)}", also={404})
        found = answer.fields()
        if answer.status == 404:
            if found.value.get("error") != "NotFoundError":
                raise self.http.nonsense(f"{answer.where} is not there, and what answers is not Chroma (2nd interface)")
            self._found = None
        else:
            found.need_text("id")
            self._found = found.value
            self.can = _COSINE if self._metric() == "cosine" else _CAN
        self._is_known = True

    def _configuration(self) -> dict[str, Any]:
        value = (self._found or {}).get("configuration_json")
        return value if isinstance(value, dict) else {}

    def _metric(self) -> str:
        parts = [self._configuration().get(name) for name in ("hnsw", "spann")]
        return next((str(each["space"]) for each in parts if isinstance(each, dict) and each.get("space")), "l2")

    def describe(self) -> Description:
        """Return the count and how the collection is set up.  Its schema is not kept: it grows with what is written."""
        self._look()
        if self._found is None:
            return Description(0)
        count = self.ask("GET", f"{self._path}/count").json()
        if type(count) is not int:
            raise self.http.nonsense(f"{self.address} does not answer as Chroma does: no count")
        config: dict[str, Any] = {
            "configuration": {name: each for name, each in self._configuration().items() if each is not None}
        }
        if self._found.get("metadata"):
            config["metadata"] = self._found["metadata"]
        if not self._has_looked:
            self._points(*self._read_page(self._page(0, 250)))
        if self._numbers.floats:
            config["floats"] = self._numbers.floats
        return Description(count, config)

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the one vector that a collection has, once something was written to it."""
        dims = (self._found or {}).get("dimension") if self.exists() else None
        return {MAIN: Space(MAIN, "dense", None, dims, "f32")} if type(dims) is int and dims > 0 else {}

    @cached_property
    def _flight(self) -> dict[str, Any]:
        """What the server says of its limits."""
        return self.ask("GET", "/api/v2/pre-flight-checks").fields().value

    # -- reading -----------------------------------------------------------------------------------------------------

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text is the document, or the member that the address names."""
        return Fields(text=self.address.options.get("text") or DOCUMENT)

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the points in the server's order; the next page is on its way while one is looked at.

        Pages are told by how many points go before.  What is removed meanwhile moves those that follow, some of which
        are then passed over: that shows where a page does not begin with the last point of the one before it, as it is
        asked to.  What was passed over is read at the end; what was removed and written again is given once.
        """
        offset, limit = 0, 250
        last: str | None = None
        read = array("q")  # hashes of the ids that were read
        known: set[int] | None = None  # the same, once some may come again
        with self.asking_ahead() as begin:
            coming = begin(self._page, offset, limit)
            while True:
                answer = coming()
                points = self._points(*self._read_page(answer))
                offset += len(points)
                if last is not None and not (points and points[0].id == last):
                    known = set(read) if known is None else known
                elif last is not None:
                    del points[0]
                if not points:
                    break
                limit = max(1, min(_MOST_POINTS, 2 * limit, limit * _PAGE_BYTES // max(1, answer.size_bytes)))
                offset, last = offset - 1, points[-1].id
                coming = begin(self._page, offset, limit + 1)
                if known is not None:
                    points = [point for point in points if hash(point.id) not in known]
                    known |= {hash(point.id) for point in points}
                else:
                    read.extend([hash(point.id) for point in points])
                yield points
        if known is not None:
            missed = self._missed(known)
            for start in range(0, len(missed), FOUND_AT_ONCE):
                yield self.find_points(missed[start : start + FOUND_AT_ONCE])

    def _missed(self, known: Set[int]) -> list[str]:
        """Return the ids of points that are there and were not read.

        Raises: StoreError (store-changed) where others go on removing points while the ids are listed.
        """
        for _ in range(_LISTS):
            found: list[str] = []
            offset, last = 0, None
            while True:
                body = {"limit": _MOST_IDS, "offset": offset, "include": list[str]()}
                answer = self.ask("POST", f"{self._path}/get", body=body, can_repeat=True)
                ids = answer.fields().texts("ids")
                if ids is None:
                    raise self.http.nonsense(f"{answer.where} does not answer as Chroma does: no ids")
                is_whole = last is None or ids[:1] == [last]
                fresh = ids if last is None else ids[1:]
                if not (is_whole and fresh):
                    break
                found += [each for each in fresh if hash(each) not in known]
                offset, last = offset + len(ids) - 1, fresh[-1]
            if is_whole:
                return found
        raise StoreError(
            f"{self.address} changed while it was being read, again and again; run the command again once whoever "
            "removes memories has ended",
            code="store-changed",
        )

    def _page(self, offset: int, limit: int) -> Answer:
        body = {"limit": limit, "offset": offset, "include": [*_COLUMNS]}
        return self.ask("POST", f"{self._path}/get", body=body, can_repeat=True)

    def _read_page(self, answer: Answer) -> tuple[list[str] | None, Mapping[str, Any]]:
        """Return the ids of an answer and its columns, embeddings as bytes where their numbers were taken out."""
        taken = take_rows(answer.body, _EMBEDDINGS)
        if taken is not None:
            found = answer.fields_of(taken[0])
            ids = found.texts("ids")
            if ids is not None and len(ids) == len(taken[1]):
                return ids, {**found.value, "embeddings": taken[1]}
        found = answer.fields()
        return found.texts("ids"), found.value

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the points of some ids."""
        body = {"ids": list(ids), "include": [*_COLUMNS]}
        found = self.ask("POST", f"{self._path}/get", body=body, can_repeat=True).fields()
        return self._points(found.texts("ids"), found.value)

    def _points(self, ids: Sequence[str] | None, columns: Mapping[str, Any]) -> list[Point]:
        rows = [[None] * len(ids or ()) if columns.get(name) is None else columns[name] for name in _COLUMNS]
        if ids is None or any(not isinstance(each, list) or len(each) != len(ids) for each in rows):
            raise self.http.nonsense(f"{self.address} does not answer as Chroma does: not as many rows as ids")
        found = []
        self._has_looked = True
        for identifier, embedding, metadata, document, uri in zip(ids, *rows, strict=True):
            payload = dict(metadata) if isinstance(metadata, dict) else {}
            self._numbers.note(payload)
            if document is not None:
                payload[DOCUMENT] = document
            if uri is not None:
                payload[URI] = uri
            vectors = (self._vector(identifier, embedding),) if embedding else ()
            found.append(Point(identifier, payload, vectors))
        return found

    def _vector(self, identifier: str, embedding: Any) -> Vector:
        if type(embedding) is bytes:
            return single(MAIN, embedding)
        try:
            return single(MAIN, struct.pack(f"<{len(embedding)}f", *embedding))
        except (struct.error, TypeError) as error:
            raise InvalidData(
                f"{self.address}: the embedding of {identifier!r:.80} has something else than numbers in it: "
                "it was infinite or too long for its metric",
                code="vector-type",
            ) from error

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the collection to a plan; what the server says of its limits holds from the first batch."""
        most = self._flight.get("max_batch_size")
        if type(most) is int and most > 0:
            self.most_points = min(self.most_points, most)
        return super().write(plan)

    def prepare(self, wanted: Wanted) -> None:
        """Make the collection."""
        configuration = wanted.config.get("configuration")
        body: dict[str, Any] = {
            "name": self.collection,
            "configuration": dict(configuration) if configuration else {"hnsw": {"space": self._distance}},
            "get_or_create": False,
        }
        if wanted.config.get("metadata"):
            body["metadata"] = wanted.config["metadata"]
        floats = wanted.config.get("floats")
        self._numbers = NumberKinds(map(str, floats) if isinstance(floats, list) else ())
        self.ask("POST", self._base, body=body, can_repeat=False)
        self._look()
        self._is_new = True

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points.  What points of these ids had before and have no more is taken from them."""
        is_packed = bool(self._flight.get("supports_base64_encoding"))
        embeddings: list[Any] = []
        for point in points:
            if not point.vectors:
                raise StoreError(
                    f"{self.address} is empty, and no memory has a vector that says for how many dimensions; nothing "
                    "was written: write memories with vectors",
                    code="store-cannot-hold",
                )
            row = point.vectors[0].row
            embeddings.append(base64.b64encode(row).decode() if is_packed else np.frombuffer(row, "<f4").tolist())
        uris = [point.payload.get(URI) for point in points]
        metadatas = [
            {name: each for name, each in point.payload.items() if name not in (DOCUMENT, URI)} for point in points
        ]
        held = {} if self._is_new else self._held(points)
        metadatas = [
            self._numbers.typed(metadata, held.get(point.id, {}))
            for point, metadata in zip(points, metadatas, strict=True)
        ]
        self._unset(points, metadatas, held)
        body = {
            "ids": [point.id for point in points],
            "embeddings": embeddings,
            "metadatas": [each or None for each in metadatas],
            "documents": [point.payload.get(DOCUMENT) for point in points],
            "uris": uris,
        }
        self.ask("POST", f"{self._path}/upsert", body=body, can_repeat=True)

    def _held(self, points: Sequence[Point]) -> dict[str, dict[str, Any]]:
        """Return what is there now of points that are written."""
        body = {"ids": [point.id for point in points], "include": ["metadatas", "documents", "uris"]}
        found = self.ask("POST", f"{self._path}/get", body=body, can_repeat=True).fields()
        return {point.id: point.payload for point in self._points(found.texts("ids"), found.value)}

    def _unset(
        self, points: Sequence[Point], metadatas: Sequence[dict[str, Any]], held: Mapping[str, dict[str, Any]]
    ) -> None:
        """Say null for members that are to go; a record that is to lose its document or URI is removed first."""
        again = []
        for point, metadata in zip(points, metadatas, strict=True):
            gone = held.get(point.id, {}).keys() - point.payload.keys()
            if gone & {DOCUMENT, URI}:
                again.append(point.id)
            else:
                metadata |= dict.fromkeys(gone)
        if again:
            self.delete(again)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points."""
        self.ask("POST", f"{self._path}/delete", body={"ids": list(ids)}, can_repeat=True)
