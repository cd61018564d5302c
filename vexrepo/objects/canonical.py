"""Canonical JSON: RFC 8785 (JCS), with integers of any size keeping all their digits.

One value has one encoding.  ``encode`` takes the fast encoder's output where it already is canonical and
falls back to a plain implementation of the RFC where it might not be; tests hold both equal to the
``rfc8785`` package.  Numbers: 1.0 and 1 are the same number and both give ``1``.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeAlias

import orjson

from vexrepo.errors import InvalidData

MAX_DEPTH = 128

Json: TypeAlias = "None | bool | int | float | str | list[Any] | dict[str, Any]"

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# What the fast encoder writes differently: exponents, and doubles with an integer value.  Either pattern inside
# a string only costs the slow path.
_ODD_NUMBER = re.compile(rb"(?:^|[:,\[])-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+0-9]|(?<=\.0)(?:[,}\]]|$))")
_EXPONENT_HAS_SIGN = orjson.dumps(1e16) == b"1e+16"
_LONG_NUMBER = re.compile(rb"[:,\[]-?[0-9]{19}")
_ASTRAL = re.compile(rb"[\xf0-\xf4]")
_HIGH_BMP = re.compile(rb"[\xee\xef]")
_ESCAPE = re.compile(r'[\x00-\x1f"\\]')
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def encode(value: Json) -> bytes:
    """Return the canonical UTF-8 bytes of a JSON value.

    Raises: InvalidData (not-finite, lone-surrogate, too-deep, unsupported-value).
    """
    try:
        fast = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return _encode_slowly(value)
    if b"null" in fast and not _is_finite(value):
        raise InvalidData("a number is NaN or infinite, which JSON cannot hold", code="not-finite")
    return fast if _is_canonical(fast) else _encode_slowly(value)


def encode_parsed(value: Json) -> bytes:
    """As ``encode``, for values that came from a JSON parser and so hold no NaN or infinity."""
    try:
        fast = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return _encode_slowly(value)
    return fast if _is_canonical(fast) else _encode_slowly(value)


def encode_certain(value: Json) -> bytes | None:
    """Return the canonical bytes of a parsed value, or None where the fast encoder's output may not be canonical.

    None also stands for numbers the fast parser may have read inexactly, so callers parse again with ``parse``.
    """
    fast = orjson.dumps(value, option=_OPTIONS)
    return fast if _is_canonical(fast) else None


def decode(raw: bytes | memoryview) -> Json:
    """Return the value of canonical bytes.

    Raises: InvalidData (not-canonical) when encoding the value would not give the same bytes back.
    """
    value = parse(raw)
    if encode_parsed(value) != raw:
        raise InvalidData(f"bytes are not canonical JSON: {bytes(raw[:60])!r}", code="not-canonical")
    return value


def parse(raw: bytes | memoryview) -> Json:
    """Return the value of any strict JSON text: unique member names, finite numbers, full-size integers.

    Raises: InvalidData (not-json, not-utf8, duplicate-member, lone-surrogate, not-finite, too-deep).
    """
    try:
        value: Json = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _explained(bytes(raw), error) from None
    fast = orjson.dumps(value, option=_OPTIONS)
    source = bytes(raw)
    # Same number of quotes and no quote in disguise: no member was dropped (a dropped one takes its quotes along).
    if fast.count(b'"') == source.count(b'"') and b"\\u0022" not in source and not has_odd_number(fast):
        if _depth_bound(fast) <= MAX_DEPTH:
            return value
    return _parse_slowly(source)


def _is_canonical(fast: bytes) -> bool:
    if has_odd_number(fast) or _depth_bound(fast) > MAX_DEPTH:
        return False
    # JCS sorts member names by UTF-16 code units, the fast encoder by code points: they differ only where a
    # character above U+FFFF meets one of U+E000–U+FFFF.
    return fast.isascii() or not (_ASTRAL.search(fast) and _HIGH_BMP.search(fast))


def has_odd_number(fast: bytes) -> bool:
    """Whether the fast encoder's output may hold a number that RFC 8785 prints otherwise."""
    # Plain searches for what every odd number contains are ten times as fast as the pattern.
    if _EXPONENT_HAS_SIGN and not (
        b"e-" in fast or b"e+" in fast or b".0," in fast or b".0}" in fast or b".0]" in fast or fast.endswith(b".0")
    ):
        return False
    return _ODD_NUMBER.search(fast) is not None


def has_long_number(text: bytes) -> bool:
    """Whether a text may hold an integer of more digits than the fast parser keeps."""
    return _LONG_NUMBER.search(text) is not None


def _depth_bound(text: bytes) -> int:
    return text.count(b"{") + text.count(b"[")


def _is_finite(value: Json) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_finite(item) for item in value)
    return True


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
    if depth > MAX_DEPTH:
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
        parts.append(str(int(value)))
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
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
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
        raise InvalidData(f"not JSON: {error.msg} at column {error.colno}", code="not-json") from None
    encode_parsed(value)  # depth and surrogates
    return value


def _integer(text: str) -> int:
    if len(text) > 1000:
        raise InvalidData(f"an integer of {len(text)} digits is longer than the limit of 1000", code="too-long")
    return int(text)


def _explained(source: bytes, error: orjson.JSONDecodeError) -> InvalidData:
    """Say more exactly than the fast parser does what is wrong with a text it refused."""
    try:
        _parse_slowly(source)
    except InvalidData as precise:
        return precise
    except ValueError:
        pass
    return InvalidData(f"not JSON: {error}", code="not-json")
