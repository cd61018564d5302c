"""Records as points: how a record lies in a store of vectors with payloads, and how it is read back exactly.

A point is a native id, a payload (members that people and agents can filter by) and vectors.  The payload has the
record's text, namespace, model and time, and each member of its metadata that the store can hold, under its own name.
What that leaves out is in one reserved member, ``_vex``: the *patch* that makes the record of what the point natively
reads as.  Each entry says what the native form was when it was written; where it is otherwise now, an agent edited the
memory, and the edit counts.  Law: for every record, ``read(write(record)) == record``.  Format: remotes/STORES.md.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, key_of, with_body
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.carry import ABSENT
from vexrepo.remotes.stores.point_carried import Carried, apply_patch, encode_carried, make_patch, parse_carried

RESERVED: Final = "_vex"
VERSION: Final = 1
MOST_KEPT: Final = 1024  # characters of what is carried, where it is kept to be encoded and parsed once
_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
TEXTS: Final = ("text", "content", "document", "page_content", "data", "memory", "body", "chunk", "passage")


@dataclass(frozen=True, slots=True)
class Fields:
    """What the members of a payload are called that are not metadata.

    ``complete`` adds to a payload what those who read it expect beside (``profiles``); it is given the record, too.
    """

    text: str = "text"
    namespace: str = "namespace"
    model: str = "model"
    created_at: str = "created_at"
    complete: Callable[[dict[str, Any], Mapping[str, Any]], None] | None = None

    @property
    def members(self) -> tuple[tuple[str, str], ...]:
        """Each member of a record that is one of the payload, and what it is called there."""
        return _members(self)

    @property
    def taken(self) -> frozenset[str]:
        """Names that metadata cannot have in a payload."""
        return _taken(self)


@functools.lru_cache(maxsize=64)
def _members(fields: Fields) -> tuple[tuple[str, str], ...]:
    return (
        ("text", fields.text),
        ("namespace", fields.namespace),
        ("model", fields.model),
        ("created_at", fields.created_at),
    )


@functools.lru_cache(maxsize=64)
def _taken(fields: Fields) -> frozenset[str]:
    return frozenset((*(name for _, name in _members(fields)), RESERVED, "id"))


class Point(NamedTuple):
    """One point.  ``vectors`` are as the store holds them, float32 without a model; the main one has the name ""."""

    id: str
    payload: dict[str, Any]
    vectors: tuple[Vector, ...]


class BadPoint(Point):
    """A point that makes no record, as a connector found already; its payload says why."""

    __slots__ = ()

    @classmethod
    def of(cls, identifier: str, error: InvalidData) -> BadPoint:
        """Return the point that ``error`` is said of; it is reported in its place, and its id stays its own."""
        return cls(identifier, {"why": str(error), "code": error.code}, ())

    @property
    def error(self) -> InvalidData:
        """What is wrong with it."""
        return InvalidData(self.payload["why"], code=self.payload["code"])


# -- writing -----------------------------------------------------------------------------------------------------------


def write_point(
    record: Record,
    native: str,
    can: Capabilities,
    fields: Fields,
    placeholder_dims: int = 0,
    fills: Mapping[str, Any] | None = None,
) -> Point:
    """Return the point of a record, under a native id.

    ``placeholder_dims`` are those of the main vector, for a store that needs one where the record has none.  ``fills``
    stand for the store's (``Capabilities.fills``) where those differ between points.
    """
    original = body_value(record.body)
    payload, absent, patch = _split(original, native, can, fields)
    fills = can.fills if fills is None else fills
    if not fills.keys() <= payload.keys() or fields.complete is not None:
        payload = {**fills, **payload}
        if fields.complete is not None:
            fields.complete(payload, original)
        absent, patch = _difference(payload, original, fields)
    held = native_vectors(record.vectors, can)
    decimals, rows = _carried_vectors(record.vectors, held)
    rest: dict[str, Any] = {}
    if native != original["id"]:
        rest["k"] = [native, original["id"]]
    if patch:
        rest["b"] = patch
    if rows:
        rest["s"] = rows
    if can.needs_vector and placeholder_dims and not any(item.space.name == MAIN for item in held):
        rest["p"] = 1
        held.insert(0, placeholder(placeholder_dims))
    if text_name(payload) not in (None, fields.text):
        rest["t"] = fields.text
    if rest or absent or decimals:
        payload[RESERVED] = encode_carried(absent, decimals, rest)
    return Point(native, payload, tuple(held))


def placeholder(dims: int) -> Vector:
    """Return the vector that stands for none: of length 1, since some stores refuse zeros."""
    return Vector(Space(MAIN, "dense", None, dims, "f32"), b"\0\0\x80\x3f" + bytes(4 * dims - 4))


def _split(
    original: Mapping[str, Any], native: str, can: Capabilities, fields: Fields
) -> tuple[dict[str, Any], dict[str, Any], list[list[Any]]]:
    """Return the payload of a record, the members it says nothing of, and the patch for metadata that is partly held.

    The two are what ``_difference`` finds, in one pass.
    """
    payload: dict[str, Any] = {}
    absent: dict[str, Any] = {}
    patch: list[list[Any]] = []
    holds, holds_name, holds_member = can.holds, can.holds_name, can.holds_member
    names = _names(fields)
    for member, held in original.items():
        name = names.get(member)
        if name is not None:
            kind = type(held)
            is_right = kind is str or (member == "created_at" and kind in (int, float))
            # Somebody else's member of that name: what it says stays where they look for it.
            is_right = is_right or (member != "namespace" and kind in (dict, list))
            if is_right and holds(held) and holds_member(name, held):
                payload[name] = held
            else:
                absent[member] = held
        elif member == "metadata" and type(held) is dict:
            taken, left = fields.taken, {}
            if can.holds_id_member and not (can.drops_id_member and str(held.get("id")) == native):
                taken = taken - {"id"}
            for inner, item in held.items():
                if inner not in taken and holds_name(inner) and holds_member(inner, item):
                    if holds(item):
                        payload[inner] = item
                        continue
                    # Those who read the store natively are to find it, though it be a last digit off.
                    near = can.nearest(item)
                    if near is not item and holds(near) and holds_member(inner, near):
                        payload[inner] = near
                        patch += make_patch(near, item, (member, inner))
                        continue
                left[inner] = item
            if len(left) == len(held):
                absent[member] = held
            else:
                patch += [[[member, inner], [], [item]] for inner, item in left.items()]
                patch.sort(key=_path)
        elif member != "id":
            absent[member] = held
    return payload, absent, patch


def _difference(
    payload: Mapping[str, Any], original: Mapping[str, Any], fields: Fields
) -> tuple[dict[str, Any], list[list[Any]]]:
    plain = _plain_value("", payload, fields)
    absent: dict[str, Any] = {}
    patch: list[list[Any]] = []
    for name, now in original.items():
        was = plain.pop(name, ABSENT)
        if name == "id":
            continue
        if was is ABSENT:
            absent[name] = now
        elif was is not now:
            patch += make_patch(was, now, (name,))
    for name, was in plain.items():
        if isinstance(was, dict):  # member by member, so that what an agent adds does not bring back the others
            patch += [[[name, inner], [held], []] for inner, held in sorted(was.items())]
            was = {}
        patch.append([[name], [was], []])
    return absent, patch


@functools.lru_cache(maxsize=64)
def _names(fields: Fields) -> dict[str, str]:
    return dict(_members(fields))


def native_vectors(vectors: Sequence[Vector], can: Capabilities) -> list[Vector]:
    """Return those of a record's vectors that a store holds itself, as it is given them."""
    found = []
    for item in vectors:
        space = item.space
        if space.kind not in can.kinds or not can.has_vector(space.name):
            continue
        row = item.row if space.dtype != "f64" else _rounded(item)
        if row is not None:
            held = Vector(_native_space(space), row)
            if can.holds_vector(held):
                found.append(held)
    return found


@functools.lru_cache(maxsize=256)
def _native_space(space: Space) -> Space:
    return Space(space.name, space.kind, None, space.dims, "f32")


def _rounded(item: Vector) -> bytes | None:
    """Return a row of doubles as float32, None where a number is beyond their range."""
    import numpy as np

    head = len(item.row) * 4 // 12 if item.space.kind == "sparse" else 0
    with np.errstate(over="ignore"):
        values = np.frombuffer(item.row[head:], "<f8").astype("<f4")
    return item.row[:head] + values.tobytes() if np.isfinite(values).all() else None


def _carried_vectors(original: Sequence[Vector], native: Sequence[Vector]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Return what of a record's vectors the native ones do not say.

    The names of those whose numbers are short decimals, and those that are carried: each [space, base64 of the row,
    whether there is a native one, too].
    """
    if len(original) == len(native) == 1 and original[0].row == native[0].row:
        return (((original[0].space.name,) if original[0].space.dtype == "f32d" else ()), [])
    held = {item.space.name: item.row for item in native}
    decimals, carried = [], []
    for space, row in original:
        found = held.get(space.name)
        if found != row:
            carried.append([space.encode().decode(), base64.b64encode(row).decode(), int(found is not None)])
        elif space.dtype == "f32d":
            decimals.append(space.name)
    return tuple(decimals), carried


# -- reading -----------------------------------------------------------------------------------------------------------


def read_point(point: Point, can: Capabilities, fields: Fields) -> Record:
    """Return the record of a point: what was written, with what was edited since.

    Raises: InvalidData where the point makes no record.
    """
    identifier, payload, vectors = point
    value = _plain_value(identifier, payload, fields)
    carried = _carried(payload.get(RESERVED), identifier)
    model = value.get("model")
    if carried is None:
        model = model if type(model) is str else None
        read = tuple([_of_model(item, model, "f32") for item in vectors])
        return with_body(
            key_of(value), canonical.encode(value), read if len(read) < 2 else tuple(sorted(read, key=_name))
        )
    if carried.id is not None:
        value["id"] = carried.id
    for name, held in carried.absent.items():
        found = value.get(name, ABSENT)
        if found is ABSENT:
            value[name] = held
        elif isinstance(held, dict) and isinstance(found, dict):
            value[name] = {**held, **found}  # nothing of it could be held; what an agent put there since joins it
    for path, was, now in carried.patch:
        apply_patch(value, path, was[0] if was else ABSENT, now[0] if now else ABSENT)
    model = value.get("model")
    model = model if type(model) is str else None
    if len(vectors) == 1 and not carried.rows and not carried.is_placeholder:
        (item,) = vectors
        read = (_of_model(item, model, "f32d" if item.space.name in carried.decimals else "f32"),)
    else:
        read = _read_vectors(vectors, carried, model, can)
    _fit(value, read)
    return with_body(key_of(value), canonical.encode(value), read)


def _plain_value(native: str, payload: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return a record's members as a point natively reads."""
    value: dict[str, Any] = {"id": native}
    metadata = dict(payload)
    metadata.pop(RESERVED, None)
    for member, name in fields.members:
        if name in metadata:
            held = metadata[name]
            if member == "namespace" and not (held is None or isinstance(held, str)):
                continue  # somebody else's member of that name
            value[member] = metadata.pop(name)
    if metadata:
        value["metadata"] = metadata
    return value


def text_name(payload: Mapping[str, Any]) -> str | None:
    """Return which member of a payload looks like its text, as somebody who does not know would say."""
    for name in TEXTS:
        if isinstance(payload.get(name), str):
            return name
    return None


def told_text_name(payload: Mapping[str, Any]) -> str | None:
    """Return which member of a payload is its text: as it says itself, else as it looks."""
    carried = parse_carried(payload.get(RESERVED))
    return carried.text if carried is not None and carried.text is not None else text_name(payload)


def _carried(text: Any, native: str) -> Carried | None:
    """Return what a reserved member says, None where it says nothing about this point."""
    found = parse_carried(text)
    if found is not None and found.native is not None and found.native != native:
        return None  # copied from another point
    return found


def _read_vectors(
    native: Sequence[Vector], carried: Carried, model: str | None, can: Capabilities
) -> tuple[Vector, ...]:
    held = {item.space.name: item for item in native}
    main = held.get(MAIN)
    if carried.is_placeholder and main is not None and main == placeholder(main.space.dims):
        del held[MAIN]
    decimals = carried.decimals
    found = {name: _of_model(item, model, "f32d" if name in decimals else "f32") for name, item in held.items()}
    for original, was_native in carried.rows:
        name = original.space.name
        now = held.get(name)
        if now is None:
            if was_native:
                continue  # an agent took it away
        else:
            then = native_vectors([original], can) if was_native else []
            if not then or not can.alters.is_same(then[0], now):
                continue  # an agent put another there
        found[name] = _of_model(original, model, original.space.dtype)
    return tuple(sorted(found.values(), key=_name)) if len(found) > 1 else tuple(found.values())


def _name(item: Vector) -> str:
    return item.space.name


def _path(entry: list[Any]) -> list[str]:
    path: list[str] = entry[0]
    return path


def _of_model(item: Vector, model: str | None, dtype: Any) -> Vector:
    return Vector(_space(item.space, model, dtype), item.row)


@functools.lru_cache(maxsize=256)
def _space(space: Space, model: str | None, dtype: Any) -> Space:
    return Space(space.name, space.kind, model, space.dims, dtype)


def _fit(value: dict[str, Any], vectors: Sequence[Vector]) -> None:
    """Make a body say nothing of its vectors that is not so, where an agent changed them."""
    for space, _ in vectors:
        if space.name == MAIN:
            value.pop("vector", None)
            dims = value.get("dims")
            if space.kind == "dense" and dims is not None and dims != space.dims:
                value["dims"] = space.dims
        else:
            value.pop("vectors", None)
