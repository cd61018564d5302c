"""A Qdrant server for tests: its REST interface, on the real engine in process (qdrant-edge-py).

No server can be installed from a package.  Here the engine keeps points, refuses wrong dimensions, scales and rounds;
the interface around it is ours, and every request and answer is held to Qdrant's OpenAPI where that is at hand.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import numpy as np
import orjson
import qdrant_edge as engine

from tests.hosting.scripted import Request, Said, ScriptedServer
from tests.openapi import Conformance, find_spec
from vexrepo.remotes.stores.address import Address

_spec = find_spec("qdrant-openapi.json")
CONFORMANCE = Conformance(_spec) if _spec is not None else None
_SHOWN = 12  # points of a request or answer that are held to the description: all are made alike


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Collection:
    """A collection: its shard, and what was said when it was made."""

    shard: Any
    folder: str
    made: dict[str, Any]
    indexes: dict[str, Any] = field(default_factory=dict)
    scrolls: int = 0


class QdrantServer(ScriptedServer):
    """Keeps collections."""

    def __init__(self, key: str | None = None) -> None:
        super().__init__()
        self.collections: dict[str, Collection] = {}
        self.key = key
        self.read_only_key: str | None = None
        self.written: list[Any] = []
        self.most_bytes = 32 << 20
        self.most_points = 1 << 30

    def address(self, collection: str = "agent", options: dict[str, str] | None = None, **more: Any) -> Address:
        return Address("qdrant", f"//{self.host}/{collection}", options or {}, **more)

    def end(self) -> None:
        """Stop; what clients did against the description is an error now."""
        try:
            super().end()
        finally:
            for each in self.collections.values():
                each.shard.close()
                shutil.rmtree(each.folder)

    def make(self, name: str, vectors: dict[str, Any], **more: Any) -> None:
        """Make a collection as another program would."""
        self._create(name, {"vectors": vectors, **more})

    def put(self, name: str, points: list[dict[str, Any]]) -> None:
        """Write points as another program would."""
        self._upsert(self.collections[name], json.loads(json.dumps(points), parse_float=_read_float))

    def points(self, name: str) -> list[dict[str, Any]]:
        """Return all points of a collection, as another program reads them."""
        body = {"limit": 1000, "with_vector": True, "with_payload": True}
        found = orjson.dumps(self._scroll(self.collections[name], body)["points"], option=orjson.OPT_SERIALIZE_NUMPY)
        return list(orjson.loads(found))

    def respond(self, request: Request) -> Said:
        """Return the answer to a request, both held to the description."""
        method, path, query = request.method, request.path, dict(parse_qsl(request.query))
        try:
            given = request.headers.get("api-key")
            is_reading = method == "GET" or path.endswith(("/scroll", "/count"))
            if self.key is not None and given != self.key:
                if given is None or given != self.read_only_key:
                    raise Refused(401, "Must provide an API key or an Authorization bearer token")
                if not is_reading:
                    raise Refused(403, "Forbidden: Global write access is required")
            if len(request.body) > self.most_bytes:
                raise Refused(413, "JSON payload is larger than allowed")
            body = json.loads(request.body) if request.body else None  # not orjson: integers keep their digits
            if CONFORMANCE is not None:
                fault = CONFORMANCE.request_fault(method, path, query, _some(body))
                if fault is not None:
                    self.faults.append(fault)
                    raise Refused(400, f"Format error in JSON body: {fault}")
            if body is not None and "points" in body:
                self.written += body["points"]
                if method == "PUT":
                    read = json.loads(request.body, parse_float=_read_float)["points"]
                    points = zip(body["points"], read, strict=True)
                    body = {"points": [{**each, "payload": other.get("payload")} for each, other in points]}
            result, status = self.answer(method, path, query, body), 200
            value: dict[str, Any] = {"result": result, "status": "ok", "time": 0.001}
        except Refused as error:
            value, status = {"status": {"error": str(error)}, "time": 0.001}, error.status
        said = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        if CONFORMANCE is not None and status == 200:
            shown = orjson.loads(said)
            if isinstance(shown["result"], dict):
                shown["result"] = _some(shown["result"])
            fault = CONFORMANCE.answer_fault(method, path, status, shown)
            if fault is not None:
                self.faults.append(f"our own answer: {fault}")
        return status, {}, said

    # -- operations --------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Return the ``result`` of a request.  Raises: Refused."""
        parts = [unquote(each) for each in path.strip("/").split("/")]
        if parts[0] != "collections" or len(parts) < 2:
            raise Refused(404, "Not found")
        name, rest = parts[1], "/".join(parts[2:])
        if (method, rest) == ("PUT", ""):
            if name in self.collections:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            self._create(name, body)
            return True
        found = self.collections.get(name)
        if found is None:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        if (method, rest) == ("GET", ""):
            return self._info(found)
        if (method, rest) == ("POST", "points/count"):
            return {"count": found.shard.count(engine.CountRequest(exact=True))}
        if (method, rest) == ("POST", "points/scroll"):
            return self._scroll(found, body)
        if (method, rest) == ("POST", "points"):
            ids = [_engine_id(each) for each in body["ids"]]
            return [_shown(each) for each in found.shard.retrieve(ids, body["with_payload"], body["with_vector"])]
        if method == "PUT" and rest == "index":
            found.indexes[body["field_name"]] = body["field_schema"]
        elif method == "PUT" and rest == "points":
            self._upsert(found, body["points"])
        elif (method, rest) == ("POST", "points/delete"):
            found.shard.update(engine.UpdateOperation.delete_points([_engine_id(each) for each in body["points"]]))
        else:
            raise Refused(404, "Not found")
        return {
            "operation_id": len(self.asked),
            "status": "completed" if query.get("wait") == "true" else "acknowledged",
        }

    def _create(self, name: str, body: dict[str, Any]) -> None:
        vectors = body.get("vectors") or {}
        named = {"": vectors} if "size" in vectors else vectors
        if not named and not body.get("sparse_vectors"):
            raise Refused(422, "Validation error in JSON body: [vectors: at least one vector is needed]")
        if "" in (body.get("sparse_vectors") or {}):
            raise Refused(422, "Validation error in JSON body: [sparse_vectors: a name must not be empty]")
        folder = tempfile.mkdtemp(prefix="vex-qdrant-")
        dense = {each: _engine_vector(value) for each, value in named.items()}
        sparse = {each: engine.EdgeSparseVectorParams() for each in body.get("sparse_vectors") or {}}
        shard = engine.EdgeShard.create(
            folder, engine.EdgeConfig(vectors=dense or None, sparse_vectors=sparse, wal_enabled=False)
        )
        self.collections[name] = Collection(shard, folder, body)

    def _info(self, found: Collection) -> dict[str, Any]:
        made = found.made
        params = {
            "vectors": made.get("vectors") or {},
            "shard_number": 1,
            "replication_factor": 1,
            "write_consistency_factor": 1,
            "on_disk_payload": made.get("on_disk_payload", True),
        }
        if made.get("sparse_vectors"):
            params["sparse_vectors"] = made["sparse_vectors"]
        hnsw = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "on_disk": False}
        optimizers = {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "max_segment_size": None,
            "memmap_threshold": None,
            "indexing_threshold": 10000,
            "flush_interval_sec": 5,
            "max_optimization_threads": None,
        }
        count = found.shard.count(engine.CountRequest(exact=True))
        config: dict[str, Any] = {
            "params": params,
            "hnsw_config": hnsw | (made.get("hnsw_config") or {}),
            "optimizer_config": optimizers | (made.get("optimizers_config") or {}),
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1},
            "quantization_config": made.get("quantization_config"),
        }
        for each in ("strict_mode_config", "metadata"):
            if made.get(each) is not None:
                config[each] = made[each]
        return {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 0,
            "points_count": count + 7,  # approximate, as it says
            "segments_count": 2,
            "config": config,
            "payload_schema": {
                name: {"data_type": schema, "points": count}
                if isinstance(schema, str)
                else {"data_type": schema["type"], "params": schema, "points": count}
                for name, schema in found.indexes.items()
            },
        }

    def _scroll(self, found: Collection, body: dict[str, Any]) -> dict[str, Any]:
        found.scrolls += 1
        offset = body.get("offset")
        points, after = found.shard.scroll(
            engine.ScrollRequest(
                offset=None if offset is None else _engine_id(offset),
                limit=body["limit"],
                with_payload=body["with_payload"],
                with_vector=body["with_vector"],
            )
        )
        return {
            "points": [_shown(each) for each in points],
            "next_page_offset": None if after is None else _json_id(after),
        }

    def _upsert(self, found: Collection, points: list[dict[str, Any]]) -> None:
        if len(points) > self.most_points:
            raise Refused(413, "Payload too large")
        strict = found.made.get("strict_mode_config") or {}
        if strict.get("enabled") and len(points) > (strict.get("upsert_max_batchsize") or len(points)):
            raise Refused(400, f"Bad request: Help: upsert limit exceeded {len(points)} > maximum")
        made = [
            engine.Point(
                id=_engine_id(each["id"]),
                vector=_engine_vectors(each["vector"]),
                payload=each.get("payload") or {},
            )
            for each in points
        ]
        try:
            found.shard.update(engine.UpdateOperation.upsert_points(made))
        except Exception as error:  # the engine's one class
            raise Refused(400, f"Wrong input: {error}") from None


# -- between JSON and the engine ---------------------------------------------------------------------------------------


def _shown(point: Any) -> dict[str, Any]:
    return {"id": _json_id(point.id), "payload": point.payload, "vector": _json_vectors(point.vector)}


def _engine_vector(params: dict[str, Any]) -> Any:
    more: dict[str, Any] = {}
    if params.get("multivector_config"):
        more["multivector_config"] = engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim)
    datatype = params.get("datatype")
    if datatype in ("float32", "float16", "uint8"):
        more["datatype"] = getattr(engine.VectorStorageDatatype, datatype.capitalize())
    return engine.EdgeVectorParams(size=params["size"], distance=getattr(engine.Distance, params["distance"]), **more)


def _engine_id(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError:
            raise Refused(
                400,
                f"Format error in JSON body: value {value} is not a valid point ID, valid values are either an "
                "unsigned integer or a UUID",
            ) from None
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise Refused(400, f"Format error in JSON body: value {value} is not a valid point ID")
    return value


def _json_id(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)


def _engine_vectors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _engine_numbers(each) for name, each in value.items()}
    return _engine_numbers(value)


def _engine_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        places = value["indices"]
        if len(places) != len(set(places)) or len(places) != len(value["values"]):
            raise Refused(422, "Validation error in JSON body: [indices: must be unique]")
        return engine.SparseVector(places, value["values"])
    if not value or not all(isinstance(each, list) or math.isfinite(each) for each in value):
        raise Refused(422, "Validation error in JSON body: [vector: a vector must not be empty]")
    return value


def _json_vectors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_vectors(each) for name, each in value.items()}
    if isinstance(value, engine.SparseVector):
        return {"indices": value.indices, "values": np.array(value.values, "<f4")}
    return np.array(value, "<f4")


def _read_float(text: str) -> float:
    """Return what Qdrant's JSON parser (serde_json without float_roundtrip) makes of a number as it is sent."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, power = int(whole + fraction), int(exponent or 0) - len(fraction)
    assert digits < 1 << 64, f"{text}: what the parser does with more digits is not done here"
    found = float(digits)
    while power < -308:
        found, power = found / 1e308, power + 308
    found = found / float(f"1e{-power}") if power < 0 else found * float(f"1e{power}")
    return -found if mantissa.startswith("-") else found


def _some(body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("points"), list):
        return {**body, "points": body["points"][:_SHOWN]}
    return body
