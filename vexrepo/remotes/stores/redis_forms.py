"""How a memory lies in Redis: as a hash or as a JSON document, and back.

A hash holds bytes by name.  Text is UTF-8 as it is; any other value is JSON, a list of plain words their words joined
by commas, so that a TAG index finds each.  What a field is, is said in the member ``_vex_types`` (JSON: field →
``json``, ``list``, ``text`` or ``f4``) wherever a reader who does not know would take it for something else.  A vector
is its numbers, little-endian.  A document is the payload itself, its vectors arrays.  Format: remotes/STORES.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Literal, TypeAlias

import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import MAIN, Dtype, pack_numbers, unpack_numbers
from vexrepo.remotes.stores.exact_vectors import exact_numbers, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.points import Point
from vexrepo.remotes.stores.serde import is_read_exactly, sendable

Keys: TypeAlias = Literal["hash", "json"]
TYPES: Final = "_vex_types"
DTYPES: Final = {"FLOAT32": "<f4", "FLOAT64": "<f8", "FLOAT16": "<f2"}
TIMES: Final = frozenset(("created_at", "importance"))  # numbers in the hashes of the original tool
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*")
_DEEPEST: Final = 120  # the server refuses documents of 128 levels


@dataclass(frozen=True, slots=True)
class VectorField:
    """A field that holds vectors: what it is called, its numbers (``<f4``, ``<f8``, ``<f2``), 0 dims for any."""

    name: str
    dtype: str = "<f4"
    dims: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How the keys of a collection are laid out: fields of vectors by their name, and the fields that are numbers."""

    keys: Keys = "hash"
    vectors: Mapping[str, VectorField] = field(default_factory=lambda: {MAIN: VectorField("vector")})
    numbers: frozenset[str] = TIMES

    def takes_name(self, name: str) -> bool:
        """Whether metadata may have this name."""
        return name != TYPES and all(name != each.name for each in self.vectors.values())


# -- hashes ------------------------------------------------------------------------------------------------------------


def encode_hash(point: Point, layout: Layout, *, names_id: bool = True) -> dict[bytes, bytes]:
    """Return the fields of a point.  ``names_id``: its id is one of them, unless something else is called so."""
    types: dict[str, str] = {}
    found = {b"id": point.id.encode()} if names_id else {}
    payload, exact = point.payload, dict[str, list[float]]()
    if any(each.dtype == "<f8" for each in layout.vectors.values()):
        payload, exact = exact_numbers(point, tells_decimals=False)
    for name, value in payload.items():
        text, kind = _encode_field(name, value, layout)
        if kind:
            types[name] = kind
        found[name.encode()] = text
    for space, row in point.vectors:
        held = layout.vectors[space.name]
        numbers = _as_numbers(row, held.dtype)
        if held.dtype == "<f8" and space.name in exact:
            numbers = pack_doubles(exact[space.name])
        if from_base64(numbers, held) is not None:
            types[held.name] = "f4"
        found[held.name.encode()] = numbers
    if not found:
        found[b"id"] = point.id.encode()  # a hash without fields is none
    if types:
        found[TYPES.encode()] = orjson.dumps(types, option=orjson.OPT_SORT_KEYS)
    return found


def decode_hash(identifier: str, fields: Mapping[bytes, bytes], layout: Layout) -> Point:
    """Return the point of a hash.  Raises: InvalidData (dims-mismatch, not-utf8, not-finite)."""
    types = told_types(fields.get(TYPES.encode(), b""))
    payload: dict[str, Any] = {}
    rows: dict[str, bytes] = {}
    places = {each.name: name for name, each in layout.vectors.items()}
    for raw_name, raw in fields.items():
        name = _utf8(raw_name, "the name of a field")
        if name == TYPES or (name == "id" and raw == identifier.encode()):
            continue
        if name in places:
            rows[places[name]] = raw
        else:
            payload[name] = _decode_field(name, raw, types.get(name), layout)
    found = []
    for name, raw in rows.items():
        held = layout.vectors[name]
        plain = None if types.get(held.name) == "f4" else from_base64(raw, held)
        found.append(exact_vector(name, raw if plain is None else plain, held.dtype, held.name))
    return Point(identifier, with_exact(payload, found, []), single_vectors(found))


def _encode_field(name: str, value: Any, layout: Layout) -> tuple[bytes, str]:
    """Return the bytes of a value, and the kind that has to be told, "" where it reads as it is."""
    if isinstance(value, str):
        raw = value.encode()
        return raw, "" if plain_value(raw, name in layout.numbers) == value else "text"
    if isinstance(value, list) and value and all(isinstance(item, str) and _is_word(item) for item in value):
        return ",".join(value).encode(), "list"
    blob = _blob(value) if isinstance(value, dict) and len(value) == 1 else None
    if blob is not None:
        return blob, ""
    raw = canonical.encode(value)
    if name in layout.numbers and type(value) in (int, float) and _is_number(raw):
        return raw, ""
    return raw, "json"


def _decode_field(name: str, raw: bytes, kind: str | None, layout: Layout) -> Any:
    try:
        if kind == "json":
            return canonical.parse(raw)
        if kind == "list":
            return raw.decode().split(",")
        if kind == "text":
            return raw.decode()
    except (InvalidData, UnicodeDecodeError):
        pass  # an agent put something else there
    return plain_value(raw, name in layout.numbers)


def plain_value(raw: bytes, is_number: bool) -> Any:
    """Return what a field says to a reader who knows nothing but the index."""
    if is_number and _is_number(raw):
        return canonical.parse(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"$blob": base64.b64encode(raw).decode()}


def _is_number(raw: bytes) -> bool:
    """Whether bytes are a number as JSON prints it."""
    if not _NUMBER.fullmatch(raw):
        return False
    try:
        value = canonical.parse(raw)
    except InvalidData:
        return False
    return type(value) in (int, float) and canonical.encode(value) == raw


def _blob(value: dict[str, Any]) -> bytes | None:
    """Return the bytes of a value that stands for bytes that are no text."""
    text = value.get("$blob")
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if plain_value(raw, False) == value else None


def _is_word(text: str) -> bool:
    return bool(text) and "," not in text and text == text.strip()


@lru_cache(64)  # most points of a collection say the same
def told_types(raw: bytes) -> Mapping[str, str]:
    """Return what a hash says in ``_vex_types``."""
    try:
        found = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _utf8(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidData(f"{what} is not UTF-8: {raw!r:.60}", code="not-utf8") from None


# -- documents ---------------------------------------------------------------------------------------------------------


def encode_json(point: Point, layout: Layout, *, names_id: bool = False) -> bytes:
    """Return the document of a point.  ``names_id``: its id is a member, unless something else is called so."""
    return print_json(document_of(point, layout, names_id=names_id))


def document_of(point: Point, layout: Layout, *, names_id: bool) -> dict[str, Any]:
    """Return the document of a point as a value, in which vectors of single precision are arrays."""
    import numpy as np

    payload, exact = exact_numbers(point, tells_decimals=True)
    if not all(map(is_read_exactly, chain.from_iterable(exact.values()))):
        payload, exact = point.payload, {}
    found = {"id": point.id, **payload} if names_id else dict(payload)
    for space, row in point.vectors:
        numbers = exact.get(space.name)
        # Those of single precision are told though the server changes their last digit: an array is sent as it is.
        found[layout.vectors[space.name].name] = np.frombuffer(row, "<f4").astype("<f8") if numbers is None else numbers
    return found


def print_json(value: Any) -> bytes:
    """Return a JSON text that the server reads as this value.

    As Python prints numbers: the canonical form has 1e21 as an integer, which the server would make a double of.
    """
    try:
        return orjson.dumps(sendable(value), option=orjson.OPT_SERIALIZE_NUMPY)
    except (TypeError, orjson.JSONEncodeError):  # an integer beyond 64 bits, say
        return canonical.encode({name: _listed(each) for name, each in value.items()} if type(value) is dict else value)


def is_same_vector(one: Any, other: Any) -> bool:
    """Whether two lists of numbers are the same vector, but for what the server does to their last digits."""
    one, other = _listed(one), _listed(other)
    return _are_numbers(one) and _are_numbers(other) and _packed(one) == _packed(other)


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) in (int, float) for item in value)


def decode_json(identifier: str, raw: bytes, layout: Layout) -> Point:
    """Return the point of a document.  Raises: InvalidData."""
    value = canonical.parse(raw)
    if not isinstance(value, dict):
        raise InvalidData(f"a document that is no object: {raw!r:.60}", code="not-an-object")
    found, decimals = [], []
    for name, held in layout.vectors.items():
        numbers = value.get(held.name)
        if numbers is None or not _are_numbers(numbers):
            continue
        dtype, row = _packed(numbers)
        del value[held.name]
        if dtype == "f32d":
            decimals.append(name)
        found.append(exact_vector(name, row, "<f8" if dtype == "f64" else "<f4", held.name))
    if value.get("id") == identifier:
        del value["id"]
    return Point(identifier, with_exact(value, found, decimals), single_vectors(found))


def _packed(numbers: list[Any]) -> tuple[Dtype, bytes]:
    """Return numbers of a document, those of single precision as such though the server changed their last digit."""
    import numpy as np

    dtype, row = pack_numbers(numbers)
    if dtype != "f64":
        return dtype, row
    values = np.frombuffer(row, "<f8")
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
    if np.isfinite(single).all():
        forms: tuple[Dtype, ...] = ("f32", "f32d")
        for form in forms:
            exact = np.array(unpack_numbers(form, single.tobytes()))
            if (np.abs(values - exact) <= 2 * np.spacing(np.abs(exact))).all():
                return form, single.tobytes()
    return dtype, row


def json_holds(value: Any, depth: int = 0) -> bool:
    """Whether the server gives a JSON value back exactly: not integers past 64 bits, nor some doubles."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    if isinstance(value, float):
        return is_read_exactly(value)
    items = value.values() if isinstance(value, dict) else value
    return depth < _DEEPEST and all(json_holds(item, depth + 1) for item in items)


# -- vectors -----------------------------------------------------------------------------------------------------------


def _as_numbers(row: bytes, dtype: str) -> bytes:
    import numpy as np

    return row if dtype == "<f4" else np.frombuffer(row, "<f4").astype(dtype).tobytes()


def pack_doubles(numbers: list[float]) -> bytes:
    """Return numbers as bytes of double precision."""
    import numpy as np

    return np.array(numbers, "<f8").tobytes()


def from_base64(raw: bytes, held: VectorField) -> bytes | None:
    """Return the float32 bytes that a field's text stands for, as the original tool writes them, None if none.

    Some raw bytes look like it: whoever writes those says so (``f4``).
    """
    if held.dtype != "<f4" or not _BASE64.fullmatch(raw) or len(raw) == 4 * held.dims:
        return None
    try:
        found = base64.b64decode(raw, validate=True)
    except (ValueError, binascii.Error):
        return None
    return found if found and len(found) % 4 == 0 else None
