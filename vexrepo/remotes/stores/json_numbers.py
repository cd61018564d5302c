"""Vectors in the JSON of an answer, taken out of it before it is parsed: no Python object is made a number.

Most of what a store sends are numbers.  Each flat array behind a mark (``"vector":[``) becomes a row of float32, and
what is left of the text, with the number of the row in its place, is quickly parsed.  Where anything is not as simple
as that, nothing is taken and the answer is parsed as any other; both ways give the same vectors.  Needs the optional
package pysimdjson.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import orjson

from vexrepo.objects.vector import Space, Vector

_local = threading.local()  # a parser holds what it parsed last


def take_numbers(body: bytes, mark: bytes) -> tuple[Any, list[bytes]] | None:
    """Return a JSON text parsed without its vectors, and these as rows of float32 numbers, all of them finite.

    A vector is a flat array of numbers, not empty, right behind ``mark``, which ends in its bracket.  In its place the
    value has the number of its row, from 0.  None where that cannot be done, or anything else is behind a mark.
    """
    parse = _parser()
    if parse is None:
        return None
    left, arrays = cut_arrays(body, mark)
    rows = _rows(parse, arrays)
    if rows is None:
        return None
    try:
        return orjson.loads(left), rows
    except orjson.JSONDecodeError:
        return None


def take_rows(body: bytes, mark: bytes) -> tuple[Any, list[bytes]] | None:
    """As ``take_numbers``, for one array of vectors behind a mark that ends in both brackets; null is in its place."""
    parse, start = _parser(), body.find(mark)
    end = body.find(b"]]", start)
    if parse is None or start < 0 or end < 0 or body.find(mark, end) >= 0:
        return None
    rows = _rows(parse, body[start + len(mark) : end].split(b"],["))
    if rows is None:
        return None
    try:
        return orjson.loads(body[: start + len(mark) - 2] + b"null" + body[end + 2 :]), rows
    except orjson.JSONDecodeError:
        return None


def placed(values: Sequence[Any], member: str, rows: Sequence[bytes]) -> list[bytes | None] | None:
    """Return the row that each of some objects has by ``member``, None for those without.

    None where the rows taken are not just those, one after another: then some other member is behind the mark, too.
    """
    found: list[bytes | None] = []
    count = 0
    for value in values:
        place = value.get(member) if type(value) is dict else None
        if type(place) is not int:
            found.append(None)
        elif place == count < len(rows):
            found.append(rows[place])
            count += 1
        else:
            return None
    return found if count == len(rows) else None


def single(name: str, row: bytes) -> Vector:
    """Return the dense vector of a row of float32 numbers."""
    return Vector(_space(name, len(row) >> 2), row)


@lru_cache(64)
def _space(name: str, dims: int) -> Space:
    return Space(name, "dense", None, dims, "f32")


def cut_arrays(body: bytes, mark: bytes) -> tuple[bytes, list[bytes]]:
    """Return a text with the number of each flat array behind a mark in its place, and what is within their brackets.

    A JSON text's own texts have no such mark in them, since quotes are escaped there; but the name of a member may end
    in it: ``placed`` tells.
    """
    kept: list[bytes] = []
    arrays: list[bytes] = []
    at, width, find = 0, len(mark), body.find
    while (found := find(mark, at)) >= 0:
        start = found + width
        end = find(b"]", start)
        if end < 0:
            break
        kept += (body[at : start - 1], b"%d" % len(arrays))
        arrays.append(body[start:end])
        at = end + 1
    kept.append(body[at:])
    return b"".join(kept), arrays


def _rows(parse: Callable[[bytes], Any], arrays: Sequence[bytes]) -> list[bytes] | None:
    """Return the numbers of flat arrays, each without its brackets, as rows of float32; None if they are not that."""
    import numpy as np

    if not arrays or not all(arrays) or any(b"[" in each for each in arrays):  # in a buffer, all is flat
        return None
    try:
        parsed = parse(b"[[" + b"],[".join(arrays) + b"]]")
        doubles = np.frombuffer(parsed.as_buffer(of_type="d"))
        sizes = list(map(len, parsed))
    except (ValueError, TypeError, RuntimeError, AttributeError):
        return None
    with np.errstate(over="ignore"):
        singles = doubles.astype("<f4")
    if not np.isfinite(singles).all():
        return None
    raw, found, at = singles.tobytes(), [], 0
    for size in sizes:
        found.append(raw[at : at + 4 * size])
        at += 4 * size
    return found if at == len(raw) and len(found) == len(arrays) else None


def _parser() -> Callable[[bytes], Any] | None:
    """Return this thread's parse function of pysimdjson, None without it."""
    try:
        found: Callable[[bytes], Any] | None = _local.parse
    except AttributeError:
        try:
            import simdjson
        except ImportError:
            found = None
        else:
            found = simdjson.Parser().parse
        _local.parse = found
    return found
