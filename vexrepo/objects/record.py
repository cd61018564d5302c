"""A record: one memory, as canonical body bytes plus its vectors.

The body is the record's canonical JSON without its vectors: ``vector`` when it is a non-empty array, and
``vectors`` (named ones) when every member has the shape of a vector.  Everything else, unknown members
included, stays in the body as it came.  Format: objects/FORMAT.md, "Records".
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical, vector
from vexrepo.objects.digest import RecordId
from vexrepo.objects.vector import MAIN, Space, Vector

_U32 = struct.Struct("<I")
MAX_BODY_BYTES = 64 << 20
MAX_KEY_BYTES = 1 << 20


class Record(NamedTuple):
    """One memory.  Sorts by key; ``id`` covers body and vectors.  ``vectors`` are sorted by name."""

    key: bytes
    id: RecordId
    body: bytes
    vectors: tuple[Vector, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record as a vmig JSON object, vectors included."""
        value = body_value(self.body)
        for item in self.vectors:
            if item.space.name == MAIN:
                value["vector"] = vector.to_json(item)
            else:
                value.setdefault("vectors", {})[item.space.name] = vector.to_json(item)
        return value

    @property
    def text(self) -> str:
        """The memory's text, or "" if it has none."""
        found = body_value(self.body).get("text")
        return found if isinstance(found, str) else ""


def body_value(body: bytes) -> dict[str, Any]:
    """Return the members of a record body."""
    value = canonical.parse(body)
    if not isinstance(value, dict):
        raise InvalidData("a record body is not a JSON object", code="not-an-object")
    return value


def record_id(body: bytes, vectors: tuple[Vector, ...]) -> RecordId:
    """Return the id of a record.  Vectors count in order of their names."""
    parts = [b"vex:record:1\n", _U32.pack(len(body)), body]
    for space, row in vectors:
        parts += (_framed(space), _U32.pack(len(row)), row)
    return RecordId(blake3(b"".join(parts)).digest())


@functools.lru_cache(maxsize=256)
def _framed(space: Space) -> bytes:
    encoded = space.encode()
    return _U32.pack(len(encoded)) + encoded


def frame_vector(space: Space, row_bytes: int) -> bytes:
    """Return what stands before a vector's row in what a record's id is made of: for ``framed_id``."""
    return _framed(space) + _U32.pack(row_bytes)


def framed_id(body: bytes, frame: bytes, row: bytes) -> RecordId:
    """Return the id of a record with one vector, as ``record_id``; ``frame`` serves all of one space and length."""
    return RecordId(blake3(b"".join((b"vex:record:1\n", _U32.pack(len(body)), body, frame, row))).digest())


def framed_ids(bodies: Iterable[bytes], frame: bytes, rows: Iterable[bytes]) -> list[RecordId]:
    """Return the ids of many records with one vector each, as ``framed_id``."""
    join, pack, name = b"".join, _U32.pack, RecordId
    return [
        name(blake3(join((b"vex:record:1\n", pack(len(body)), body, frame, row))).digest())
        for body, row in zip(bodies, rows, strict=True)
    ]


def make_key(namespace: str, identifier: str) -> bytes:
    """Return the key bytes of a record: sorts by namespace, then id, in code point order."""
    space = namespace.encode()
    if b"\0" in space:
        space = space.replace(b"\0", b"\0\xff")
    return space + b"\0\x01" + identifier.encode()


def split_key(key: bytes) -> tuple[str, str]:
    """Return (namespace, id) of key bytes.  Raises: InvalidData (not-canonical)."""
    space, mark, identifier = key.partition(b"\0\x01")
    try:
        if mark:
            return space.replace(b"\0\xff", b"\0").decode(), identifier.decode()
    except UnicodeDecodeError:
        pass
    raise InvalidData(f"not a record key: {key[:60]!r}", code="not-canonical")


def key_name(key: bytes) -> str:
    """Return ``NAMESPACE/ID``, or the id alone where there is no namespace, as users write it."""
    namespace, identifier = split_key(key)
    return f"{namespace}/{identifier}" if namespace else identifier


def key_of(value: dict[str, Any]) -> bytes:
    """Return the key of a record's JSON object.  Raises: InvalidData (id-missing, namespace-type)."""
    identifier = value.get("id")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidData(f"a record needs an id that is a non-empty string, got {identifier!r:.40}", code="id-missing")
    namespace = value.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise InvalidData(
            f"namespace must be a string or null, got {namespace!r:.40}",
            code="namespace-type",
        )
    try:
        key = make_key(namespace or "", identifier)
    except UnicodeEncodeError:
        raise InvalidData("id or namespace holds a lone surrogate", code="lone-surrogate") from None
    if len(key) > MAX_KEY_BYTES:
        raise InvalidData(
            f"id and namespace take {len(key)} bytes, the limit is {MAX_KEY_BYTES}", code="limit-exceeded"
        )
    return key


def from_json(value: dict[str, Any]) -> Record:
    """Return the record of a vmig JSON object.  ``value`` is used up: its vectors are taken out of it.

    Raises: InvalidData (id-missing, namespace-type, vector-type, dims-mismatch, not-finite, lone-surrogate,
    too-deep, limit-exceeded).
    """
    vectors: tuple[Vector, ...] = ()
    main = value.get("vector")
    if main is not None:
        found = vector.from_json(MAIN, model_of(value), main)
        if found is not None:
            vectors = (take_vector(value, found),)
        elif main != []:
            raise InvalidData(
                f"vector must be an array of numbers or null, got {type(main).__name__}", code="vector-type"
            )
    vectors += _take_named(value)
    return with_body(key_of(value), canonical.encode(value), vectors)


def model_of(value: dict[str, Any]) -> str | None:
    """Return the embedding model a record's JSON object names."""
    model = value.get("model")
    return model if isinstance(model, str) else None


def take_vector(value: dict[str, Any], found: Vector) -> Vector:
    """Take ``vector`` out of a record's JSON object in favour of ``found``.  Raises: InvalidData (dims-mismatch)."""
    del value["vector"]
    dims = value.get("dims")
    if dims is not None and found.space.kind == "dense" and (dims != found.space.dims or isinstance(dims, bool)):
        raise InvalidData(f"dims says {dims!r:.40} but the vector has {found.space.dims} numbers", code="dims-mismatch")
    return found


def _take_named(value: dict[str, Any]) -> tuple[Vector, ...]:
    named = value.get("vectors")
    if not isinstance(named, dict) or not named or MAIN in named:
        return ()
    model = model_of(value)
    found = [vector.from_json(name, model, item) for name, item in sorted(named.items())]
    if None in found:
        return ()
    del value["vectors"]
    return tuple(item for item in found if item is not None)


def with_body(key: bytes, body: bytes, vectors: tuple[Vector, ...]) -> Record:
    """Return the record of a key, canonical body bytes and vectors.  Raises: InvalidData (too-long)."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidData(f"a record body of {len(body)} bytes is above the limit of {MAX_BODY_BYTES}", code="too-long")
    return Record(key, record_id(body, vectors), body, vectors)


def from_parts(body: bytes, vectors: tuple[Vector, ...]) -> Record:
    """Return the record of canonical body bytes and vectors, its key and id computed."""
    return Record(key_of(body_value(body)), record_id(body, vectors), body, vectors)


def check_record(record: Record) -> bytes:
    """Return the key that a record's content gives, after checking that it is in the one form it can have.

    Raises: InvalidData where the body is not canonical, still holds a vector, or disagrees with its vectors.
    """
    value = canonical.decode(record.body)
    if not isinstance(value, dict):
        raise InvalidData("a record body is not a JSON object", code="not-an-object")
    key = key_of(value)
    model = value.get("model")
    if any(item.space.model != (model if isinstance(model, str) else None) for item in record.vectors):
        raise InvalidData("a vector is of another model than its record", code="object-corrupt")
    dims = value.get("dims")
    main = next((item.space for item in record.vectors if item.space.name == MAIN), None)
    if dims is not None and main is not None and main.kind == "dense" and dims != main.dims:
        raise InvalidData(f"dims says {dims!r:.40} but the vector has {main.dims} numbers", code="dims-mismatch")
    # Rare: members that could have been vectors, or stand where they did.
    if ("vectors" in value or value.get("vector") is not None) and from_json(record.to_json()) != record:
        raise InvalidData("a record's body and vectors are not divided as they should be", code="object-corrupt")
    if main is not None and "vector" in value:
        raise InvalidData("a record has a vector in its body as well", code="object-corrupt")
    return key
