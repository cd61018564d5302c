"""Vectors of others, read as points: in single precision, and what that loses carried as if it were written so.

The other way, stores of double precision get back the numbers that they had.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import Space, Vector, check_row, unpack_numbers
from vexrepo.remotes.stores.point_carried import VERSION, parse_carried
from vexrepo.remotes.stores.points import RESERVED, Point


class Found(NamedTuple):
    """A vector in single precision, and as it is where that loses something; None: not in the range, not needed."""

    single: Vector | None
    exact: Vector | None


def exact_vector(name: str, raw: bytes, dtype: str, place: str) -> Found:
    """Return the vector of a field or column ``place``, from its numbers' bytes, little-endian.

    ``dtype``: ``<f4``, ``<f8`` or ``<f2``.  Raises: InvalidData (dims-mismatch, not-finite).
    """
    import numpy as np

    width = int(dtype[2])
    if not raw or len(raw) % width:
        raise InvalidData(
            f"field {place!r:.60} has {len(raw)} bytes, expected numbers of {width} bytes, or their base64",
            code="dims-mismatch",
        )
    if dtype == "<f4":
        single = Vector(_space(name, len(raw) // width), raw)
        check_row(*single)
        return Found(single, None)
    values = np.frombuffer(raw, dtype)
    with np.errstate(over="ignore"):
        row = values.astype("<f4")
    single = Vector(_space(name, len(values)), row.tobytes())
    if dtype != "<f8" or np.array_equal(row.astype("<f8").view("<u8"), values.view("<u8")):
        check_row(*single)
        return Found(single, None)
    exact = Vector(Space(name, "dense", None, len(values), "f64"), raw)
    check_row(*exact)
    return Found(single if np.isfinite(row).all() else None, exact)


@lru_cache(64)
def _space(name: str, dims: int) -> Space:
    return Space(name, "dense", None, dims, "f32")


def with_exact(payload: dict[str, Any], found: Iterable[Found], decimals: list[str]) -> dict[str, Any]:
    """Return a payload that says of vectors what single precision does not, unless it says such things itself."""
    rows = [
        [exact.space.encode().decode(), base64.b64encode(exact.row).decode(), int(single is not None)]
        for single, exact in found
        if exact is not None
    ]
    if RESERVED in payload or not (rows or decimals):
        return payload
    carried = {"v": VERSION, **({"f": decimals} if decimals else {}), **({"s": rows} if rows else {})}
    return {**payload, RESERVED: canonical.encode(carried).decode()}


def single_vectors(found: Iterable[Found]) -> tuple[Vector, ...]:
    """Return those of the vectors that a point has."""
    return tuple(each.single for each in found if each.single is not None)


def exact_numbers(point: Point, *, tells_decimals: bool) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the payload of a point, and those of its vectors, by name, whose numbers are not of single precision.

    For stores that hold doubles, and read a vector of them as it is.  What is carried is left out where it says nothing
    but these numbers.  ``tells_decimals``: short decimals of single precision are read as such.
    """
    carried = parse_carried(point.payload.get(RESERVED))
    if carried is None or not (carried.rows or carried.decimals):
        return point.payload, {}
    held = {item.space.name: item.row for item in point.vectors if item.space.kind == "dense"}
    found: dict[str, list[float]] = {}
    for original, was_native in carried.rows:
        space = original.space
        if was_native and space.kind == "dense" and space.dtype == "f64":
            if _single(original.row) == held.get(space.name):
                found[space.name] = unpack_numbers("f64", original.row)
    if tells_decimals:
        found |= {name: unpack_numbers("f32d", held[name]) for name in carried.decimals & held.keys()}
    told = {original.space.name for original, _ in carried.rows} | carried.decimals
    says_more = carried.native is not None or carried.absent or carried.patch or carried.is_placeholder or carried.text
    if says_more or not told <= found.keys():
        return point.payload, found
    return {name: value for name, value in point.payload.items() if name != RESERVED}, found


def _single(raw: bytes) -> bytes:
    import numpy as np

    with np.errstate(over="ignore"):
        return np.frombuffer(raw, "<f8").astype("<f4").tobytes()
