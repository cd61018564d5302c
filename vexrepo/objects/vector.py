"""Embeddings: numbers in, little-endian rows kept, the same numbers out.

A vector belongs to an embedding *space*: its name within the record, its kind, model, dimensions and dtype.
The dtype is the first of these that reproduces every source number exactly:

- ``f32``   the numbers are doubles of float32 values
- ``f32d``  the numbers are the shortest decimals of float32 values (what NumPy and most APIs print)
- ``f64``   anything else

Row bytes, by kind: ``dense`` dims values; ``multi`` any number of such rows, one after another; ``sparse`` n
uint32 indices, then n values.  Format: objects/FORMAT.md, "Vectors".
"""

from __future__ import annotations

import functools
import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

Kind: TypeAlias = Literal["dense", "multi", "sparse"]
Dtype: TypeAlias = Literal["f32", "f32d", "f64"]

MAX_DIMS = 1 << 20
MAIN = ""  # the name of a record's own vector, as against its named ones
ITEM_BYTES: dict[str, int] = {"f32": 4, "f32d": 4, "f64": 8}
KINDS = ("dense", "multi", "sparse")

_ODD_NUMBER = re.compile(rb"-?[0-9.]+e[-+]?[0-9]+|-?[0-9]+\.0(?=[,\]])")


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space.  ``dims`` is 0 for sparse vectors, whose length is open."""

    name: str
    kind: Kind
    model: str | None
    dims: int
    dtype: Dtype

    def encode(self) -> bytes:
        """Return the canonical bytes that identify the space."""
        return _encode_space(self)

    @classmethod
    def decode(cls, raw: bytes | memoryview) -> Space:
        """Return the space of canonical bytes.  Raises: InvalidData (not-canonical, unsupported-value)."""
        return _decode_space(bytes(raw))

    @property
    def item_bytes(self) -> int:
        """Bytes of one number."""
        return ITEM_BYTES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a dense space; 0 where rows differ in length."""
        return self.dims * ITEM_BYTES[self.dtype] if self.kind == "dense" else 0

    @property
    def label(self) -> str:
        """How people are told of it: ``bge-small-en-v1.5, 384 dims``."""
        shape = f"{self.dims} dims" if self.dims else "sparse"
        return ", ".join(part for part in (self.name, self.model, shape) if part)


@functools.lru_cache(maxsize=256)  # every leaf names the same few
def _decode_space(raw: bytes) -> Space:
    value = canonical.decode(raw)
    if not isinstance(value, dict) or set(value) != {"dims", "dtype", "kind", "model", "name"}:
        raise InvalidData(f"not an embedding space: {raw[:80]!r}", code="unsupported-value")
    name, kind, model, dims, dtype = (value[k] for k in ("name", "kind", "model", "dims", "dtype"))
    if (
        not isinstance(name, str)
        or kind not in KINDS
        or not (model is None or isinstance(model, str))
        or type(dims) is not int
        or not 0 <= dims <= MAX_DIMS
        or (dims == 0) != (kind == "sparse")
        or dtype not in ITEM_BYTES
    ):
        raise InvalidData(f"not an embedding space: {raw[:80]!r}", code="unsupported-value")
    return Space(name, cast(Kind, kind), model, dims, cast(Dtype, dtype))


@functools.lru_cache(maxsize=4096)
def _encode_space(space: Space) -> bytes:
    return canonical.encode(
        {"dims": space.dims, "dtype": space.dtype, "kind": space.kind, "model": space.model, "name": space.name}
    )


class Vector(NamedTuple):
    """One embedding of one record: its space and its row bytes."""

    space: Space
    row: bytes


@functools.lru_cache(maxsize=64)
def _packers(count: int) -> tuple[struct.Struct, struct.Struct]:
    return struct.Struct(f"<{count}f"), struct.Struct(f"<{count}d")


def pack_numbers(numbers: list[Any], text: bytes | None = None) -> tuple[Dtype, bytes]:
    """Return the smallest exact dtype of a list of numbers and their little-endian bytes.

    ``text`` is the JSON array they were read from, if at hand: it lets the shortest-decimal form be recognised
    without parsing it back.  Raises: InvalidData (vector-type, not-finite).
    """
    import numpy as np

    single, double = _packers(len(numbers))
    if text is not None and len(numbers) > 1 and len(text) < 15 * len(numbers):
        # The usual case first: decimals printed from float32, recognised by printing them again.
        try:
            raw = single.pack(*numbers)
        except (struct.error, OverflowError, TypeError):
            raw = b""
        floats = np.frombuffer(raw, "<f4")
        if raw and orjson.dumps(floats, option=orjson.OPT_SERIALIZE_NUMPY) == text and b"null" not in text:
            # Doubles of float32 values may print alike; a look at two numbers nearly always tells.
            if floats.item(0) == numbers[0] and floats.item(1) == numbers[1] and single.unpack(raw) == tuple(numbers):
                return "f32", raw
            return "f32d", raw
    try:
        exact = double.pack(*numbers)
    except (struct.error, OverflowError, TypeError):
        raise _unpackable(numbers) from None
    with np.errstate(over="ignore"):
        doubles = np.frombuffer(exact, "<f8")
        floats = doubles.astype("<f4")
    if text is not None and (np.abs(doubles) >= 1 << 63).any():
        # The fast parser rounds integers this large without a word.
        numbers = cast("list[Any]", canonical.parse(text))
    if floats.astype("<f8").tobytes() == exact:
        if not np.isfinite(floats).all():
            raise _unpackable(numbers)
        _check_exact(numbers)
        return "f32", floats.tobytes()
    if not np.isfinite(doubles).all():
        raise _unpackable(numbers)
    _check_exact(numbers)
    shortest = orjson.dumps(floats, option=orjson.OPT_SERIALIZE_NUMPY) if np.isfinite(floats).all() else b""
    if shortest and double.pack(*orjson.loads(shortest)) == exact:
        return "f32d", floats.tobytes()
    return "f64", exact


def pack_text(text: bytes) -> tuple[Dtype, bytes]:
    """As ``pack_numbers``, for the text of a flat JSON array.

    Raises: orjson.JSONDecodeError where it is not one, InvalidData (vector-type, not-finite).
    """
    return _pack_text_fast(text) or pack_numbers(orjson.loads(text), text)


def _pack_text_fast(text: bytes) -> tuple[Dtype, bytes] | None:
    """Return the usual cases without a Python object a number, None for everything else (or without simdjson)."""
    parse = _simd_parser()
    if parse is None:
        return None
    import numpy as np

    try:
        array = parse(text)
        doubles = np.frombuffer(array.as_buffer(of_type="d"))
    except (ValueError, TypeError, RuntimeError, AttributeError):
        return None
    with np.errstate(over="ignore"):
        floats = doubles.astype("<f4")
    if len(floats) < 2:
        return None
    if len(text) < 15 * len(floats):
        if orjson.dumps(floats, option=orjson.OPT_SERIALIZE_NUMPY) != text:
            return None
        if floats.item(0) == doubles.item(0) and (floats == doubles).all():
            return "f32", floats.tobytes()
        return "f32d", floats.tobytes()
    # The buffer may have rounded integers past 2^53; whatever is below is exact.
    if (floats == doubles).all() and np.abs(floats).max() < 2**53:
        return "f32", floats.tobytes()
    return None


@functools.cache
def _simd_parser() -> Callable[[bytes], Any] | None:
    """Return a parse function of the optional package pysimdjson, None without it."""
    try:
        import simdjson
    except ImportError:
        return None
    found: Callable[[bytes], Any] = simdjson.Parser().parse
    return found


def _check_exact(numbers: list[Any]) -> None:
    if bool in set(map(type, numbers)):
        raise InvalidData("a vector holds true or false where a number should be", code="vector-type")
    if int in set(map(type, numbers)):
        for item in numbers:
            # JavaScript prints doubles up to 1e21 as integers, with zeros for the digits that do not count.
            if type(item) is int and float(item) != item and canonical.number(float(item)) != str(item):
                raise InvalidData(f"a vector holds {item}, which no double can hold exactly", code="vector-type")


def _unpackable(numbers: list[Any]) -> InvalidData:
    for place, item in enumerate(numbers):
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            return InvalidData(f"vector[{place}] is {item!r:.40}, expected a number", code="vector-type")
        if isinstance(item, float) and not math.isfinite(item):
            return InvalidData(f"vector[{place}] is {item!r}, expected a finite number", code="not-finite")
    return InvalidData("a vector holds a number too large for a double", code="not-finite")


def unpack_numbers(dtype: Dtype, raw: bytes | memoryview) -> list[float]:
    """Return the source numbers (as doubles) of little-endian bytes: the inverse of ``pack_numbers``."""
    if dtype == "f64":
        return list(_packers(len(raw) // 8)[1].unpack(raw))
    singles = list(_packers(len(raw) // 4)[0].unpack(raw))
    if dtype == "f32":
        return singles
    import numpy as np

    decimals = orjson.dumps(np.frombuffer(raw, "<f4"), option=orjson.OPT_SERIALIZE_NUMPY)
    return [float(item) for item in orjson.loads(decimals)]


def floats(space: Space, row: bytes | memoryview) -> NDArray[np.floating[Any]]:
    """Return a row's values as an array: (dims,) dense, (n, dims) multi, (n,) sparse values."""
    import numpy as np

    dtype = "<f8" if space.dtype == "f64" else "<f4"
    if space.kind == "sparse":
        return np.frombuffer(row[len(row) * 4 // (4 + space.item_bytes) :], dtype)
    values = np.frombuffer(row, dtype)
    return values if space.kind == "dense" else values.reshape(-1, space.dims)


def numbers_json(dtype: Dtype, raw: bytes | memoryview) -> bytes:
    """Return the JSON array of the source numbers, printed as JavaScript prints them (−0 keeps its sign)."""
    import numpy as np

    values = np.frombuffer(raw, "<f8" if dtype == "f64" else "<f4")
    if dtype == "f32":
        values = values.astype("<f8")
    text: bytes = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    # Exponents and integer values are printed otherwise; the array is searched for the latter, being the shorter.
    if b"\1" in (values == np.rint(values)).tobytes():
        return _ODD_NUMBER.sub(_as_javascript, text)
    return _exponents(text) if b"e" in text else text


def _exponents(text: bytes) -> bytes:
    """Return an array's text with its few numbers that have an exponent printed as JavaScript does."""
    parts: list[bytes] = []
    done = 0
    at = text.find(b"e")
    while at >= 0:
        start = text.rfind(b",", done, at) + 1 or done + (done == 0)
        end = text.find(b",", at)
        end = len(text) - 1 if end < 0 else end
        parts += (text[done:start], canonical.number(float(text[start:end])).encode())
        done = end
        at = text.find(b"e", end)
    return b"".join((*parts, text[done:]))


def _as_javascript(match: re.Match[bytes]) -> bytes:
    value = float(match.group())
    if value == 0:
        return b"-0.0" if match.group().startswith(b"-") else b"0"
    return canonical.number(value).encode()


def from_text(name: str, model: str | None, text: bytes) -> Vector:
    """Return the dense vector of a flat JSON array's text.

    Raises: orjson.JSONDecodeError, InvalidData (vector-type, not-finite, limit-exceeded).
    """
    dtype, raw = pack_text(text)
    dims = len(raw) // ITEM_BYTES[dtype]
    _check_dims(dims)
    return Vector(_dense(name, model, dims, dtype), raw)


@functools.lru_cache(maxsize=256)
def _dense(name: str, model: str | None, dims: int, dtype: Dtype) -> Space:
    return Space(name, "dense", model, dims, dtype)


def from_json(name: str, model: str | None, value: Any) -> Vector | None:
    """Return the vector a JSON value stands for, or None if it has none of the three shapes.

    Shapes: ``[numbers]`` dense, ``[[numbers], …]`` multi (equal lengths), ``{"indices": […], "values": […]}``
    sparse.  Raises: InvalidData (vector-type, not-finite, limit-exceeded).
    """
    if isinstance(value, dict):
        return _sparse(name, model, value)
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list):
        dims = len(value[0])
        if not dims or any(not isinstance(row, list) or len(row) != dims for row in value):
            return None
        _check_dims(dims)
        dtype, raw = pack_numbers([item for row in value for item in row])
        return Vector(Space(name, "multi", model, dims, dtype), raw)
    _check_dims(len(value))
    dtype, raw = pack_numbers(value)
    return Vector(Space(name, "dense", model, len(value), dtype), raw)


def _check_dims(dims: int) -> None:
    if dims > MAX_DIMS:
        raise InvalidData(f"a vector has {dims} numbers, the limit is {MAX_DIMS}", code="limit-exceeded")


def _sparse(name: str, model: str | None, value: dict[str, Any]) -> Vector | None:
    if set(value) != {"indices", "values"}:
        return None
    indices, values = value["indices"], value["values"]
    if not (isinstance(indices, list) and isinstance(values, list) and len(indices) == len(values)):
        return None
    _check_dims(len(indices))
    if any(type(index) is not int or not 0 <= index < 1 << 32 for index in indices):
        return None
    dtype, raw = pack_numbers(values)
    return Vector(Space(name, "sparse", model, 0, dtype), struct.pack(f"<{len(indices)}I", *indices) + raw)


def to_json(vector: Vector) -> Any:
    """Return the JSON value of a vector: the inverse of ``from_json``."""
    space, row = vector.space, vector.row
    if space.kind == "sparse":
        count = len(row) // (4 + space.item_bytes)
        indices = list(struct.unpack(f"<{count}I", row[: 4 * count]))
        return {"indices": indices, "values": unpack_numbers(space.dtype, row[4 * count :])}
    numbers = unpack_numbers(space.dtype, row)
    if space.kind == "dense":
        return numbers
    return [numbers[start : start + space.dims] for start in range(0, len(numbers), space.dims)]


def to_json_text(vector: Vector) -> bytes:
    """Return the JSON text of a vector, numbers as ``numbers_json`` prints them."""
    space, row = vector.space, vector.row
    if space.kind == "dense":
        return numbers_json(space.dtype, row)
    if space.kind == "sparse":
        count = len(row) // (4 + space.item_bytes)
        indices = orjson.dumps(list(struct.unpack(f"<{count}I", row[: 4 * count])))
        return b'{"indices":' + indices + b',"values":' + numbers_json(space.dtype, row[4 * count :]) + b"}"
    step = space.dims * space.item_bytes
    return b"[" + b",".join(numbers_json(space.dtype, row[at : at + step]) for at in range(0, len(row), step)) + b"]"


def check_row(space: Space, row: bytes | memoryview) -> None:
    """Raise InvalidData (dims-mismatch, not-finite) unless ``row`` is a well-formed row of ``space``."""
    import numpy as np

    step = space.item_bytes * (space.dims or 1) + (4 if space.kind == "sparse" else 0)
    if (space.kind == "dense" and len(row) != step) or len(row) % step or (not row and space.kind != "sparse"):
        raise InvalidData(f"a {space.kind} row of {len(row)} bytes does not fit {space.label}", code="dims-mismatch")
    if not np.isfinite(floats(space, row)).all():
        raise InvalidData("a stored vector holds NaN or infinity", code="not-finite")
