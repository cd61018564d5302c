"""Properties of a graph as members of a payload: what JSON has no form for, and is written back as it was.

A graph database holds texts, flags, 64-bit integers, doubles, times, points, bytes, and lists of one of these; no null
and no object.  ``Kinds`` remembers, by the name of a property, which of its values were no JSON: a time is read as its
text (ISO 8601) and becomes a time again where that text says it exactly, a whole number becomes a double again where
the property has doubles.  Bytes read as ``{"$blob": base64}``, a point as ``{"$point": {"srid", "coordinates"}}``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from vexrepo.errors import InvalidData

_EXACT: Final = 1 << 53  # whole numbers up to here are doubles
_SCALARS: Final = frozenset((str, bool, int, float))
_PLAIN: Final = frozenset((str, bool, int))
_KIND: Final = re.compile(r"float|DateTime|Date|Time|Duration|vector (i8|i16|i32|i64|f32|f64)")
_TIMES: Final = frozenset(("DateTime", "Date", "Time", "Duration"))


class Kinds:
    """The kinds of values, other than JSON's, that properties were seen to have, by name."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def to_json(self) -> dict[str, list[str]]:
        """Return them, for ``take``."""
        return {name: sorted(kinds) for name, kinds in sorted(self._seen.items()) if kinds}

    def take(self, value: Any) -> None:
        """Take what ``to_json`` gave of another collection; what is not understood is passed over."""
        for name, kinds in value.items() if isinstance(value, dict) else ():
            if isinstance(kinds, list):
                self._seen[name] |= {each for each in kinds if isinstance(each, str) and _KIND.fullmatch(each)}

    def payload(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return properties as JSON.  Raises: InvalidData (not-finite, unsupported-value)."""
        return {
            name: value if type(value) in _PLAIN else self._decode(name, value) for name, value in properties.items()
        }

    def _decode(self, name: str, value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        if isinstance(value, float):
            if not isfinite(value):
                raise InvalidData(f"property {name!r:.60} is {value}, which JSON cannot say", code="not-finite")
            self._seen[name].add("float")
            return value
        if isinstance(value, list):
            return [self._decode(name, each) for each in value]
        if isinstance(value, (bytes, bytearray)):
            return {"$blob": base64.b64encode(value).decode()}
        kind = type(value).__name__
        if kind in _TIMES:
            self._seen[name].add(kind)
            return _time_text(value)
        if hasattr(value, "srid"):
            return {"$point": {"srid": value.srid, "coordinates": list(value)}}
        if kind == "Vector":
            self._seen[name].add(f"vector {value.dtype.value}")
            return value.to_native()
        raise InvalidData(f"property {name!r:.60} is a {kind}, which is not known here", code="unsupported-value")

    def properties(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload's members, each of which ``holds``, as properties."""
        return {name: self._encode(self._seen.get(name), value) for name, value in payload.items()}

    def numbers(self, name: str, numbers: list[float]) -> Any:
        """Return a vector as a property has them: a list, or the vector type of new servers where it was seen."""
        form = next((each for each in self._seen.get(name, ()) if each.startswith("vector ")), None)
        if form is None:
            return numbers
        from neo4j.vector import Vector

        native: Any = Vector.from_native
        return native(numbers, form.removeprefix("vector "))

    def _encode(self, kinds: set[str] | None, value: Any) -> Any:
        if isinstance(value, dict):
            return _blob(value) if "$blob" in value else _point(value)
        if isinstance(value, list):
            if {type(each) for each in value} == {int, float}:
                return list(map(float, value))
            return [self._encode(kinds, each) for each in value] if kinds else value
        if kinds:
            if isinstance(value, str):
                return _time(value, kinds & _TIMES)
            if type(value) is int and "float" in kinds and abs(value) <= _EXACT:
                return float(value)
        return value


def holds(value: Any) -> bool:
    """Whether a property can have a value, and it comes back as the same JSON."""
    kind = type(value)
    if kind is str or kind is bool or kind is float:
        return True
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    if kind is list:
        kinds = {type(each) for each in value}
        if kinds == {int, float}:
            return all(abs(each) <= _EXACT for each in value if type(each) is int)
        return len(kinds) <= 1 and kinds <= _SCALARS and all(holds(each) for each in value)
    return kind is dict and (_blob(value) is not None or _point(value) is not None)


def _blob(value: Mapping[str, Any]) -> bytes | None:
    text = value.get("$blob")
    if len(value) != 1 or not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def _point(value: Mapping[str, Any]) -> Any:
    """Return the point that a JSON value stands for, None if none."""
    match value:
        case {"$point": {"srid": int(srid), "coordinates": [*found]}} if (
            len(value) == 1 and len(value["$point"]) == 2 and all(type(each) in (int, float) for each in found)
        ):
            pass
        case _:
            return None
    from neo4j.spatial import CartesianPoint, WGS84Point

    classes: dict[tuple[int, int], Any] = {
        (7203, 2): CartesianPoint, (9157, 3): CartesianPoint, (4326, 2): WGS84Point, (4979, 3): WGS84Point,
    }  # fmt: skip
    made = classes.get((srid, len(found)))
    return None if made is None else made(tuple(map(float, found)))


def _time_text(value: Any) -> str:
    """Return a time as text: ISO 8601, and the name of its zone where it has one."""
    text = str(value.iso_format())
    zone = getattr(getattr(value, "tzinfo", None), "zone", None)
    return f"{text}[{zone}]" if zone and zone != "UTC" else text


def _time(text: str, kinds: set[str]) -> Any:
    """Return the time of one of these kinds that reads as a text, else the text."""
    if not kinds:
        return text
    import neo4j.time

    plain, _, zone = text.partition("[")
    for kind in sorted(kinds):
        try:
            found = getattr(neo4j.time, kind).from_iso_format(plain)
            if zone and kind == "DateTime":
                import pytz

                found = found.as_timezone(pytz.timezone(zone.rstrip("]")))
            if _time_text(found) == text:
                return found
        except (ValueError, KeyError, AttributeError, LookupError):
            continue
    return text
