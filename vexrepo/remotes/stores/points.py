"""Records as points: how a record lies in a store of vectors with payloads, and how it is read back exactly.

A point is a native id, a payload (members that people and agents can filter by) and vectors.  The payload has the
record's text, namespace, model and time, and each member of its metadata that the store can hold, under its own name.
What that leaves out is in one reserved member, ``_vex``: the *patch* that makes the record of what the point natively
reads as.  Each entry says what the native form was when it was written; where it is otherwise now, an agent edited the
memory, and the edit counts.  Law: for every record, ``read(write(record)) == record``.  Format: remotes/STORES.md.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, key_of, with_body
from vexrepo.objects.vector import MAIN, Space, Vector, check_row
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.carry import ABSENT, is_same

RESERVED: Final = "_vex"
VERSION: Final = 1
_LAST: Final = f'"v":{VERSION}}}'  # of what is carried
_NAMED: Final = frozenset(("k",))
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
    payload, absent, patch = _split(original, can, fields)
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
        payload[RESERVED] = _encode_carried(absent, decimals, rest)
    return Point(native, payload, tuple(held))


def _encode_carried(absent: dict[str, Any], decimals: tuple[str, ...], rest: dict[str, Any]) -> str:
    if rest.keys() <= _NAMED and is_usual(absent):
        usual = encode_usual(absent, decimals)
        if not rest:
            return usual
        named = canonical.encode(rest["k"]).decode()  # behind "a" and "f", before "v"
        return f'{usual[: -len(_LAST)]}"k":{named},{_LAST}'
    return _encode_anew(absent, decimals, rest)


def _encode_anew(absent: dict[str, Any], decimals: tuple[str, ...], rest: dict[str, Any]) -> str:
    carried = {**rest, "v": VERSION}
    if absent:
        carried["a"] = absent
    if decimals:
        carried["f"] = list(decimals)
    return canonical.encode(carried).decode()


def is_usual(absent: dict[str, Any]) -> bool:
    """Whether what is carried is short: most records of a memory carry the same."""
    values = absent.values()
    return _SCALARS.issuperset(map(type, values)) and sum([len(v) for v in values if type(v) is str]) <= MOST_KEPT


def encode_usual(absent: dict[str, Any], decimals: tuple[str, ...]) -> str:
    """Return the reserved member of a record that only has members to be added; encoded once for all that say it."""
    values = tuple(absent.values())
    return _encode_known(
        tuple(absent), values, tuple(map(type, values)), decimals
    )  # true is no 1, though they are equal


@functools.lru_cache(maxsize=512)
def _encode_known(
    names: tuple[str, ...], values: tuple[Any, ...], kinds: tuple[type, ...], decimals: tuple[str, ...]
) -> str:
    return _encode_anew(dict(zip(names, values, strict=True)), decimals, {})


def placeholder(dims: int) -> Vector:
    """Return the vector that stands for none: of length 1, since some stores refuse zeros."""
    return Vector(Space(MAIN, "dense", None, dims, "f32"), b"\0\0\x80\x3f" + bytes(4 * dims - 4))


def _split(
    original: Mapping[str, Any], can: Capabilities, fields: Fields
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
            is_right = type(held) is str or (member == "created_at" and type(held) in (int, float))
            if is_right and holds(held) and holds_member(name, held):
                payload[name] = held
            else:
                absent[member] = held
        elif member == "metadata" and type(held) is dict:
            taken, left = fields.taken, {}
            for inner, item in held.items():
                if inner not in taken and holds_name(inner) and holds(item) and holds_member(inner, item):
                    payload[inner] = item
                else:
                    left[inner] = item
            if len(left) == len(held):
                absent[member] = held
            else:
                patch += [[[member, inner], [], [item]] for inner, item in sorted(left.items())]
        elif member != "id":
            absent[member] = held
    return payload, absent, patch


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
        _apply(value, path, was[0] if was else ABSENT, now[0] if now else ABSENT)
    model = value.get("model")
    model = model if type(model) is str else None
    if len(vectors) == 1 and not carried.rows and not carried.is_placeholder:
        (item,) = vectors
        read = (_of_model(item, model, "f32d" if item.space.name in carried.decimals else "f32"),)
    else:
        read = _read_vectors(vectors, carried, model, can)
    _fit(value, read)
    return with_body(key_of(value), canonical.encode(value), read)


class Carried(NamedTuple):
    """What a reserved member says: see remotes/STORES.md."""

    native: str | None
    id: str | None
    absent: dict[str, Any]
    patch: list[list[Any]]
    decimals: frozenset[str]
    rows: list[tuple[Vector, bool]]  # carried vectors, and of each whether there was a native one
    is_placeholder: bool
    text: str | None

    @property
    def is_usual(self) -> bool:
        """Whether it only adds members, and says how numbers were printed."""
        return self.native is None and not (self.patch or self.rows or self.is_placeholder)


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


def parse_carried(text: Any) -> Carried | None:
    """Return what a reserved member says, None where it is nothing of ours."""
    if type(text) is not str:
        return None
    # What most points carry says the same of all: parsed once.  Long ones are rows, each its own.
    return _parse_short(text) if len(text) <= MOST_KEPT else _parse(text)


def _parse(text: str) -> Carried | None:
    try:
        value = canonical.parse(text.encode())
    except (InvalidData, UnicodeEncodeError):
        return None  # not ours, or damaged: the point reads as it natively does
    if not isinstance(value, dict) or value.get("v") != VERSION:
        return None
    match value.get("k"):
        case None:
            native = identifier = None
        case [str(native), str(identifier)]:
            pass
        case _:
            return None
    absent, patch, decimals = value.get("a", {}), value.get("b", []), value.get("f", [])
    told = value.get("t")
    is_right = isinstance(absent, dict) and "id" not in absent and (told is None or isinstance(told, str))
    if not (is_right and _is_patch(patch) and _are_names(decimals)):
        return None
    try:
        rows = _parse_rows(value.get("s", []))
    except InvalidData:
        return None
    return Carried(native, identifier, absent, patch, frozenset(decimals), rows, "p" in value, told)


_parse_short = functools.lru_cache(maxsize=512)(_parse)


def _is_patch(patch: Any) -> bool:
    if not isinstance(patch, list):
        return False
    for entry in patch:
        match entry:
            case [[str(), *path], [*was], [*now]] if len(was) <= 1 and len(now) <= 1:
                if not _are_names(path):
                    return False
            case _:
                return False
    return True


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _parse_rows(entries: Any) -> list[tuple[Vector, bool]]:
    """Return carried vectors, and of each whether there was a native one.  Raises: InvalidData."""
    found: list[tuple[Vector, bool]] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        match entry:
            case [str(space), str(row), (0 | 1) as was_native]:
                try:
                    item = Vector(Space.decode(space.encode()), base64.b64decode(row, validate=True))
                except (ValueError, binascii.Error) as error:
                    raise InvalidData("a carried row is not base64", code="unsupported-value") from error
                check_row(*item)
                found.append((item, bool(was_native)))
            case _:
                raise InvalidData("not a carried vector", code="unsupported-value")
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


# -- patches -----------------------------------------------------------------------------------------------------------
#
# An entry is [path, was, is]: the members that lead to a value, what the native form said there, and what the record
# says; each of the two is a list of one value, or empty where there is none.  What the native form says nothing of at
# the top is in an object of its own, the same in most records.


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
            patch += _patch(was, now, (name,))
    for name, was in plain.items():
        if isinstance(was, dict):  # member by member, so that what an agent adds does not bring back the others
            patch += [[[name, inner], [held], []] for inner, held in sorted(was.items())]
            was = {}
        patch.append([[name], [was], []])
    return absent, patch


def _patch(was: Any, now: Any, path: tuple[str, ...]) -> list[list[Any]]:
    if was is not now and isinstance(was, dict) and isinstance(now, dict) and was:
        found: list[list[Any]] = []
        for name in sorted(was.keys() | now.keys()):
            found += _patch(was.get(name, ABSENT), now.get(name, ABSENT), (*path, name))
        return found
    if was is now or is_same(was, now):
        return []
    return [[list(path), [] if was is ABSENT else [was], [] if now is ABSENT else [now]]]


def _apply(value: dict[str, Any], path: Sequence[str], was: Any, now: Any) -> None:
    holder = value
    for name in path[:-1]:
        inner = holder.get(name, ABSENT)
        if inner is ABSENT:
            if was is not ABSENT:
                return  # an agent removed it
            inner = {}
        if not isinstance(inner, dict):
            return  # an agent put something else there
        holder[name] = inner = dict(inner)  # what was parsed once is shared between records
        holder = inner
    name = path[-1]
    if is_same(holder.get(name, ABSENT), was):
        if now is ABSENT:
            holder.pop(name, None)
        else:
            holder[name] = now
