"""JSON as ECMAScript reads and prints it: JSON.parse, JSON.stringify and String.prototype.trim of ECMA-262.

The original tool hashes what JavaScript makes of a line, so its rules are followed where they differ from
RFC 8785 and from Python: every number is a double, member names that look like indices come first, lone
surrogates are escaped, a repeated member keeps its first place and its last value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical

# Members in the order of the text; ``items`` puts them into the order of a JavaScript object.
Value: TypeAlias = "None | bool | float | str | list[Any] | dict[str, Any]"

MAX_DEPTH = 500
WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_INDEX = re.compile("0|[1-9][0-9]{0,9}")
_MOST_INDEX = (1 << 32) - 2
_ESCAPED = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def decode_line(line: bytes) -> str:
    """Return the text of a line: bytes that are not UTF-8 replaced by U+FFFD, white space at both ends removed."""
    return line.decode("utf-8", "replace").strip(WHITE_SPACE)


def parse(text: str) -> Value:
    """Return the value of a JSON text as ``JSON.parse`` gives it; 1e400 is Infinity, 2^53+1 is 2^53.

    Raises: InvalidData (not-json, too-deep).
    """
    value: Value = load(text, parse_int=float, parse_float=float)
    return value


def load(text: str, **hooks: Any) -> Any:
    """Return the value of a JSON text, numbers and members made by the hooks of ``json.loads``.

    Raises: InvalidData (not-json, too-deep).
    """
    try:
        return json.loads(text, parse_constant=_refuse, **hooks)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some messages of Python's end so
        raise InvalidData(f"not JSON: {what} at column {error.colno}", code="not-json") from None


def _refuse(text: str) -> NoReturn:
    raise InvalidData(f"not JSON: {text} is not a JSON number", code="not-json")


def _too_deep() -> InvalidData:
    return InvalidData(f"JSON is nested deeper than {MAX_DEPTH} levels", code="too-deep")


def is_index(name: str) -> bool:
    """Whether a member of that name comes first in a JavaScript object, in the order of its number."""
    return _INDEX.fullmatch(name) is not None and int(name) <= _MOST_INDEX


def items(members: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return members in the order of a JavaScript object: index-like names ascending, then the others as given."""
    given = list(members)
    indices = [member for member in given if is_index(member[0])]
    if not indices:
        return given
    return sorted(indices, key=lambda member: int(member[0])) + [each for each in given if not is_index(each[0])]


def spread(value: Value) -> list[tuple[str, Any]]:
    """Return the members that a value has as an object: of a string its UTF-16 units, of a number none.

    Raises: InvalidData (not-an-object) for null, which has no members to ask for.
    """
    if isinstance(value, dict):
        return items(value.items())
    if isinstance(value, list):
        return [(str(place), item) for place, item in enumerate(value)]
    if isinstance(value, str):
        raw = value.encode("utf-16-le", "surrogatepass")
        units = [raw[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(raw), 2)]
        return [(str(place), unit) for place, unit in enumerate(units)]
    if value is None:
        raise InvalidData("a record must be a JSON object, got null", code="not-an-object")
    return []


def stringify(value: Value) -> str:
    """Return the JSON text that ``JSON.stringify`` gives for a value.  Raises: InvalidData (too-deep)."""
    return _printed(value, None)


def stringify_members(members: Iterable[tuple[str, Any]]) -> str:
    """Return the JSON text of an object with these members in this order.  Raises: InvalidData (too-deep)."""
    return _printed({}, members)


def number(value: float) -> str:
    """Return a double as JSON.stringify prints it: −0 is 0, infinities and NaN are null."""
    text = repr(value)
    if "." in text and "e" not in text and not text.endswith(".0"):
        return text  # where Python prints plain decimals, JavaScript prints the same
    return canonical.number(value) if math.isfinite(value) else "null"


def quote(text: str) -> str:
    """Return a string as JSON.stringify prints it; pairs of surrogates that met are one character."""
    if _ESCAPED.search(text) is None:
        return f'"{text}"'
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return f'"{_ESCAPED.sub(_escape, joined)}"'


def _escape(match: re.Match[str]) -> str:
    mark = match.group()
    return _SHORT.get(mark) or f"\\u{ord(mark):04x}"


def _printed(value: Value, members: Iterable[tuple[str, Any]] | None) -> str:
    parts: list[str] = []
    try:
        _write(value, parts, 0, members)
    except RecursionError:
        raise _too_deep() from None
    return "".join(parts)


def _write(value: Any, parts: list[str], depth: int, members: Iterable[tuple[str, Any]] | None = None) -> None:
    if value is None:
        parts.append("null")
    elif value is True:
        parts.append("true")
    elif value is False:
        parts.append("false")
    elif isinstance(value, str):
        parts.append(quote(value))
    elif isinstance(value, (int, float)):
        parts.append(number(float(value)))
    elif depth >= MAX_DEPTH:
        raise _too_deep()
    elif isinstance(value, dict):
        mark = "{"
        for name, item in items(value.items()) if members is None else members:
            parts.append(f"{mark}{quote(name)}:")
            _write(item, parts, depth + 1)
            mark = ","
        parts.append("}" if mark == "," else "{}")
    else:
        mark = "["
        for item in value:
            parts.append(mark)
            _write(item, parts, depth + 1)
            mark = ","
        parts.append("]" if mark == "," else "[]")
