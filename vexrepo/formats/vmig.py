"""vmig lines: one record a line of JSON, read strictly and written as the original tool orders members.

Reading keeps every number and member; a line that is not exactly one unambiguous record is refused with a
reason.  Format of a record: objects/FORMAT.md, "Records".
"""

from __future__ import annotations

import functools
import re
from typing import Any

import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical, record, vector
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Vector

VERSION = "1.0.0"  # of the format, which each record names
MAX_LINE_BYTES = 256 << 20
MEMBER_ORDER = (
    "id",
    "text",
    "vector",
    "model",
    "dims",
    "namespace",
    "metadata",
    "created_at",
    "source_store",
    "modality",
    "score",
    "vex_version",
)
_VECTOR_START = b'"vector":['
_MARK = 7130250613487291
_MARK_TEXT = b"7130250613487291"
_ID = re.compile(rb'"id"\s*:\s*"((?:[^"\\]|\\.){0,200})"')


def parse_record(line: bytes) -> Record:
    """Return the record of one line.

    Raises: InvalidData with a reason and no place: not-json, not-an-object, not-utf8, duplicate-member,
    lone-surrogate, not-finite, too-deep, id-missing, namespace-type, vector-type, dims-mismatch, limit-exceeded.
    """
    # The vector's text is cut out and parsed by itself: its exact digits tell which dtype reproduces them.  The
    # mark left in its place, found once in the text, proves that it was the record's own vector and not a member
    # of something nested.
    start = line.find(_VECTOR_START)
    if start >= 0:
        start += len(_VECTOR_START) - 1
        end = line.find(b"]", start) + 1
        rest = _MARK_TEXT.join((line[:start], line[end:]))
        try:
            value = orjson.loads(rest)
            if (
                end - start > 2
                and _is_marked(value)
                and rest.count(_MARK_TEXT) == 1
                and not line[start + 1 : end - 1].isspace()
            ):
                main = vector.from_text(MAIN, record.model_of(value), line[start:end])
                found = _certain(value, rest, main)
                if found is not None:
                    return found
                value = canonical.parse(rest)
                if isinstance(value, dict) and _is_marked(value) and "vectors" not in value:
                    record.take_vector(value, main)
                    return record.with_body(record.key_of(value), canonical.encode(value), (main,))
        except orjson.JSONDecodeError:
            pass
    parsed = canonical.parse(line)
    if not isinstance(parsed, dict):
        raise InvalidData(f"a record must be a JSON object, got {type(parsed).__name__}", code="not-an-object")
    return record.from_json(parsed)


def _is_marked(value: Any) -> bool:
    found = value.get("vector") if type(value) is dict else None
    return type(found) is int and found == _MARK


def _certain(value: dict[str, Any], rest: bytes, main: Vector) -> Record | None:
    """Return the record of a parsed line, or None where only the strict parser can tell that it is right."""
    if "vectors" in value:
        return None
    record.take_vector(value, main)
    body = canonical.encode_certain(value)
    # The strict parser's own test for dropped members: the same number of quotes, but for the vector's name.
    if body is None or body.count(b'"') + 2 != rest.count(b'"') or b"\\u0022" in rest:
        return None
    return record.with_body(record.key_of(value), body, (main,))


def line_id(line: bytes) -> str:
    """Return the id a line seems to have, for messages about lines that cannot be parsed; "" if none shows."""
    match = _ID.search(line[:65536])
    return match[1].decode("utf-8", "replace") if match else ""


def format_record(item: Record, complete: str | None = None) -> bytes:
    """Return a record as one line of JSON without the newline, members in the original tool's order.

    ``complete``, the kind of store a record comes from, adds what every line should have and the record does not say,
    as the original tool writes it: null, or what is true of all records.
    """
    texts = {vec.space.name: vector.to_json_text(vec) for vec in item.vectors}
    main = texts.pop(MAIN, None)
    body = item.body
    try:
        value = orjson.loads(body)
        # Where printing what was read gives the body again, printing it in another order is exact as well.
        is_exact = complete is None and orjson.dumps(value) == body
    except orjson.JSONDecodeError:  # an integer above the range of a double
        value, is_exact = record.body_value(body), False
    if complete is not None:
        _fill(value, item, complete)
    if main is not None:
        value["vector"] = None
    ordered = {name: value[name] for name in _order(tuple(value))}
    line = orjson.dumps(ordered) if is_exact else _dumps(ordered)
    if line is None:
        if complete is not None:
            value = record.body_value(body)
            _fill(value, item, complete)
            body = canonical.encode(value)
        line = _exactly(body, list(ordered))
    if main is not None:
        # The first match is the record's own: before it are only id and text, whose quotes are escaped; a text that
        # is no string is passed over.
        start = 0
        if isinstance(ordered.get("text"), (dict, list)):
            start = len(_exactly(body, ["id", "text"])) - 1
        place = line.index(b'"vector":null', start)
        line = b"".join((line[: place + 9], main, line[place + 13 :]))
    if texts:
        named = b",".join(canonical.encode(name) + b":" + texts[name] for name in sorted(texts))
        line = line[:-1] + b',"vectors":{' + named + b"}}"
    return line


@functools.lru_cache(maxsize=32)  # most records have the same few members
def _order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a record's members in the order they are written."""
    known = [name for name in MEMBER_ORDER if name in names]
    return (*known, *(name for name in names if name not in MEMBER_ORDER))


def _fill(value: dict[str, Any], item: Record, kind: str) -> None:
    main = next((each for each in item.vectors if each.space.name == MAIN), None)
    if main is None:
        value.setdefault("vector", None)
    value.setdefault("dims", None if main is None else main.space.dims or None)
    for name in ("text", "model", "namespace", "metadata", "created_at", "score"):
        value.setdefault(name, None)
    value.setdefault("source_store", kind)
    value.setdefault("modality", "text")
    value.setdefault("vex_version", VERSION)


def _dumps(ordered: dict[str, Any]) -> bytes | None:
    try:
        return orjson.dumps(ordered) if canonical.is_plain(ordered) else None
    except TypeError:  # an integer past 64 bits
        return None


def _exactly(body: bytes, names: list[str]) -> bytes:
    """Return the members of a body in the given order, each in canonical form (the slow, exact way)."""
    value = record.body_value(body)
    parts = [canonical.encode(name) + b":" + canonical.encode(value.get(name)) for name in names]
    return b"{" + b",".join(parts) + b"}"
