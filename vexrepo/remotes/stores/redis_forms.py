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
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import MAIN, Dtype, pack_numbers, unpack_numbers
from vexrepo.remotes.stores.exact_vectors import exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.points import Point

Keys: TypeAlias = Literal["hash", "json"]
TYPES: Final = "_vex_types"
DTYPES: Final = {"FLOAT32": "<f4", "FLOAT64": "<f8", "FLOAT16": "<f2"}
TIMES: Final = frozenset(("created_at", "importance"))  # numbers in the hashes of the original tool
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*")
_DEEPEST: Final = 120  # the server refuses documents of 128 levels
_EXACT_DIGITS: Final = 15  # decimals of so many digits are parsed exactly by the server, longer ones not always
_EXACT_EXPONENT: Final = 22


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
        return name not in ("id", TYPES) and all(name != each.name for each in self.vectors.values())


# -- hashes ------------------------------------------------------------------------------------------------------------


def encode_hash(point: Point, layout: Layout) -> dict[bytes, bytes]:
    """Return the fields of a point."""
    types: dict[str, str] = {}
    found = {b"id": point.id.encode()}
    for name, value in point.payload.items():
        text, kind = _encode_field(name, value, layout)
        if kind:
            types[name] = kind
        found[name.encode()] = text
    for space, row in point.vectors:
        held = layout.vectors[space.name]
        numbers = _as_numbers(row, held.dtype)
        if from_base64(numbers, held) is not None:
            types[held.name] = "f4"
        found[held.name.encode()] = numbers
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
    return canonical.encode(value), "json"


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
    if is_number and _NUMBER.fullmatch(raw):
        try:
            value = canonical.parse(raw)
        except InvalidData:
            value = None
        if type(value) in (int, float) and canonical.encode(value) == raw:
            return value
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"$blob": base64.b64encode(raw).decode()}


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


def encode_json(point: Point, layout: Layout) -> bytes:
    """Return the document of a point."""
    import numpy as np

    value = dict(point.payload)
    for space, row in point.vectors:
        value[layout.vectors[space.name].name] = np.frombuffer(row, "<f4").astype("<f8").tolist()
    # As Python prints them: the canonical form has 1e21 as an integer, which the server would make a double of.
    return orjson.dumps(value) if _fits_orjson(value) else canonical.encode(value)


def _fits_orjson(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return False
    return True


def decode_json(identifier: str, raw: bytes, layout: Layout) -> Point:
    """Return the point of a document.  Raises: InvalidData."""
    value = canonical.parse(raw)
    if not isinstance(value, dict):
        raise InvalidData(f"a document that is no object: {raw!r:.60}", code="not-an-object")
    found, decimals = [], []
    for name, held in layout.vectors.items():
        numbers = value.get(held.name)
        if not (isinstance(numbers, list) and numbers and all(type(item) in (int, float) for item in numbers)):
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
    """Whether the server gives a JSON value back exactly: not integers past 64 bits, nor doubles of many digits."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    if isinstance(value, float):
        _, digits, exponent = Decimal(repr(value)).as_tuple()
        return len(digits) <= _EXACT_DIGITS and isinstance(exponent, int) and abs(exponent) <= _EXACT_EXPONENT
    items = value.values() if isinstance(value, dict) else value
    return depth < _DEEPEST and all(json_holds(item, depth + 1) for item in items)


# -- vectors -----------------------------------------------------------------------------------------------------------


def _as_numbers(row: bytes, dtype: str) -> bytes:
    import numpy as np

    return row if dtype == "<f4" else np.frombuffer(row, "<f4").astype(dtype).tobytes()


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
