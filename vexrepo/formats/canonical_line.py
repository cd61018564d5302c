"""The canonical form of a vmig line: the exact bytes that the original tool hashes.

``canonical`` follows its rules for every line there can be; ``ordinary`` gives the same for the lines that
programs write, many times as fast, and only for lines that pass ``check``.  ``check`` refuses what the
canonical form does not show: two lines that pass and have the same canonical form hold the same values, and
differ at most as two programs write the same line; no single byte can be replaced.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from vexrepo.errors import InvalidData
from vexrepo.formats import javascript
from vexrepo.objects.canonical import MAX_DEPTH

ORDER = (
    "id",
    "text",
    "vector",
    "model",
    "dims",
    "namespace",
    "agent_id",
    "metadata",
    "created_at",
    "source_store",
    "vex_version",
)
INHERITED = frozenset(
    (
        "constructor",
        "__defineGetter__",
        "__defineSetter__",
        "hasOwnProperty",
        "__lookupGetter__",
        "__lookupSetter__",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toString",
        "valueOf",
        "__proto__",
        "toLocaleString",
    )
)
"""Members of Object.prototype: the original tool leaves top-level extras of these names out of the hash."""

_KNOWN = frozenset(ORDER)
_MARK = 7130250613487291
_MARK_TEXT = b"7130250613487291"
_MOST_EXACT = 1 << 53
_PLAIN_LOW, _PLAIN_HIGH = 1e-5, 1e15  # doubles in this range print alike everywhere, but for those that are integers
_STARTS = (b'"vector":[', b'"vector": [')
_NO_DIGITS = b"-0123456789"
_UNIT = frozenset((str, bool, type(None)))


class _NotOrdinary(Exception):
    """The fast way cannot tell; never leaves this module."""


def canonical(line: bytes) -> bytes:
    """Return the canonical form of any line, as the original tool makes it; b"" for a line of white space.

    Raises: InvalidData (not-json, not-an-object for null, too-deep).
    """
    text = javascript.decode_line(line)
    if not text:
        return b""
    value = javascript.parse(text)
    members = javascript.spread(value)
    if isinstance(value, dict):
        first = [member for member in members if javascript.is_index(member[0])]
        known = [(name, value[name]) for name in ORDER if name in value]
        rest = [member for member in members[len(first) :] if member[0] not in _KNOWN and member[0] not in INHERITED]
        members = first + known + rest
    return javascript.stringify_members(members).encode()


# -- what the canonical form does not show -------------------------------------------------------------------------


class _Number(float):
    """A number with the text it was read from, or the one it should have been read from."""

    __slots__ = ("text",)
    text: str


def check(line: bytes) -> None:
    """Raise unless the canonical form of a line settles its values and its spelling.

    ``line`` is without its line end.  Settled is: UTF-8, one object, unique members, none that the hash leaves
    out, numbers that a double holds, and nothing around or between the tokens but what JSON.stringify and
    json.dumps put there, so that no byte can be replaced without the hash changing.

    Raises: InvalidData (not-utf8, not-json, not-an-object, duplicate-member, inherited-member, number-inexact,
    unprotected-spelling, too-deep).
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InvalidData(f"byte {error.start + 1} of the line is not UTF-8", code="not-utf8") from None
    stripped = text.strip(javascript.WHITE_SPACE)
    value = javascript.load(stripped, object_pairs_hook=_members, parse_int=_integer, parse_float=_real)
    if not isinstance(value, dict):
        raise InvalidData("a record must be a JSON object", code="not-an-object")
    left_out = INHERITED.intersection(value)
    if left_out:
        raise InvalidData(
            f"the member {min(left_out)!r} is one that the hash of a record leaves out, so that nobody could tell if "
            "it was changed: rename it",
            code="inherited-member",
        )
    if stripped != text:
        raise unprotected("there is white space or a byte order mark around the record")
    shown = 0
    forms = ((", ", ": "), (",", ":")) if '": ' in text[:200] else ((",", ":"), (", ", ": "))
    for separators in forms:
        for is_ascii in (False, True):
            spelled = _spell(value, separators, is_ascii)
            if spelled == text:
                return
            shown = max(shown, _common(spelled, text))
    raise unprotected(f"what begins with {text[shown : shown + 12]!r} at column {shown + 1} can be written otherwise")


def unprotected(what: str) -> InvalidData:
    """Return the error for a line whose bytes could change while its hash stays."""
    return InvalidData(
        f"{what}, and the signature would not show a change there: write the file with one JSON object a line, as "
        "JSON.stringify or json.dumps do",
        code="unprotected-spelling",
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InvalidData(f"the member {twice!r} appears twice in one JSON object", code="duplicate-member")
    return found


def _integer(text: str) -> _Number:
    # An integer that JavaScript prints otherwise shares its hash with others: 2^53+1 with 2^53.
    if text != "-0" and (len(text) > 22 or javascript.number(float(text)) != text):
        raise _inexact(text)
    return _numbered(text)


def _real(text: str) -> _Number:
    if math.isinf(float(text)):
        raise _inexact(text)
    return _numbered(text)


def _numbered(text: str) -> _Number:
    found = _Number(text)
    found.text = text if repr(float(found)) == text or text in _spellings(float(found)) else javascript.number(found)
    return found


def _inexact(text: str) -> InvalidData:
    return InvalidData(
        f"the number {text[:40]} is not what a double makes of it, so that others share its hash: write it as a string",
        code="number-inexact",
    )


def _spell(value: Any, separators: tuple[str, str], is_ascii: bool) -> str:
    try:
        return "".join(_spelled(value, separators, json.encoder.encode_basestring_ascii if is_ascii else _raw, 0))
    except RecursionError:
        raise InvalidData("JSON is nested too deep", code="too-deep") from None


def _raw(text: str) -> str:
    return javascript.quote(text)


def _spelled(value: Any, separators: tuple[str, str], quote: Any, depth: int) -> list[str]:
    if depth >= javascript.MAX_DEPTH:
        raise InvalidData(f"JSON is nested deeper than {javascript.MAX_DEPTH} levels", code="too-deep")
    if isinstance(value, dict):
        parts, comma = ["{"], ""
        for name, item in value.items():
            parts += (comma, quote(name), separators[1])
            parts += _spelled(item, separators, quote, depth + 1)
            comma = separators[0]
        return [*parts, "}"]
    if isinstance(value, list):
        items = (
            item.text if type(item) is _Number else "".join(_spelled(item, separators, quote, depth + 1))
            for item in value
        )
        return ["[", separators[0].join(items), "]"]
    if isinstance(value, str):
        return [quote(value)]
    if isinstance(value, _Number):
        return [value.text]
    return ["null" if value is None else "true" if value else "false"]


def _spellings(value: float) -> tuple[str, ...]:
    """Return how programs write a finite double: JavaScript, Python, and what Rust and orjson write."""
    return (javascript.number(value), repr(value), orjson.dumps(value).decode())


def _common(a: str, b: str) -> int:
    """Return the length of the longest common start."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


# -- the fast way --------------------------------------------------------------------------------------------------


def ordinary(line: bytes) -> bytes | None:
    """Return the canonical form of a line that passes ``check``, or None where only the slow way can tell.

    The vector's text is cut out and settled by itself; a mark in its place shows that it was the record's own.
    What remains is proved by writing it again: the same bytes mean no repeated member, no other spelling.
    """
    return _canonical(line, _numbers)


def supposed(line: bytes, *, points: bool = True) -> bytes | None:
    """Return what the canonical form of a line is if the numbers of its vector are spelled as programs spell them.

    No number is read, which makes it quick.  To be used where the hash it should have is known: if it has that, then
    these are the bytes that were hashed, and the line is settled as one that passes ``check`` is.  None where only the
    slow way can tell.  ``points``: ``1.0`` is looked for, which few vectors have and which takes half of the time.
    """
    return _canonical(line, _as_they_stand if points else _with_points)


def _canonical(line: bytes, numbers: Callable[[bytes, bool], bytes]) -> bytes | None:
    spaced = False
    start = line.find(_STARTS[0])
    if start < 0:
        start = line.find(_STARTS[1])
        spaced = True
    try:
        if start < 0:
            return _settled(line, None)
        start += 10 if spaced else 9
        end = line.find(b"]", start) + 1
        rest = _MARK_TEXT.join((line[:start], line[end:]))
        if rest.count(_MARK_TEXT) != 1:
            return None
        return _settled(rest, numbers(line[start:end], spaced))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, _NotOrdinary):
        return None


def _settled(rest: bytes, vector: bytes | None) -> bytes | None:
    value = orjson.loads(rest)
    if type(value) is not dict or not INHERITED.isdisjoint(value):
        return None
    if vector is None:
        if not _is_written_as(rest, value, None):
            return None
        return orjson.dumps(_ordered(value))
    if value.get("vector") != _MARK or not _is_written_as(rest, value, b'"vector": ' in rest):
        return None
    head, mark, tail = orjson.dumps(_ordered(value)).partition(_MARK_TEXT)
    return None if not mark or _MARK_TEXT in tail else b"".join((head, vector, tail))


def _is_written_as(text: bytes, value: dict[str, Any], spaced: bool | None) -> bool:
    if not spaced and orjson.dumps(value) == text:
        return True
    # What json.dumps does: exponents of its numbers are spelled otherwise, but those are left to the slow way.
    for separators in ((", ", ": "),) if spaced else ((",", ":"),) if spaced is False else ((", ", ": "), (",", ":")):
        for is_ascii in (True, False):
            if json.dumps(value, separators=separators, ensure_ascii=is_ascii).encode("utf-8", "replace") == text:
                return True
    return False


def _ordered(value: dict[str, Any]) -> dict[str, Any]:
    """Return the members in canonical order, numbers such that they print as in JavaScript."""
    ordered = {}
    for name in ORDER:
        if name in value:
            item = value[name]
            ordered[name] = item if type(item) in _UNIT else _plain(item, 1)
    for name, item in value.items():
        if name not in ordered:
            if "0" <= name < ":":  # perhaps an index
                raise _NotOrdinary
            ordered[name] = item if type(item) in _UNIT else _plain(item, 1)
    return ordered


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _UNIT:
        return value
    if kind is int:
        if -_MOST_EXACT <= value <= _MOST_EXACT:
            return value
    elif kind is float:
        if _PLAIN_LOW <= abs(value) < _PLAIN_HIGH or value == 0:
            return int(value) if value.is_integer() else value
    elif depth < MAX_DEPTH:
        if kind is dict:
            found = {}
            indices = False
            for name, item in value.items():
                found[name] = item if type(item) in _UNIT else _plain(item, depth + 1)
                indices = indices or "0" <= name < ":"
            return dict(javascript.items(found.items())) if indices else found
        if kind is list:
            return [_plain(item, depth + 1) for item in value]
    raise _NotOrdinary


def _numbers(text: bytes, spaced: bool) -> bytes:
    """Return the text of a flat array of numbers as JavaScript prints it.  Raises: _NotOrdinary."""
    compact = text.replace(b", ", b",") if spaced else text
    numbers = orjson.loads(compact)
    count = len(numbers)
    if spaced and len(text) - len(compact) != max(count - 1, 0):
        raise _NotOrdinary
    printed = orjson.dumps(numbers)
    is_same = printed == compact
    if b"e" in printed:
        printed = _exponents(printed, _as_javascript)
    if not is_same and printed != compact and printed != _exponents(compact, _as_spelled):
        raise _NotOrdinary  # spelled as none of the programs that are known spells numbers
    if compact.translate(None, _NO_DIGITS) != _skeleton(count):
        # Not just numbers with a point: some may be integers past 2^53, or no numbers at all.
        kinds = set(map(type, numbers))
        if not kinds <= {int, float}:
            raise _NotOrdinary
        if int in kinds and any(type(item) is int and abs(item) > _MOST_EXACT for item in numbers):
            raise _NotOrdinary
    return _without_points(printed)


def _as_they_stand(text: bytes, spaced: bool) -> bytes:
    """Return the text of an array with the few numbers respelled that JavaScript prints otherwise than others."""
    return _without_points(_with_points(text, spaced))


def _with_points(text: bytes, spaced: bool) -> bytes:
    """As ``_as_they_stand``, but for numbers such as ``1.0``."""
    if spaced:
        compact = text.replace(b", ", b",")
        if len(text) - len(compact) != compact.count(b","):
            raise _NotOrdinary
        text = compact
    if b"e" in text:
        text = _exponents(text, _as_spelled)
    return text


def _without_points(text: bytes) -> bytes:
    """Return an array's text with integers printed as such: ``1`` for ``1.0``, ``0`` for ``-0.0``.

    Raises: _NotOrdinary for ``-0``, which no program writes and which would become the same.
    """
    if b".0," in text or text.endswith(b".0]"):
        if b"-0," in text or text.endswith(b"-0]"):
            raise _NotOrdinary
        text = text.replace(b".0,", b",").replace(b".0]", b"]").replace(b"-0,", b"0,").replace(b"-0]", b"0]")
    return text


@functools.lru_cache(maxsize=64)
def _skeleton(count: int) -> bytes:
    return b"[" + b",".join([b"."] * count) + b"]"


def _exponents(text: bytes, spell: Callable[[bytes], bytes]) -> bytes:
    """Return an array's text with its numbers that have an exponent spelled otherwise; they are few."""
    parts: list[bytes] = []
    done = 0
    at = text.find(b"e")
    while at >= 0:
        start = text.rfind(b",", done, at) + 1 or done + (done == 0)
        end = text.find(b",", at)
        end = len(text) - 1 if end < 0 else end
        parts += (text[done:start], spell(text[start:end]))
        done = end
        at = text.find(b"e", end)
    return b"".join((*parts, text[done:]))


def _as_javascript(number: bytes) -> bytes:
    return javascript.number(_double(number)).encode()


def _as_spelled(number: bytes) -> bytes:
    value = _double(number)
    if number.decode() not in _spellings(value):
        raise _NotOrdinary
    return javascript.number(value).encode()


def _double(number: bytes) -> float:
    try:
        return float(number)
    except ValueError:  # true, false, or a piece of a string
        raise _NotOrdinary from None
