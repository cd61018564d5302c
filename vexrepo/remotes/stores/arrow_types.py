"""Types of Arrow from their names, as Arrow prints them: ``struct<source: string, pages: list<item: int32>>``."""

from __future__ import annotations

import re
from typing import Any, Final

_DEEPEST: Final = 16
_MOST: Final = 4096  # characters of a name
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*")
_PLAIN: Final = frozenset(
    (
        *("string", "large_string", "bool", "halffloat", "float", "double", "binary", "large_binary"),
        *("date32[day]", "date64[ms]", "time32[s]", "time32[ms]", "time64[us]", "time64[ns]"),
        *(f"duration[{unit}]" for unit in ("s", "ms", "us", "ns")),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
)
_DECIMAL: Final = re.compile(r"decimal(128|256)\((\d{1,2}), (\d{1,2})\)")
_STAMP: Final = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=([A-Za-z0-9_/+:-]{1,64}))?\]")
_BYTES: Final = re.compile(r"fixed_size_binary\[(\d{1,6})\]")
_LIST: Final = re.compile(r"(large_list|list|fixed_size_list)<(.*)>(?:\[(\d{1,6})\])?")
_STRUCT: Final = re.compile(r"struct<(.+)>")


def parse_type(text: str) -> Any:
    """Return the type that a text names, None for one that is not known here."""
    return _parse(text, 0) if len(text) <= _MOST else None


def _parse(text: str, depth: int) -> Any:
    import pyarrow as pa

    if text in _PLAIN:
        return pa.type_for_alias("date32" if text == "date32[day]" else text)
    if match := _STAMP.fullmatch(text):
        return pa.timestamp(match[1], match[2])
    if match := _DECIMAL.fullmatch(text):
        make, most = (pa.decimal128, 38) if match[1] == "128" else (pa.decimal256, 76)
        precision, scale = int(match[2]), int(match[3])
        return make(precision, scale) if 0 < precision <= most and scale <= precision else None
    if match := _BYTES.fullmatch(text):
        return pa.binary(int(match[1])) if int(match[1]) else None
    if depth >= _DEEPEST:
        return None
    if match := _LIST.fullmatch(text):
        return _list_of(match[1], match[2], match[3], depth)
    if match := _STRUCT.fullmatch(text):
        fields = [_field(each, depth) for each in _split(match[1])]
        return None if any(each is None for each in fields) else pa.struct(fields)
    return None


def _list_of(kind: str, inner: str, size: str | None, depth: int) -> Any:
    import pyarrow as pa

    item = _field(inner, depth)
    if item is None or (kind == "fixed_size_list") is (size is None) or size == "0":
        return None
    if size is not None:
        return pa.list_(item, int(size))
    return pa.large_list(item) if kind == "large_list" else pa.list_(item)


def _field(text: str, depth: int) -> Any:
    """Return the field that ``name: type`` or ``name: type not null`` says, None if none."""
    import pyarrow as pa

    name, mark, kind = text.partition(": ")
    bare = kind.removesuffix(" not null")
    found = _parse(bare, depth + 1) if mark and _NAME.fullmatch(name) else None
    return None if found is None else pa.field(name, found, nullable=bare == kind)


def _split(text: str) -> list[str]:
    """Return the parts between the commas that are within no brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += letter in "<[("
        depth -= letter in ">])"
        if letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]
