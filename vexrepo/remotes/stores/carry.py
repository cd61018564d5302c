"""Carrying what a store cannot hold, and joining it again with what the store holds now.

Most stores keep less than a record says: no model, flat metadata, single precision.  A connector writes the
closest native form, reads it back, and where that is not the record it keeps, beside the native form, the
*original* and the *projection*: the record as it read natively right after the write.  On the next read:

- the native form still reads as the projection: the original is what the store holds;
- it differs: somebody edited the memory there.  ``reconcile`` applies exactly the members that differ between
  the projection then and now to the original, so an agent's edit wins for what it touched and the rest is kept.

Where and how carried records are kept is each connector's own affair; this module is pure.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import replace
from typing import Any, Final

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, from_parts, key_of, record_id
from vexrepo.objects.vector import MAIN, Space, Vector, check_row


class _Absent:
    """The type of ABSENT: no such member, as against null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
_NUMBERS: Final = frozenset((int, float))
_PLAIN: Final = _NUMBERS | {str, bool, type(None)}


def reconcile(original: Record, then: Record, now: Record) -> Record:
    """Return ``original`` with the changes a store's native form saw between ``then`` and ``now``.

    All three are records; ``then`` and ``now`` are native projections.  Laws, for all records o, p, n:
    ``reconcile(o, p, p) == o``; ``reconcile(p, p, n) == n``; every member (of the body or of its objects, at any
    depth) and every named vector that differs between p and n is as in n, any other as in o.  A vector's model
    follows the resulting record's ``model``, which is how records are read from JSON.
    Raises: InvalidData (id-missing, namespace-type) where the changed members make no record.
    """
    value = reconcile_value(body_value(original.body), body_value(then.body), body_value(now.body))
    kept, before, after = ({item.space.name: item for item in each.vectors} for each in (original, then, now))
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        kept.pop(name, None)
        if new is not None:
            kept[name] = new
    if MAIN in kept:
        # A body's own "vector" is null or []; it must not stand beside a real one.
        value.pop("vector", None)
        if before.get(MAIN) != after.get(MAIN):
            _fit_dims(value, kept[MAIN].space)
    if any(name != MAIN for name in kept):
        value.pop("vectors", None)
    model = value.get("model")
    if not isinstance(model, str):
        model = None
    vectors = tuple(
        item if item.space.model == model else Vector(replace(item.space, model=model), item.row)
        for _, item in sorted(kept.items())
    )
    body = canonical.encode(value)
    return Record(key_of(value), record_id(body, vectors), body, vectors)


def _fit_dims(value: dict[str, Any], space: Space) -> None:
    # A store that does not show dims changed the vector's length: the number it had would now be a lie.
    dims = value.get("dims")
    if space.kind == "dense" and dims is not None and dims != space.dims:
        value["dims"] = space.dims


def reconcile_value(original: Any, then: Any, now: Any) -> Any:
    """Return ``original`` with the difference between ``then`` and ``now`` applied, member by member.

    Plain JSON values; objects are descended into, anything else is replaced as a whole.  ABSENT stands for a
    member that is not there.  No argument is changed.
    """
    if is_same(then, now):
        return original
    if original is None:
        original = ABSENT  # null held nothing that could get lost
    if not all(item is ABSENT or isinstance(item, dict) for item in (original, then, now)):
        return now
    merged = {} if original is ABSENT else dict(original)
    before, after = ({} if item is ABSENT else item for item in (then, now))
    for name in before.keys() | after.keys():
        held = merged.get(name, ABSENT)
        result = reconcile_value(held, before.get(name, ABSENT), after.get(name, ABSENT))
        if result is ABSENT:
            merged.pop(name, None)
        else:
            merged[name] = result
    return ABSENT if now is ABSENT and not merged else merged


def is_same(one: Any, other: Any) -> bool:
    """Return whether two JSON values (or ABSENT) have the same canonical form: 1 is 1.0 and is not true."""
    kind = type(one)
    if kind in _PLAIN:
        if type(other) is kind:
            return bool(one == other)
        # Of two kinds of value only numbers can be the same.
        if kind not in _NUMBERS or type(other) not in _NUMBERS:
            return False
    elif one is ABSENT or other is ABSENT:
        return one is other
    return canonical.encode(one) == canonical.encode(other)


def pack_vectors(vectors: tuple[Vector, ...], native: bytes | None) -> tuple[bytes, bytes]:
    """Return (index, rows): the spaces as canonical JSON with each row's length, and the rows, concatenated.

    A row that is the ``native`` bytes the store holds itself is left out; its length is given as -1.
    """
    index, rows = [], []
    for item in vectors:
        if native is not None and item.row == native:
            index.append([item.space.encode().decode(), -1])
        else:
            index.append([item.space.encode().decode(), len(item.row)])
            rows.append(item.row)
    return canonical.encode(index), b"".join(rows)


def unpack_vectors(index: bytes, rows: bytes, native: bytes | None) -> tuple[Vector, ...]:
    """Return the vectors packed by ``pack_vectors``; without ``native`` the rows it stands for are missing.

    Raises: InvalidData (unsupported-value, dims-mismatch, not-finite) where they were damaged.
    """
    found, at = [], 0
    for space, length in _parse_index(index):
        if length < 0:
            if native is not None:
                found.append(Vector(space, native))
            continue
        row = rows[at : at + length]
        at += length
        check_row(space, row)
        found.append(Vector(space, row))
    if at != len(rows):
        raise InvalidData(f"carried vectors have {len(rows)} bytes, expected {at}", code="unsupported-value")
    return tuple(found)


def carried_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON, for files that carry some: its body, its vectors packed, in base64."""
    index, rows = (base64.b64encode(raw).decode() for raw in pack_vectors(record.vectors, None))
    return {"record": body_value(record.body), "index": index, "rows": rows}


def carried_record(value: Any) -> Record:
    """Return the record that ``carried_json`` was made of.

    Raises: InvalidData, KeyError, TypeError, binascii.Error where it was damaged.
    """
    packed = [base64.b64decode(value[name], validate=True) for name in ("index", "rows")]
    return from_parts(canonical.encode(value["record"]), unpack_vectors(packed[0], packed[1], None))


@functools.lru_cache(maxsize=256)
def _parse_index(index: bytes) -> tuple[tuple[Space, int], ...]:
    value = canonical.parse(index)
    if not isinstance(value, list):
        raise InvalidData("the index of carried vectors is not a list", code="unsupported-value")
    found = []
    for entry in value:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and type(entry[1]) is int):
            raise InvalidData(f"not an entry of carried vectors: {entry!r:.60}", code="unsupported-value")
        found.append((Space.decode(entry[0].encode()), entry[1]))
    return tuple(found)
