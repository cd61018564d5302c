"""Records of a Pinecone index as it gives them and as it takes them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.json_numbers import single
from vexrepo.remotes.stores.pinecone_index import NOTHING_SPARSE, SPARSE
from vexrepo.remotes.stores.points import BadPoint, Point


def read_record(identifier: str, value: Any, row: bytes | None = None, *, is_sparse: bool) -> Point:
    """Return the point of a record; ``row``: its vector, where the record has only its place.

    ``is_sparse``: of an index of sparse vectors alone.
    """
    vectors: list[Vector] = []
    try:
        values, sparse, payload = value.get("values"), value.get("sparseValues"), value.get("metadata")
        if row is not None:
            vectors.append(single(MAIN, row))
        elif values:
            row = struct.pack(f"<{len(values)}f", *values)
            vectors.append(Vector(Space(MAIN, "dense", None, len(values), "f32"), row))
        if sparse and (sparse["indices"], sparse["values"]) != NOTHING_SPARSE:
            places, weights = sparse["indices"], sparse["values"]
            row = struct.pack(f"<{len(places)}I{len(weights)}f", *places, *weights)
            if len(places) != len(weights):
                raise ValueError("as many places as values")
            name = MAIN if is_sparse else SPARSE
            vectors.append(Vector(Space(name, "sparse", None, 0, "f32"), row))
    except (struct.error, TypeError, ValueError, AttributeError, LookupError):
        why = "its vector has something else than numbers in it"
        return BadPoint.of(identifier, InvalidData(why, code="vector-type"))
    payload = payload if isinstance(payload, dict) else {}
    return Point(identifier, {name: _number(each) for name, each in payload.items()}, tuple(vectors))


def encode_record(point: Point, *, is_sparse: bool) -> bytes:
    """Return the JSON of a record; ``is_sparse``: for an index of sparse vectors alone, which wants one."""
    value: dict[str, Any] = {"id": point.id, "metadata": point.payload}
    for space, row in point.vectors:
        if space.kind == "dense":
            value["values"] = np.frombuffer(row, "<f4")
            continue
        count = len(row) // 8
        places, weights = np.frombuffer(row[: 4 * count], "<u4"), np.frombuffer(row[4 * count :], "<f4")
        value["sparseValues"] = {"indices": places, "values": weights}
    if is_sparse and "sparseValues" not in value:
        value["sparseValues"] = dict(zip(("indices", "values"), NOTHING_SPARSE, strict=True))
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _number(value: Any) -> Any:
    """Return a double that is a whole number as that: it is the same, and quicker to write as JSON."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 1 << 53 else value
