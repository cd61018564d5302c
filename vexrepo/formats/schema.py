"""The shape of a vmig record: one table that ``vex validate``, the JSON Schema and the TypeScript types are made of.

Two readings: *lenient*, what we accept and keep, and *strict*, the letter of the format, which every vmig tool can
be expected to take.  ``docs/dev/make_schema.py`` writes objects/vmig.schema.json and objects/vmig.d.ts from here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

VERSION_PATTERN = r"^[0-9]+\.[0-9]+(\.[0-9]+)?([-+][0-9A-Za-z.+-]+)?$"
DATE_PATTERN = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}"
MAX_TIME = 1e16  # a number since 1970 beyond this is no time


class Kind(NamedTuple):
    """A type of value: its JSON Schema, its name in TypeScript, and the Python types that always fit it.

    ``ordinary`` is a shortcut for the common case; values of other types may still fit (3.0 is an integer).
    """

    schema: dict[str, Any]
    typescript: str
    ordinary: frozenset[type]


def _kind(schema: dict[str, Any], typescript: str, *ordinary: type) -> Kind:
    return Kind(schema, typescript, frozenset(ordinary))


KINDS: dict[str, Kind] = {
    "null": _kind({"type": "null"}, "null", type(None)),
    "string": _kind({"type": "string"}, "string", str),
    "number": _kind({"type": "number"}, "number", int, float),
    "integer": _kind({"type": "integer", "minimum": 0}, "number", int),
    "object": _kind({"type": "object"}, "{ [name: string]: Json }", dict),
    "scalars": _kind({"$ref": "#/$defs/scalars"}, "{ [name: string]: Scalar }"),
    "numbers": _kind({"$ref": "#/$defs/numbers"}, "number[]"),
    "some-numbers": _kind({"$ref": "#/$defs/someNumbers"}, "number[]"),
    "rows": _kind({"$ref": "#/$defs/rows"}, "number[][]"),
    "sparse": _kind({"$ref": "#/$defs/sparse"}, "SparseVector"),
}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a record: the kinds it may be, leniently and strictly, and what it means.

    ``rules`` are further JSON Schema keywords; ``wrong_type`` is the code of a value of another kind.
    """

    name: str
    kinds: tuple[str, ...]
    meaning: str
    strict: tuple[str, ...] = ()
    required: bool = False
    rules: dict[str, Any] = field(default_factory=dict)
    wrong_type: str = "member-type"

    @property
    def strict_kinds(self) -> tuple[str, ...]:
        """The kinds allowed by the letter of the format."""
        return self.strict or self.kinds

    def expected(self) -> str:
        """Return the allowed kinds in words: ``a string or null``."""
        words = {"null": "null", "object": "an object", "integer": "a whole number"}
        return " or ".join(words.get(kind, f"a {kind}") for kind in self.kinds)


_TEXT = ("string", "null")
MEMBERS: tuple[Member, ...] = (
    Member(
        "id",
        ("string",),
        "Identifies the record: not empty, and unique in its file (leniently: within its namespace).",
        required=True,
        rules={"minLength": 1},
        wrong_type="id-missing",
    ),
    Member("text", _TEXT, "What is remembered, in words. A record has a text, a vector, or both."),
    Member(
        "vector",
        ("numbers", "rows", "sparse", "null"),
        "The embedding: an array of finite numbers. Leniently also empty, several rows of one length, or sparse.",
        strict=("some-numbers", "null"),
        wrong_type="vector-type",
    ),
    Member("model", _TEXT, "The embedding model that made the vector."),
    Member("dims", ("integer", "null"), "How many numbers the vector has; must be its length."),
    Member(
        "namespace",
        _TEXT,
        "Divides a memory; absent, null and the empty string are the same.",
        wrong_type="namespace-type",
    ),
    Member(
        "metadata",
        ("object", "null"),
        "More about the record, by name: single values. Leniently also arrays and objects.",
        strict=("scalars", "null"),
    ),
    Member(
        "created_at",
        ("string", "number", "null"),
        "When the record was made, in ISO 8601. Leniently also seconds or milliseconds since 1970.",
        strict=("string", "null"),
        rules={"pattern": DATE_PATTERN, "exclusiveMinimum": -MAX_TIME, "exclusiveMaximum": MAX_TIME},
    ),
    Member("source_store", _TEXT, "The kind of store it was read from."),
    Member("modality", ("string",), "What was embedded; absent means text."),
    Member("score", ("number", "null"), "Its similarity to a query, where it is the result of one."),
    Member(
        "vex_version",
        ("string",),
        "The version of the format.",
        required=True,
        rules={"pattern": VERSION_PATTERN},
        wrong_type="version-missing",
    ),
)
BY_NAME: dict[str, Member] = {member.name: member for member in MEMBERS}
REQUIRED: tuple[Member, ...] = tuple(member for member in MEMBERS if member.required)

# Values of these types need no second look at their kind.
ORDINARY: dict[str, frozenset[type]] = {
    member.name: frozenset().union(*(KINDS[kind].ordinary for kind in member.kinds)) for member in MEMBERS
}

_NOTE = "Written by docs/dev/make_schema.py; change vexrepo/formats/schema.py, then run that."
_TITLE = "A record of a .vmig.jsonl file"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record; ``#/$defs/strict`` is the strict reading.

    It cannot say everything: that dims is the length of the vector, that ids are unique, that dates exist, that
    member names do not repeat, that integers of a vector have a double.  ``vex validate`` does.
    """
    numbers = {"type": "array", "items": {"type": "number"}, "maxItems": 1 << 20}
    index = {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": _NOTE,
        "title": _TITLE,
        "description": "Read leniently: what is accepted and kept. The letter of the format is #/$defs/strict.",
        **_record(strict=False),
        "$defs": {
            "strict": {
                "description": "Read strictly: what every vmig tool can be expected to take.",
                **_record(strict=True),
            },
            "numbers": numbers,
            "someNumbers": {**numbers, "minItems": 1},
            "rows": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/someNumbers"},
                "$comment": "all of one length",
            },
            "sparse": {
                "type": "object",
                "properties": {"indices": {"type": "array", "items": index}, "values": {"$ref": "#/$defs/numbers"}},
                "required": ["indices", "values"],
                "additionalProperties": False,
                "$comment": "both of one length",
            },
            "scalars": {
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
        },
    }


def _record(*, strict: bool) -> dict[str, Any]:
    present: list[dict[str, Any]] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("text", "vector")
    ]
    properties = {member.name: _member(member, strict=strict) for member in MEMBERS}
    if strict:
        properties["vectors"] = {"description": "Named vectors are not part of the format.", "not": {"type": "object"}}
    else:
        present.append({"required": ["vectors"], "properties": {"vectors": {"type": "object", "minProperties": 1}}})
    return {
        "type": "object",
        "properties": properties,
        "required": [member.name for member in REQUIRED],
        "anyOf": present,
    }


def _member(member: Member, *, strict: bool) -> dict[str, Any]:
    kinds = [KINDS[kind].schema for kind in (member.strict_kinds if strict else member.kinds)]
    if all(set(kind) == {"type"} for kind in kinds):
        types = [kind["type"] for kind in kinds]
        shape: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    else:
        shape = {"anyOf": kinds}
    return {"description": member.meaning, **shape, **member.rules}


def json_schema_text() -> str:
    """Return the content of objects/vmig.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def typescript() -> str:
    """Return the content of objects/vmig.d.ts."""
    lines = [
        f"// {_NOTE}",
        "",
        "export type Scalar = string | number | boolean | null;",
        "export type Json = Scalar | Json[] | { [name: string]: Json };",
        "",
        "/** Numbers of a vector that is zero elsewhere. Both arrays have one length. */",
        "export type SparseVector = { indices: number[]; values: number[] };",
        "",
        f"/** {_TITLE}, read leniently: what is accepted and kept. It has a text, a vector, or both. */",
        *_interface("VmigRecord", strict=False),
        "",
        f"/** {_TITLE}, by the letter of the format: what every vmig tool can be expected to take. */",
        *_interface("StrictVmigRecord", strict=True),
    ]
    return "\n".join(lines) + "\n"


def _interface(name: str, *, strict: bool) -> list[str]:
    lines = [f"export interface {name} {{"]
    for member in MEMBERS:
        kinds = [KINDS[kind].typescript for kind in (member.strict_kinds if strict else member.kinds)]
        lines += [
            f"  /** {member.meaning} */",
            f"  {member.name}{'' if member.required else '?'}: {' | '.join(dict.fromkeys(kinds))};",
        ]
    if strict:
        lines += ["  /** Named vectors are not part of the format. */", "  vectors?: Scalar | Json[];"]
    return [*lines, "  /** Other members are kept. */", "  [name: string]: Json | undefined;", "}"]
