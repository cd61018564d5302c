"""Points as rows of a Milvus collection, and rows as points.

What a row has no room for is in the member ``_vex``: what ``points`` carries and, after a line feed, a JSON object of
what is only so in a row: ``n``, the vectors that stand for none (every row must have all), and ``m``, the members of
the payload that would have made the ones beyond the fields too long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects import canonical
from vexrepo.objects.vector import Space, Vector, check_row
from vexrepo.remotes.stores.milvus_fields import MAX_DYNAMIC, MAX_ROW, MAX_TEXT, PIECES, Layout, VectorField, size_of
from vexrepo.remotes.stores.points import RESERVED, Point

_ROOM: Final = 256  # bytes that the server may count beyond ours


class Rows:
    """Makes rows of points and points of rows, for one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._is_number = layout.key.type == "INT64"
        self._named: Mapping[str, VectorField] = {each.space.name: each for each in layout.vectors}
        reserved = layout.reserved
        self._piece = min(int(reserved.params.get("max_length", MAX_TEXT)), MAX_TEXT) if reserved is not None else 0
        self._pieces = int(reserved.params.get("max_capacity", PIECES)) if reserved is not None else 0

    # -- writing -----------------------------------------------------------------------------------------------------

    def row(self, point: Point) -> dict[str, Any]:
        """Return the row of a point.  Raises: StoreError (store-cannot-hold)."""
        layout = self._layout
        left = dict(point.payload)
        carried = left.pop(RESERVED, "")
        row: dict[str, Any] = {layout.key.name: int(point.id) if self._is_number else point.id}
        for name, each in layout.members.items():
            value = left.pop(name, None)
            if value is not None or each.is_nullable:
                row[name] = value
        held = {item.space.name: item for item in point.vectors}
        none = [name for name in self._named if name not in held]
        for name, field in self._named.items():
            row[field.field] = _numbers(held.get(name) or field.placeholder)
        beside: dict[str, Any] = {"n": none} if none else {}
        if layout.is_dynamic:
            self._spill(left, beside)
        elif left:
            raise _too_long(point, f"has members that are no fields ({', '.join(left):.80})")
        said = carried + ("\n" + canonical.encode(beside).decode() if beside else "")
        self._carry(row, left, said, point)
        return {**row, **left}

    def _spill(self, left: dict[str, Any], beside: dict[str, Any]) -> None:
        """Take the longest of the members beyond the fields away until the others fit."""
        most = MAX_DYNAMIC - _ROOM
        if not left or self._layout.reserved is None or len(orjson.dumps(left)) <= most:
            return
        sizes = {name: len(orjson.dumps({name: value})) for name, value in left.items()}
        moved = {}
        while sum(sizes.values()) > most:
            longest = max(sizes, key=lambda name: sizes[name])
            del sizes[longest]
            moved[longest] = left.pop(longest)
        if moved:
            beside["m"] = moved

    def _carry(self, row: dict[str, Any], left: dict[str, Any], said: str, point: Point) -> None:
        reserved = self._layout.reserved
        if reserved is not None and reserved.type == "ARRAY":
            pieces = list(_pieces(said, self._piece))
            if len(pieces) > self._pieces or size_of(said) > MAX_ROW:
                raise _too_long(point, f"needs {size_of(said):,} bytes beside what the fields hold")
            row[reserved.name] = pieces
        elif reserved is not None:
            if size_of(said) > self._piece:
                raise _too_long(point, f"needs {size_of(said):,} bytes in {RESERVED}, which takes {self._piece:,}")
            row[reserved.name] = said or (None if reserved.is_nullable else "")
        elif said:
            if not self._layout.is_dynamic:
                raise _too_long(point, f"needs a place for what no field holds, and there is no field {RESERVED}")
            left[RESERVED] = said
            size = len(orjson.dumps(left))
            if size > MAX_DYNAMIC - _ROOM:
                raise _too_long(point, f"needs {size:,} bytes beyond the fields; there is room for {MAX_DYNAMIC:,}")

    # -- reading -----------------------------------------------------------------------------------------------------

    def point(self, row: Mapping[str, Any], where: str) -> Point:
        """Return the point of a row.  Raises: InvalidData for one that is none."""
        layout = self._layout
        payload = dict(row)
        identifier = str(payload.pop(layout.key.name, ""))
        vectors = {}
        for each in layout.vectors:
            value = payload.pop(each.field, None)
            if value is not None:
                vectors[each.space.name] = _vector(each, value, where, identifier)
        for name, field in layout.members.items():
            value = payload.get(name)
            if value is None:
                payload.pop(name, None)
            elif field.type == "ARRAY":
                payload[name] = list(value)
            elif field.type == "JSON" and isinstance(value, (str, bytes)):
                payload[name] = json.loads(value)
        said = payload.pop(RESERVED, None)
        if said is not None:
            self._take_up(said if isinstance(said, str) else "".join(said), payload, vectors)
        return Point(identifier, payload, tuple(vectors.values()))

    def _take_up(self, said: str, payload: dict[str, Any], vectors: dict[str, Vector]) -> None:
        carried, is_more, more = said.partition("\n")
        if carried:
            payload[RESERVED] = carried
        if not is_more:
            return
        try:
            beside = canonical.parse(more.encode())
        except (InvalidData, UnicodeEncodeError):
            return  # not ours, or damaged: the row reads as it is
        match beside:
            case {"n": [*names]}:
                for name in names:
                    if isinstance(name, str) and name in vectors and vectors[name] == self._named[name].placeholder:
                        del vectors[name]
        match beside:
            case {"m": dict(members)}:
                for name, value in members.items():
                    payload.setdefault(name, value)


def _pieces(text: str, most: int) -> Iterator[str]:
    """Yield a text in pieces of at most so many bytes as UTF-8."""
    if text.isascii():
        yield from (text[at : at + most] for at in range(0, len(text), most))
        return
    raw, at = text.encode(), 0
    while at < len(raw):
        end = min(at + most, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # not within a character
            end -= 1
        yield raw[at:end].decode()
        at = end


def _numbers(item: Vector) -> Any:
    if item.space.kind == "sparse":
        count = len(item.row) // 8
        places = np.frombuffer(item.row[: 4 * count], "<u4").tolist()
        return dict(zip(places, np.frombuffer(item.row[4 * count :], "<f4").tolist(), strict=True))
    return np.frombuffer(item.row, "<f4")


def _vector(field: VectorField, value: Any, where: str, identifier: str) -> Vector:
    try:
        if field.space.kind == "sparse":
            pairs = sorted(value.items())
            places, numbers = np.array([each[0] for each in pairs], "<u4"), np.array([each[1] for each in pairs], "<f4")
            found = Vector(field.space, places.tobytes() + numbers.tobytes())
        else:
            row = np.asarray(value, "<f4")
            found = Vector(Space(field.space.name, "dense", None, len(row), "f32"), row.tobytes())
        check_row(*found)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidData(
            f"{where}: the vector {field.field} of {identifier!r:.80} has something else than numbers in it",
            code="vector-type",
        ) from error
    return found


def _too_long(point: Point, why: str) -> StoreError:
    return StoreError(f"{point.id:.80} {why}", code="store-cannot-hold")


def literal(value: str | int) -> str:
    """Return a key as an expression has it; other characters than these are taken as they are by every server."""
    if isinstance(value, int):
        return str(value)
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(character, escaped)
    return f'"{value}"'


def any_of(name: str, keys: Sequence[str | int]) -> str:
    """Return the expression that is true of rows with one of the keys."""
    return f"{name} in [{', '.join(map(literal, keys))}]"
