"""Pinecone: a namespace of a serverless index, behind its REST interface.

``pinecone://INDEX-HOST/NAMESPACE``, or by name ``pinecone://INDEX/NAMESPACE``, which is short for
``pinecone://api.pinecone.io/NAMESPACE?index=INDEX``; without a namespace the default one.  Options: ``?text=NAME``;
for an index that is to be made ``?metric=`` (cosine, dotproduct, euclidean), ``?dims=``, ``?type=sparse``,
``?cloud=``, ``?region=``.  What is written is seen a little later: a write waits until it is.  Mapping:
remotes/STORES.md.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import orjson

from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import HttpClient
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.asked_dims import no_dims, parse_dims, with_dims
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore
from vexrepo.remotes.stores.pinecone_index import (
    CLOUDS,
    MAX_DIMS,
    METRICS,
    MOST_METADATA_BYTES,
    NAME,
    TYPES,
    Index,
    creation,
    read_config,
    read_index,
)
from vexrepo.remotes.stores.pinecone_pages import Pages
from vexrepo.remotes.stores.pinecone_records import encode_record
from vexrepo.remotes.stores.pinecone_samples import Samples
from vexrepo.remotes.stores.point_store import Point, Wanted, cannot_hold

_VERSION = "2025-10"  # of the interface
_CONTROL = "api.pinecone.io"
_DEFAULT = "__default__"  # another name of the namespace without a name
_REQUEST_BYTES = 2_000_000
_MOST_DELETED = 1000
_LOOKS = 40  # for what was written, some 70 s
_TOO_LARGE = re.compile(r"too large|size .*exceed|maximum supported size|maximum batch size", re.IGNORECASE)


class PineconeStore(HttpPointStore):
    """The connector of one namespace."""

    kind: ClassVar[str] = "pinecone"
    names_text: ClassVar[bool] = True
    can = Index(METRICS[0], TYPES[0]).capabilities()
    port: ClassVar[int] = 443
    secrets: ClassVar[Mapping[str, str]] = {KEY: "the API key of the Pinecone project"}
    key_header: ClassVar[str] = "Api-Key"
    key_scheme: ClassVar[str] = ""
    key_hint: ClassVar[str] = "give a key that may read and write this index in the environment, as PINECONE_API_KEY"
    batch_points: ClassVar[int] = 1000
    batch_bytes: ClassVar[int] = 640 << 10  # numbers are three times as long in JSON; a request may have 2 MB
    resumes: ClassVar[bool] = True
    shows_late: ClassVar[bool] = True
    options: ClassVar[frozenset[str]] = frozenset({"text", "tls", "index", "metric", "dims", "type", "cloud", "region"})

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self.path = "" if self.path == _DEFAULT else self.path
        self._name, self._control_host = self._find_planes()
        self._model: dict[str, Any] | None = None  # what the control plane says
        self._index: Index | None = None
        self._is_known = False
        self._count = 0  # records that were read, with what was written since
        self._expected: int | None = None  # records after a write that cannot be seen yet
        self._samples = Samples()
        self._lock = threading.Lock()
        self._has_told = False
        self._metric = address.choice("metric", METRICS)
        self._type = address.choice("type", TYPES)
        self._cloud = address.choice("cloud", CLOUDS)
        self._dims = parse_dims(address, MAX_DIMS)

    def _find_planes(self) -> tuple[str | None, str | None]:
        """Return the name of the index and the host that makes and describes indexes, as far as they are known."""
        name = self.address.options.get("index")
        if name is not None and not NAME.fullmatch(name):
            raise UsageError(
                f"{self.address}: an index's name has 1 to 45 of the characters a-z 0-9 -, the first and last no -",
                code="bad-address",
            )
        if ".svc." in self.host:  # the index's own
            return name, _CONTROL
        if name is not None:
            return name, self.host
        if NAME.fullmatch(self.host) and self.host != "localhost":
            return self.host, _CONTROL
        if self.host == _CONTROL or not self.host:
            raise UsageError(
                f"{self.address} names no index; expected pinecone://INDEX-HOST/NAMESPACE or pinecone://INDEX/NAMESPACE",
                code="bad-address",
            )
        return None, None

    def headers(self) -> Mapping[str, str]:
        """Return the version of the interface."""
        return {"X-Pinecone-Api-Version": _VERSION}

    def collection_words(self) -> str:
        """Return what the index is called to people."""
        return f"index {self.address}"

    @cached_property
    def http(self) -> HttpClient:
        """The client of the index.  Raises: UsageError (bad-address)."""
        if self._is_host_known:
            return self.client(self.host)
        assert self._model is not None
        return self.client(str(self._model["host"]).rpartition("://")[2].rstrip("/"))

    @cached_property
    def _control(self) -> HttpClient:
        assert self._control_host is not None
        return self.client(self._control_host)

    @property
    def _is_host_known(self) -> bool:
        return self._name is None or ".svc." in self.host

    @property
    def _of_namespace(self) -> dict[str, str]:
        return {"namespace": self.path} if self.path else {}

    def close(self) -> None:
        """End the connections."""
        super().close()
        if "_control" in self.__dict__:
            self._control.close()

    # -- what there is -----------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the index is there; asked once.  A namespace is made by writing into it."""
        if not self._is_known:
            self._look()
        return self._index is not None

    def _look(self) -> None:
        """Ask what the index takes."""
        if self._is_host_known:
            answer, found = self._stats()
        else:
            answer = self.ask("GET", f"/indexes/{self._name}", client=self._control, also={404})
            found = answer.fields().value
            if answer.status == 404:
                if not isinstance(found.get("error"), dict):
                    raise self._control.nonsense(f"{answer.where} is not there, and what answers is not Pinecone")
                self._plan_index({})
                self._is_known = True
                return
            answer.fields().need_text("host")
            self._model = found
        self._index = read_index(found)
        if self._index is None:
            raise self.http.nonsense(f"{answer.where} does not answer as Pinecone does: no dimension and metric")
        self.can = self._index.capabilities()
        self._is_known = True

    def _plan_index(self, config: Mapping[str, Any]) -> Index:
        """Return what an index that is to be made takes, and hold to it."""
        metric = self._metric or config.get("metric") or METRICS[0]
        kind = self._type or config.get("vector_type") or TYPES[0]
        index = Index("dotproduct" if kind == "sparse" else str(metric), str(kind))
        self.can = index.capabilities()
        return index

    def _stats(self) -> tuple[Answer, dict[str, Any]]:
        answer = self.ask("POST", "/describe_index_stats", body={}, can_repeat=True)
        found = answer.fields()
        if found.part("namespaces") is None and found.number("totalVectorCount") is None:
            raise self.http.nonsense(f"{answer.where} does not answer as Pinecone does: no statistics")
        return answer, found.value

    def _counted(self) -> int:
        """Return how many records the namespace has, as far as the index has come."""
        _, found = self._stats()
        namespaces = found.get("namespaces") or {}
        others = sorted(name for name in namespaces if name not in ("", _DEFAULT))
        if not self.path and others and not self._has_told:
            self._has_told = True
            shown = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
            self.address.reach.notice(
                f"{self.address} is the default namespace; the index has others, each a memory of its own: {shown}"
            )
        held = namespaces.get(self.path) or (namespaces.get(_DEFAULT) if not self.path else None) or {}
        return int(held.get("vectorCount") or 0)

    def describe(self) -> Description:
        """Return the count and how the index is set up; no count where what was written cannot be seen yet."""
        if not self.exists():
            return Description(0)
        count: int | None = self._counted()
        if self._expected not in (None, count):
            count = None
        return Description(count, read_config(self._described()))

    def _described(self) -> dict[str, Any]:
        """Return what the control plane says of the index; what the index says itself where there is none."""
        if self._model is None and self._control_host is not None:
            try:
                found = self.ask("GET", "/indexes", client=self._control).fields()
            except StoreError as error:
                if error.code != "store-refused":  # a key may be good for the index alone
                    raise
                self._control_host = None
            else:
                models = [each.value for each in found.parts("indexes")]
                self._model = next((each for each in models if each.get("host") == self.host), None)
        if self._model is not None:
            return self._model
        assert self._index is not None
        found_there = {"metric": self._index.metric, "vector_type": self._index.vector_type}
        return {**found_there, **({"dimension": self._index.dims} if self._index.dims else {})}

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the index takes."""
        self.exists()
        return {} if self._index is None else self._index.spaces

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the records in order of their ids, those of several requests at a time."""
        return self.read_points_after("")

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the records whose ids come after one: all are listed, which is in order, and those are fetched."""
        count = 0
        for points in self._pages.read_after(last):
            count += len(points)
            yield points
        self._count = count

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the records of some ids, in as many requests as an address has room for."""
        return self._pages.find(ids)

    @property
    def _pages(self) -> Pages:
        return Pages(self, self.path, is_sparse=self._is_sparse)

    @property
    def _is_sparse(self) -> bool:
        return self._index is not None and self._index.is_sparse

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the namespace to a plan."""
        if not self.exists():
            self._plan_index(plan.config)
        return super().write(plan)

    def needs_check(self, record: Record) -> bool:
        """Whether a record is so long that what is made of it may be too long: escapes of escapes are the worst."""
        vectors = sum([2 * len(row) + _said(space) for space, row in record.vectors])
        return 3 * len(record.body) + vectors + 2000 > MOST_METADATA_BYTES

    def check_point(self, point: Point) -> None:
        """Raise StoreError (store-cannot-hold) for a record with more beside its vector than Pinecone takes."""
        size = len(orjson.dumps(point.payload))
        if size > MOST_METADATA_BYTES:
            raise cannot_hold(
                self,
                point.id,
                f"its text, its metadata and what is carried have {size:,} bytes, and Pinecone takes "
                f"{MOST_METADATA_BYTES:,} a record: shorten it, or leave it out (--namespace, --components)",
            )

    def check_creatable(self, wanted: Wanted) -> None:
        """Raise StoreError where nothing says how many dimensions the index is to have."""
        if not self._dims:
            super().check_creatable(wanted)

    def prepare(self, wanted: Wanted) -> None:
        """Make the index, and wait until it is ready."""
        assert self._name is not None
        planned = self._plan_index(wanted.config)
        dims = 0
        if not planned.is_sparse:
            held = wanted.config.get("dimension")
            spaces = with_dims(wanted.spaces, self._dims, self.address)
            dims = Wanted(spaces).dims or (held if type(held) is int else 0)
            if not dims:
                raise no_dims(self.address, MAX_DIMS)
        index = Index(planned.metric, planned.vector_type, dims)
        body = creation(self._name, index, wanted.config, self._cloud, self.address.options.get("region"))
        self.ask("POST", "/indexes", client=self._control, body=body, also={409}, can_repeat=True)
        for attempt in range(_LOOKS):
            self._look()
            status = (self._model or {}).get("status") or {}
            if self._index is not None and status.get("ready"):
                return
            self.patience.sleep(min(2.0, 0.25 * 2**attempt))
        raise StoreError(
            f"{self.address} was made and is not ready yet; nothing was written: run the command again in a minute",
            code="store-busy",
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Note what is written, to see that it is there at the end."""
        self._samples.clear()
        self._expected = None
        yield

    def upsert(self, points: Sequence[Point]) -> None:
        """Write records, in as many requests as their bytes ask for."""
        parts: list[bytes] = []
        size = 0
        is_sparse = self._is_sparse
        for point in points:
            part = encode_record(point, is_sparse=is_sparse)
            if parts and size + len(part) + 1 > _REQUEST_BYTES:
                self._post(parts)
                parts, size = [], 0
            parts.append(part)
            size += len(part) + 1
        if parts:
            self._post(parts)
        self._samples.note_written(points[-1])

    def insert(self, points: Sequence[Point]) -> None:
        """Write records that are new."""
        self.upsert(points)
        with self._lock:
            self._count += len(points)

    def _post(self, parts: list[bytes]) -> None:
        head = b'{"namespace":' + orjson.dumps(self.path) + b"," if self.path else b"{"
        body = head + b'"vectors":[' + b",".join(parts) + b"]}"
        answer = self.ask("POST", "/vectors/upsert", body=body, also={400}, can_repeat=True)
        words = answer.words() if answer.status == 400 else ""
        if answer.status == 400:
            is_limit = _TOO_LARGE.search(words) is not None and "metadata" not in words.lower()
            raise StoreError(
                f"{answer.where} does not take {len(parts)} records ({words}); those of other requests are written: "
                "running the command again writes the rest",
                code="store-limit" if is_limit else "store-cannot-hold",
            )
        count = answer.fields().number("upsertedCount")
        if count != len(parts):
            raise self.http.nonsense(f"{answer.where} took {count} of {len(parts)} records")

    def delete(self, ids: Sequence[str]) -> None:
        """Remove records."""
        for start in range(0, len(ids), _MOST_DELETED):
            some = list(ids[start : start + _MOST_DELETED])
            body = {"ids": some, **self._of_namespace}
            answer = self.ask("POST", "/vectors/delete", body=body, also={404}, can_repeat=True)
            if answer.status == 404 and answer.fields().number("code") is None:
                raise self.http.nonsense(f"{answer.where} is not there, and what answers is not Pinecone")
            self._count -= len(some)
            self._samples.note_removed(some[-1])

    def finish(self) -> None:
        """Wait until what was written can be seen, so that nobody takes the state before for an edit."""
        if not self._samples:
            return
        self._expected = self._count
        for attempt in range(_LOOKS):
            if self._is_seen():
                self._expected = None
                return
            self.patience.sleep(min(2.0, 0.25 * 2**attempt))
        if self._samples.are_seen(self._pages, self.can.alters):
            self._expected = None  # it is not late: others write, too, and its count is that of what they left
            return
        self.address.reach.notice(
            f"{self.address} has taken everything and does not show all of it yet; until it does, vex status may name "
            "memories as changed that are not"
        )

    def _is_seen(self) -> bool:
        return self._samples.are_seen(self._pages, self.can.alters) and self._counted() == self._expected


@lru_cache(maxsize=256)
def _said(space: Space) -> int:
    """Return how many bytes say which vector a carried one is, at most."""
    return 2 * len(space.encode()) + 100
