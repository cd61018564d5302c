"""Canonical JSON: RFC 8785 (JCS), with integers of any size keeping all their digits.

One value has one encoding.  ``encode`` takes the fast encoder's output where it already is canonical and
falls back to a plain implementation of the RFC where it might not be; tests hold both equal to the
``rfc8785`` package.  Numbers: 1.0 and 1 are the same number and both give ``1``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import repeat
from typing import Any, TypeAlias

import orjson

from vexrepo.errors import InvalidData

MAX_DEPTH = 128  # arrays and objects inside one another
MAX_DIGITS = 1000  # of an integer

Json: TypeAlias = "None | bool | int | float | str | list[Any] | dict[str, Any]"

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# Doubles in this range print alike in the fast encoder and in RFC 8785, unless their value is an integer.
_PLAIN_LOW, _PLAIN_HIGH = 1e-5, 1e15
_PLAIN_TYPES = frozenset((str, int, bool, type(None)))
_TOO_BIG = 10**MAX_DIGITS
_ESCAPE = re.compile(r'[\x00-\x1f"\\]')
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def encode(value: Json) -> bytes:
    """Return the canonical UTF-8 bytes of a JSON value.

    Raises: InvalidData (not-finite, lone-surrogate, too-deep, too-long, unsupported-value).
    """
    found = encode_certain(value)
    return _encode_slowly(value) if found is None else found


def encode_certain(value: Json, depth: int = 0) -> bytes | None:
    """Return the canonical bytes of a value, or None where the fast encoder's output may not be canonical.

    None also stands for numbers the fast parser may have read inexactly, so callers parse again with ``parse``.
    ``depth``: how many objects and arrays the value is to be inside of.
    """
    return _print(value) if is_plain(value, depth) else None


def decode(raw: bytes | memoryview) -> Json:
    """Return the value of canonical bytes.

    Raises: InvalidData (not-canonical) when encoding the value would not give the same bytes back.
    """
    value = parse(raw)
    if encode(value) != raw:
        raise InvalidData(f"bytes are not canonical JSON: {bytes(raw[:60])!r}", code="not-canonical")
    return value


def parse(raw: bytes | memoryview) -> Json:
    """Return the value of any strict JSON text: unique member names, finite numbers, full-size integers.

    Raises: InvalidData (not-json, not-utf8, duplicate-member, lone-surrogate, not-finite, too-deep, too-long).
    """
    try:
        value: Json = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Says more exactly what is wrong; and reads integers above the range of a double, which that parser refuses.
        return _parse_slowly(bytes(raw))
    source = bytes(raw)
    # Printing what was read gives the text again: nothing in it was dropped or rounded.
    if _print(value) == source and source.count(b"[") + source.count(b"{") <= MAX_DEPTH:
        return value
    fast = encode_certain(value)
    # Same number of quotes and no quote in disguise: no member was dropped (a dropped one takes its quotes along).
    if fast is not None and fast.count(b'"') == source.count(b'"') and b"\\u0022" not in source:
        return value
    return _parse_slowly(source)


def _print(value: Json) -> bytes | None:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return None


def is_plain(value: Json, depth: int = 0) -> bool:
    """Whether the fast encoder is sure to write a value canonically.

    Not so for: member names beyond ASCII (JCS sorts by UTF-16 units, the encoder by code points), numbers it
    prints in another way, integers past 64 bits (which the fast parser gives as huge floats), deep nesting.
    """
    kind = type(value)
    if kind is dict:
        return depth < MAX_DEPTH and _are_plain(value, depth + 1)  # type: ignore[arg-type]
    if kind is list:
        return depth < MAX_DEPTH and (
            _PLAIN_TYPES.issuperset(map(type, value))  # type: ignore[arg-type]
            or all(is_plain(item, depth + 1) for item in value)  # type: ignore[union-attr]
        )
    if kind is float:
        return _PLAIN_LOW <= abs(value) < _PLAIN_HIGH and not value.is_integer()  # type: ignore[arg-type,union-attr]
    return kind in _PLAIN_TYPES


def _are_plain(members: dict[str, Any], depth: int) -> bool:
    try:
        if not "".join(members).isascii():
            return False
    except TypeError:
        return False
    # Most members are strings, integers, booleans and nulls: one look at their types settles them.
    rest = [item for item in members.values() if type(item) not in _PLAIN_TYPES]
    return all(map(is_plain, rest, repeat(depth)))


def _encode_slowly(value: Json) -> bytes:
    parts: list[str] = []
    _write(value, parts, 0)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError as error:
        raise InvalidData(
            f"a string holds a lone surrogate (U+{ord(error.object[error.start]):04X}), which has no UTF-8 form",
            code="lone-surrogate",
        ) from None


def _write(value: Json, parts: list[str], depth: int) -> None:
    if depth >= MAX_DEPTH and isinstance(value, (list, tuple, dict)):
        raise InvalidData(f"JSON is nested deeper than {MAX_DEPTH} levels", code="too-deep")
    if value is None:
        parts.append("null")
    elif value is True:
        parts.append("true")
    elif value is False:
        parts.append("false")
    elif isinstance(value, str):
        parts.append(_quote(value))
    elif isinstance(value, int):
        parts.append(_digits(int(value)))
    elif isinstance(value, float):
        parts.append(number(value))
    elif isinstance(value, (list, tuple)):
        parts.append("[")
        for position, item in enumerate(value):
            if position:
                parts.append(",")
            _write(item, parts, depth + 1)
        parts.append("]")
    elif isinstance(value, dict):
        parts.append("{")
        for position, name in enumerate(sorted(value, key=_utf16)):
            if position:
                parts.append(",")
            parts.append(_quote(name))
            parts.append(":")
            _write(value[name], parts, depth + 1)
        parts.append("}")
    else:
        raise InvalidData(f"a value of type {type(value).__name__} has no JSON form", code="unsupported-value")


def _digits(value: int) -> str:
    if abs(value) >= _TOO_BIG:
        raise InvalidData(f"an integer has more than {MAX_DIGITS} digits", code="too-long")
    return str(value)


def _utf16(name: Json) -> bytes:
    if not isinstance(name, str):
        raise InvalidData(
            f"a member name must be a string, got {type(name).__name__}",
            code="unsupported-value",
        )
    return name.encode("utf-16-be", "surrogatepass")


def _quote(text: str) -> str:
    return '"' + _ESCAPE.sub(lambda m: _SHORT_ESCAPES.get(m.group()) or f"\\u{ord(m.group()):04x}", text) + '"'


def number(value: float) -> str:
    """Return a double as ECMAScript prints it (RFC 8785, section 3.2.2.3)."""
    if not math.isfinite(value):
        raise InvalidData(f"a number is {value!r}, which JSON cannot hold", code="not-finite")
    if value == 0:
        return "0"
    text = repr(value)
    sign = ""
    if text[0] == "-":
        sign, text = "-", text[1:]
    mantissa, _, exponent_text = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = whole + fraction
    point = len(whole) + int(exponent_text or "0")
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0") or "0"
    count = len(digits)
    if count <= point <= 21:
        body = digits + "0" * (point - count)
    elif 0 < point <= 21:
        body = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        exponent = point - 1
        tail = ("." + digits[1:]) if count > 1 else ""
        body = f"{digits[0]}{tail}e{'+' if exponent > 0 else '-'}{abs(exponent)}"
    return sign + body


def _parse_slowly(source: bytes) -> Json:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise InvalidData(f"the member {twice!r} appears twice in one JSON object", code="duplicate-member")
        return found

    def refuse(text: str) -> float:
        raise InvalidData(f"{text} is not a JSON number", code="not-finite")

    def real(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise InvalidData(f"the number {text} is too large for a double", code="not-finite")
        return value

    try:
        value: Json = json.loads(
            source.decode(), object_pairs_hook=members, parse_constant=refuse, parse_float=real, parse_int=_integer
        )
    except RecursionError:
        raise InvalidData(f"JSON is nested deeper than {MAX_DEPTH} levels", code="too-deep") from None
    except UnicodeDecodeError as error:
        raise InvalidData(f"bytes are not UTF-8 at byte {error.start}", code="not-utf8") from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some messages of Python's end so
        raise InvalidData(f"not JSON: {what} at column {error.colno}", code="not-json") from None
    encode(value)  # depth and surrogates
    return value


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise InvalidData(f"an integer of {len(text)} digits is longer than the limit of {MAX_DIGITS}", code="too-long")
    return int(text)
