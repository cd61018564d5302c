"""Pinecone for tests: the control plane and the serverless indexes it makes, from what is documented.

There is no engine to install.  Every request and answer is held to Pinecone's OpenAPI documents (2025-10, and 2026-04,
which takes the same) where those are at hand.  Enforced: the version header, 1,000 records and 2 MB an upsert, 40 KB of
flat metadata without nulls, ids of at most 512 ASCII characters, no dense vector of zeros, 1,000 sparse values, 100 ids
a page, 1,000 ids a delete.  An index with ``lag`` shows what was written only after so many reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson

from tests.hosting.scripted import Request, Said, ScriptedServer
from tests.openapi import Conformance, find_spec
from vexrepo.remotes.stores.address import Address

_VERSIONS = ("2025-10", "2026-04")


def _conformance(plane: str) -> list[Conformance]:
    found = [find_spec(f"pinecone-db_{plane}-{version}.oas.yaml") for version in _VERSIONS]
    return [Conformance(path) for path in found if path is not None]


DATA = _conformance("data")
CONTROL = _conformance("control")
_SHOWN = 5  # records of a request or answer that are held to the description: all are made alike
_MOST_BYTES = 2 << 20
_MOST_URL = 8000
_INVALID, _NOT_FOUND, _OUT_OF_RANGE = 3, 5, 11  # codes of gRPC


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: int, why: str) -> None:
        super().__init__(why)
        self.status, self.code = status, code


@dataclass
class Namespace:
    """Records by id: as they are answered with."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)


class _Server(ScriptedServer):
    """One plane: what both have in common."""

    def __init__(self, conformance: list[Conformance], key: str | None) -> None:
        super().__init__()
        self.conformance = conformance
        self.key = key

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, size: int) -> tuple[int, Any]:
        raise Refused(404, _NOT_FOUND, "Not Found")

    def error(self, refused: Refused) -> Any:
        return {"code": refused.code, "message": str(refused), "details": []}

    def respond(self, request: Request) -> Said:
        """Return the answer to a request, both held to the descriptions."""
        method, path, headers = request.method, request.path, request.headers
        query = parse_qs(request.query, keep_blank_values=True)
        try:
            if self.key is not None and headers.get("api-key") != self.key:
                raise Refused(401, 16, "Invalid API Key")
            if headers.get("x-pinecone-api-version") not in _VERSIONS:
                raise Refused(400, _INVALID, "no version of the interface")
            if len(path) + len(request.query) > _MOST_URL:
                raise Refused(414, _INVALID, "URI Too Long")
            body = json.loads(request.body) if request.body else None
            for each in self.conformance:
                fault = each.request_fault(method, path, query, _some(body), headers)
                if fault is not None:
                    self.faults.append(fault)
                    raise Refused(400, _INVALID, fault)
            status, value = self.answer(method, path, query, body, len(request.body))
        except Refused as error:
            value, status = self.error(error), error.status
        said = orjson.dumps(value)
        for each in self.conformance:
            fault = each.answer_fault(method, path, status, _some(orjson.loads(said)))
            if fault is not None:
                self.faults.append(f"our own answer: {fault}")
        return status, {}, said


class Pinecone(_Server):
    """The control plane.  New indexes are ready when they were asked for ``wait`` times."""

    def __init__(self, key: str | None = None) -> None:
        super().__init__(CONTROL, key)
        self.models: dict[str, dict[str, Any]] = {}
        self.indexes: dict[str, Index] = {}
        self.made: list[Any] = []
        self.wait = 2
        self.lag = 0

    def address(self, index: str = "agent", namespace: str = "", **options: Any) -> Address:
        more = {name: options.pop(name) for name in ("secrets", "reach") if name in options}
        return Address("pinecone", f"//{self.host}/{namespace}".rstrip("/"), {"index": index, **options}, **more)

    def make(self, name: str = "agent", dimension: int | None = 4, **more: Any) -> Index:
        """Make an index as another program would, ready to use."""
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        body = {"name": name, "spec": spec, **({"dimension": dimension} if dimension else {}), **more}
        self._create(body)
        self.models[name]["status"] = {"ready": True, "state": "Ready"}
        return self.indexes[name]

    def end(self) -> None:
        super().end()
        for each in self.indexes.values():
            each.end()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, size: int) -> tuple[int, Any]:
        name = path.removeprefix("/indexes").removeprefix("/")
        if method == "POST" and not name:
            self.made.append(body)
            return 201, self._create(body)
        if method == "GET" and not name:
            return 200, {"indexes": list(self.models.values())}
        model = self.models.get(name)
        if model is None:
            raise Refused(404, _NOT_FOUND, f"Resource {name} not found")
        if not model["status"]["ready"]:
            self.wait -= 1
            if self.wait < 0:
                model["status"] = {"ready": True, "state": "Ready"}
        return 200, model

    def error(self, refused: Refused) -> Any:
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}
        words = {"code": names.get(refused.status, "UNKNOWN"), "message": str(refused)}
        return {"status": refused.status, "error": words}

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        name, kind = body["name"], body.get("vector_type", "dense")
        metric = body.get("metric", "dotproduct" if kind == "sparse" else "cosine")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
            raise Refused(400, _INVALID, "Name must consist of lower case alphanumeric characters or '-'")
        if name in self.models:
            raise Refused(409, 6, "Resource  already exists")
        if metric not in ("cosine", "dotproduct", "euclidean"):
            raise Refused(400, _INVALID, f"Invalid metric {metric}")
        if kind == "sparse" and (body.get("dimension") or metric != "dotproduct"):
            raise Refused(400, _INVALID, "A sparse index has no dimension, and dotproduct")
        if kind == "dense" and not body.get("dimension"):
            raise Refused(400, _INVALID, "Dense indexes must specify dimension")
        index = Index(kind, metric, body.get("dimension") or 0, self.key, self.lag)
        spec = body["spec"]["serverless"]
        capacity = {"mode": "OnDemand", "status": {"state": "Ready"}}
        self.models[name] = {
            "name": name,
            "metric": metric,
            "vector_type": kind,
            **({"dimension": body["dimension"]} if body.get("dimension") else {}),
            "host": index.host,
            "status": {"ready": False, "state": "Initializing"},
            "deletion_protection": body.get("deletion_protection", "disabled"),
            "spec": {"serverless": {**spec, "read_capacity": capacity}},
            **({"tags": body["tags"]} if body.get("tags") else {}),
        }
        self.indexes[name] = index
        return self.models[name]


class Index(_Server):
    """A serverless index, on a host of its own."""

    def __init__(self, kind: str, metric: str, dims: int, key: str | None = None, lag: int = 0) -> None:
        super().__init__(DATA, key)
        self.kind, self.metric, self.dims, self.lag = kind, metric, dims, lag
        self.namespaces: dict[str, Namespace] = {}
        self.written: list[Any] = []
        self.requests: list[tuple[int, int]] = []  # records and bytes of each upsert
        self.most_bytes = _MOST_BYTES
        self._reads = 0
        self._coming: list[tuple[int, Callable[[], None]]] = []

    def address(self, namespace: str = "", **options: Any) -> Address:
        more = {name: options.pop(name) for name in ("secrets", "reach") if name in options}
        return Address("pinecone", f"//{self.host}/{namespace}".rstrip("/"), options, **more)

    def put(self, records: list[dict[str, Any]], namespace: str = "") -> None:
        """Write records as another program would."""
        for each in records:
            self._check(each)
        self._apply(namespace, records)

    def records(self, namespace: str = "") -> dict[str, dict[str, Any]]:
        """Return what a namespace holds."""
        found = self.namespaces.get(namespace)
        return {} if found is None else found.records

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, size: int) -> tuple[int, Any]:
        namespace = query.get("namespace", [""])[0] if method == "GET" else (body or {}).get("namespace", "")
        namespace = "" if namespace == "__default__" else namespace
        match method, path:
            case "POST", "/vectors/upsert":
                self._upsert(namespace, body["vectors"], size)
                return 200, {"upsertedCount": len(body["vectors"])}
            case "POST", "/vectors/delete":
                return 200, self._delete(namespace, body)
        self._read()
        match method, path:
            case "POST", "/describe_index_stats":
                return 200, self._stats()
            case "GET", "/vectors/list":
                return 200, self._list(namespace, query)
            case "GET", "/vectors/fetch":
                ids = query["ids"]
                if len(ids) > 1000:
                    raise Refused(400, _INVALID, "too many ids")
                held = self.records(namespace)
                found = {each: held[each] for each in ids if each in held}
                return 200, {"vectors": found, "namespace": namespace, "usage": {"readUnits": 1}}
        raise Refused(404, _NOT_FOUND, "Not Found")

    def _read(self) -> None:
        self._reads += 1
        due = [each for at, each in self._coming if at <= self._reads]
        self._coming = [(at, each) for at, each in self._coming if at > self._reads]
        for each in due:
            each()

    def _later(self, what: Callable[[], None]) -> None:
        if self.lag:
            self._coming.append((self._reads + self.lag, what))
        else:
            what()

    def _upsert(self, namespace: str, records: list[dict[str, Any]], size: int) -> None:
        if size > self.most_bytes:
            raise Refused(
                400, _OUT_OF_RANGE,
                f"Error, message length too large: found {size} bytes, the limit is: {self.most_bytes} bytes",
            )  # fmt: skip
        if not 1 <= len(records) <= 1000:
            raise Refused(400, _INVALID, f"The batch size was {len(records)} and the maximum batch size is 1000")
        if len({each["id"] for each in records}) < len(records):
            raise Refused(400, _INVALID, "Duplicate vector id in one request")
        for each in records:
            self._check(each)
        self.written += records
        self.requests.append((len(records), size))
        self._later(lambda: self._apply(namespace, records))

    def _apply(self, namespace: str, records: list[dict[str, Any]]) -> None:
        held = self.namespaces.setdefault(namespace, Namespace()).records
        for each in records:
            held[each["id"]] = _kept(each)

    def _check(self, value: dict[str, Any]) -> None:
        identifier = value["id"]
        if not 1 <= len(identifier) <= 512:
            raise Refused(400, _INVALID, "Vector ID must be from 1 to 512 characters")
        if not identifier.isascii():
            raise Refused(400, _INVALID, f"Vector ID must be ASCII, but got '{identifier}'")
        values, sparse = value.get("values"), value.get("sparseValues")
        if self.kind == "dense":
            if not values:
                raise Refused(400, _INVALID, "Dense vectors must be given")
            if len(values) != self.dims:
                raise Refused(
                    400,
                    _INVALID,
                    f"Vector dimension {len(values)} does not match that of the index {self.dims}",
                )
            if not any(values):
                raise Refused(400, _INVALID, "Dense vectors must contain at least one non-zero value.")
            if sparse is not None and self.metric != "dotproduct":
                raise Refused(400, _INVALID, "Index configuration does not support sparse values")
        elif values or not sparse:
            raise Refused(400, _INVALID, "Sparse vectors must contain at least one value, without others")
        if sparse is not None:
            places, weights = sparse["indices"], sparse["values"]
            is_right = len(places) == len(weights) == len(set(places)) and 1 <= len(places) <= 1000
            if not is_right or not all(0 <= each < 1 << 32 for each in places) or not all(weights):
                raise Refused(400, _INVALID, "Sparse vector must have 1 to 1000 values that are not zero")
        metadata = value.get("metadata") or {}
        for name, held in metadata.items():
            is_list = isinstance(held, list) and all(isinstance(each, str) for each in held)
            if not name or name.startswith("$") or not (is_list or type(held) in (str, int, float, bool)):
                raise Refused(
                    400, _INVALID,
                    f"Metadata value must be a string, number, boolean or list of strings: '{held!r:.40}' for '{name}'",
                )  # fmt: skip
        size = len(orjson.dumps(metadata))
        if size > 40_960:
            raise Refused(
                400, _INVALID, f"Metadata size is {size} bytes, which exceeds the limit of 40960 bytes per vector"
            )

    def _delete(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        ids = body["ids"]
        if not 1 <= len(ids) <= 1000:
            raise Refused(400, _INVALID, "Number of ids must be from 1 to 1000")
        if namespace not in self.namespaces and not self._coming:
            raise Refused(404, _NOT_FOUND, "Namespace not found")

        def remove() -> None:
            held = self.records(namespace)
            for each in ids:
                held.pop(each, None)

        self._later(remove)
        return {}

    def _list(self, namespace: str, query: dict[str, list[str]]) -> dict[str, Any]:
        limit = int(query.get("limit", ["100"])[0])
        if not 1 <= limit <= 100:
            raise Refused(400, _INVALID, "limit must be from 1 to 100")
        prefix, after = query.get("prefix", [""])[0], query.get("paginationToken", [""])[0]
        ids = sorted(each for each in self.records(namespace) if each.startswith(prefix) and each > after)
        shown = {"vectors": [{"id": each} for each in ids[:limit]], "namespace": namespace, "usage": {"readUnits": 1}}
        return {**shown, "pagination": {"next": ids[limit - 1]}} if len(ids) > limit else shown

    def _stats(self) -> dict[str, Any]:
        counts = {name or "__default__": len(each.records) for name, each in self.namespaces.items()}
        return {
            "namespaces": {name: {"vectorCount": count} for name, count in counts.items()},
            "totalVectorCount": sum(counts.values()),
            "indexFullness": 0,
            "metric": self.metric,
            "vectorType": self.kind,
            **({"dimension": self.dims} if self.dims else {}),
        }


def _kept(value: dict[str, Any]) -> dict[str, Any]:
    """Return a record as it is answered with: numbers of vectors are float32, those of the metadata doubles."""
    found: dict[str, Any] = {"id": value["id"]}
    if value.get("values"):
        found["values"] = _numbers(value["values"])
    sparse = value.get("sparseValues")
    if sparse is not None:
        order = sorted(range(len(sparse["indices"])), key=lambda at: sparse["indices"][at])
        found["sparseValues"] = {
            "indices": [sparse["indices"][at] for at in order],
            "values": _numbers([sparse["values"][at] for at in order]),
        }
    if value.get("metadata"):
        found["metadata"] = {
            name: float(each) if type(each) is int else each for name, each in value["metadata"].items()
        }
    return found


def _numbers(values: list[float]) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(np.array(values, "<f4"), option=orjson.OPT_SERIALIZE_NUMPY))


def _some(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    found = body.get("vectors")
    if isinstance(found, list):
        return {**body, "vectors": found[:_SHOWN]}
    if isinstance(found, dict):
        return {**body, "vectors": dict(list(found.items())[:_SHOWN])}
    return body
