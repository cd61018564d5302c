"""What is wrong with a line of a vmig file: findings as values, never an exception.

``check_line`` decides ordinary lines by a quick look and gives everything else to ``check_exactly``; tests hold
both to the same verdict.  What it finds no error in, ``vmig.parse_record`` can read.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from vexrepo.errors import InvalidData
from vexrepo.formats import vmig
from vexrepo.formats.schema import BY_NAME, ORDINARY, REQUIRED, VERSION_PATTERN
from vexrepo.objects import canonical, record, vector
from vexrepo.objects.record import Record
from vexrepo.objects.timestamp import time_us
from vexrepo.objects.vector import MAIN

WARNINGS = frozenset(
    (
        "time-number",
        "metadata-list",
        "metadata-nested",
        "vector-shape",
        "id-in-two-namespaces",
        "byte-order-mark",
        "carriage-return",
    )
)
NOTES = frozenset(("no-vector", "blank-line"))
# A live store has its own schema: it need not say which version of the file format it follows, nor write dates in text.
NOT_OF_STORES = frozenset(("version-missing", "time-number"))

QUICK_BYTES = 500_000  # longer lines could break a limit on sizes
_QUICK_DEPTH = 8
_EXACT = 1 << 53
_VECTOR_START = re.compile(rb'"vector"[ \t]*:[ \t]*\[')
_MARK = 7130250613487291
_MARK_TEXT = b"7130250613487291"
_VERSION = re.compile(VERSION_PATTERN)
_TYPES = {name: types for name, types in ORDINARY.items() if name != "vector"}
_NEEDED = {member.name for member in REQUIRED}
_NESTS = frozenset((dict, list))


class Finding(NamedTuple):
    """One thing to say about a record: a code of ``errors.CODES`` and the words."""

    code: str
    message: str


class Checked(NamedTuple):
    """A record as checked.  ``key`` is (namespace, id), None where it has none."""

    key: tuple[str, str] | None
    findings: tuple[Finding, ...]


class _Shape(NamedTuple):
    """A record's vectors: ``dims`` of a flat one; whether any is given; whether any, even a bad one, has content."""

    dims: int | None
    is_given: bool
    is_filled: bool


def severity(code: str, *, strict: bool) -> str:
    """Return "error", "warning" or "note"."""
    if code in NOTES:
        return "note"
    return "warning" if code in WARNINGS and not strict else "error"


def check_line(line: bytes) -> Checked:
    """Return what is to be said about one line."""
    return _check_quickly(line) or check_exactly(line)


def check_exactly(line: bytes) -> Checked:
    """Return what is to be said about one line, the slow way."""
    try:
        value = canonical.parse(line)
    except InvalidData as error:
        return Checked(None, (Finding(error.code, str(error)),))
    if not isinstance(value, dict):
        words = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
        found = Finding("not-an-object", f"a record must be a JSON object, got {words.get(type(value), 'a number')}")
        return Checked(None, (found,))
    findings: list[Finding] = []
    shape = _check_vectors(value, findings)
    checked = _checked(value, shape, findings)
    if len(line) > QUICK_BYTES and all(found.code in WARNINGS | NOTES for found in findings):
        try:
            vmig.parse_record(line)
        except InvalidData as error:
            return checked._replace(findings=(Finding(error.code, str(error)), *checked.findings))
    return checked


def check_record(item: Record) -> Checked:
    """Return what is to be said about a record of a live store."""
    findings: list[Finding] = []
    dims = None
    for space, _ in item.vectors:
        if space.name == MAIN and space.kind == "dense":
            dims = space.dims
        _check_shape(space.name, space.kind, findings)
    value, is_filled = record.body_value(item.body), bool(item.vectors)
    checked = _checked(value, _Shape(dims, is_filled or value.get("vector") is not None, is_filled), findings)
    return checked._replace(findings=tuple(found for found in checked.findings if found.code not in NOT_OF_STORES))


# -- the quick look ------------------------------------------------------------------------------------------------


def _check_quickly(line: bytes) -> Checked | None:
    """Return the verdict on an ordinary line, None where only the exact way can tell."""
    if len(line) > QUICK_BYTES:
        return None
    start = line.find(b'"vector":[')
    if start >= 0:
        start += 9
    else:
        match = _VECTOR_START.search(line)
        start = match.end() - 1 if match else -1
    try:
        if start < 0:
            rest, value = line, orjson.loads(line)
            if type(value) is not dict or value.get("vector") is not None:
                return None
            shape = _Shape(None, False, False)
        else:
            # The vector is checked as text as far as that goes; a mark in its place, found once, proves that it was
            # the record's own and not a member of something nested.
            end = line.find(b"]", start) + 1
            numbers = line[start:end]
            if b'"' in numbers or b"u" in numbers or b"a" in numbers or b"{" in numbers:
                return None  # a string, true or null, false, an object
            rest = _MARK_TEXT.join((line[:start], line[end:]))
            value = orjson.loads(rest)
            if type(value) is not dict or value.get("vector") != _MARK or rest.count(_MARK_TEXT) != 1:
                return None
            found = orjson.loads(numbers)
            # Whole numbers may be too large for a double; those with a point cannot.
            if not found or (numbers.count(b".") != len(found) and (max(found) >= _EXACT or min(found) <= -_EXACT)):
                return None
            shape = _Shape(len(found), True, True)
    except orjson.JSONDecodeError:
        return None
    # Same number of quotes and no quote in disguise: no member was dropped for another of its name.
    if orjson.dumps(value).count(b'"') != rest.count(b'"') or b"\\u0022" in rest or "vectors" in value:
        return None
    for item in value.values():
        if type(item) in _NESTS and not _is_shallow(item, _QUICK_DEPTH):
            return None
    return _checked(value, shape, [])


def _is_shallow(item: Any, depth: int) -> bool:
    below = item.values() if type(item) is dict else item
    if _NESTS.isdisjoint(map(type, below)):
        return True
    return all(depth > 0 and _is_shallow(each, depth - 1) for each in below if type(each) in _NESTS)


# -- members -------------------------------------------------------------------------------------------------------


def _checked(value: dict[str, Any], shape: _Shape, findings: list[Finding]) -> Checked:
    """Return the verdict on a record's members, ``vector`` and ``vectors`` left out."""
    for name, item in value.items():
        types = _TYPES.get(name)
        if types is not None and type(item) not in types:
            _check_type(name, item, shape, findings)
    if not value.keys() >= _NEEDED:
        for member in (each for each in REQUIRED if each.name not in value):
            findings.append(Finding(member.wrong_type, f"there is no {member.name}"))
    identifier, space = value.get("id"), value.get("namespace")
    if identifier == "":
        findings.append(Finding("id-missing", "the id is empty"))
    version = value.get("vex_version")
    if version != "1.0.0" and type(version) is str and not _VERSION.fullmatch(version):
        findings.append(Finding("version-missing", f"vex_version is {version!r:.40}, expected e.g. '1.0.0'"))
    made = value.get("created_at")
    if made is not None:
        _check_time(made, findings)
    _check_dims(value.get("dims"), shape, findings)
    metadata = value.get("metadata")
    if type(metadata) is dict and not _NESTS.isdisjoint(map(type, metadata.values())):
        _check_metadata(metadata, findings)
    if not shape.is_given and value.get("text") is None:
        findings.append(Finding("record-empty", "text and vector are both missing; a record needs one of them"))
    elif not shape.is_filled:
        findings.append(Finding("no-vector", "no vector; it can be embedded again from its text"))
    key = None
    if type(identifier) is str and identifier and (space is None or type(space) is str):
        key = (space or "", identifier)
    return Checked(key, tuple(findings))


def _check_type(name: str, item: Any, shape: _Shape, findings: list[Finding]) -> None:
    if name == "dims" and ((type(item) is float and item.is_integer()) or shape.dims is not None):
        return  # a whole number after all; or the length of the vector tells
    member = BY_NAME[name]
    findings.append(Finding(member.wrong_type, f"{name} is {shown(item)}, expected {member.expected()}"))


def _check_time(made: Any, findings: list[Finding]) -> None:
    if type(made) is str:
        if time_us(made) is None:
            words = f"created_at is {made!r:.40}, expected a date such as 2026-01-31 or 2026-01-31T09:30:00Z"
            findings.append(Finding("time-form", words))
    elif type(made) is int or type(made) is float:
        if time_us(made) is None:
            findings.append(Finding("time-form", f"created_at is {shown(made)}, too large for a time since 1970"))
        else:
            words = f"created_at is the number {shown(made)}; the format wants ISO 8601"
            findings.append(Finding("time-number", words))


def _check_dims(dims: Any, shape: _Shape, findings: list[Finding]) -> None:
    if dims is None or dims == shape.dims:
        if type(dims) is not bool:
            return
    if shape.dims is not None:
        words = f"dims is {shown(dims)}, but the vector has {shape.dims} number{'' if shape.dims == 1 else 's'}"
        findings.append(Finding("dims-mismatch", words))
    elif type(dims) in (int, float) and dims < 0:
        findings.append(Finding("member-type", f"dims is {shown(dims)}, expected 0 or more"))


def _check_metadata(metadata: dict[str, Any], findings: list[Finding]) -> None:
    lists, nested = [], []
    for name, item in metadata.items():
        if type(item) is dict or (type(item) is list and not _NESTS.isdisjoint(map(type, item))):
            nested.append(name)
        elif type(item) is list:
            lists.append(name)
    for code, names, what in (("metadata-list", lists, "an array"), ("metadata-nested", nested, "nested")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            findings.append(Finding(code, f"metadata.{names[0]:.40} is {what}{more}; the format wants single values"))


def _check_vectors(value: dict[str, Any], findings: list[Finding]) -> _Shape:
    main, named = value.get("vector"), value.get("vectors")
    dims, is_filled = None, False
    if main == []:
        dims = 0
        findings.append(Finding("vector-shape", "vector is an empty array; the format wants null or numbers"))
    elif main is not None:
        is_filled = True
        try:
            found = vector.from_json(MAIN, None, main)
            if found is None:
                words = f"vector is {shown(main)}, expected an array of numbers or null"
                findings.append(Finding("vector-type", words))
            else:
                dims = found.space.dims if found.space.kind == "dense" else None
                _check_shape(MAIN, found.space.kind, findings)
        except InvalidData as error:
            findings.append(Finding(error.code, str(error)))
    if isinstance(named, dict):
        _check_shape("vectors", "", findings)
        if named and MAIN not in named:
            is_filled = True
            try:
                for name, item in sorted(named.items()):
                    vector.from_json(name, None, item)
            except InvalidData as error:
                findings.append(Finding(error.code, f"vectors: {error}"))
    return _Shape(dims, main is not None or (isinstance(named, dict) and bool(named)), is_filled)


def _check_shape(name: str, kind: str, findings: list[Finding]) -> None:
    if name != MAIN:
        findings.append(Finding("vector-shape", "the record has named vectors, which other vmig tools do not read"))
    elif kind != "dense":
        what = "sparse" if kind == "sparse" else "of several rows"
        findings.append(Finding("vector-shape", f"the vector is {what}; the format wants one array of numbers"))


def shown(item: Any) -> str:
    """Return a value for a message, cut to size."""
    if type(item) in _NESTS:
        return "an object" if type(item) is dict else "an array"
    if item is None or type(item) is bool:
        return {None: "null", True: "true", False: "false"}[item]
    if type(item) in (int, float) and abs(item) >= 1 << 64:
        return "a huge number"  # of which the quick parser does not know all digits
    return f"{item!r:.40}"
