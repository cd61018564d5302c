"""The fields of a Milvus collection: which values each holds so that they come back, and how a collection is set up.

A *schema* here is what is kept of a collection (JSON) and what it is made from again: ``fields``, ``dynamic`` (whether
rows may have members beyond the fields), ``functions``, ``indexes`` by field, ``consistency``, ``properties`` …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vexrepo.objects.vector import MAIN, Kind, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.points import RESERVED, TEXTS

MAX_TEXT: Final = 65_535  # bytes that a VARCHAR, or one text of an array, may have
MAX_DYNAMIC: Final = 65_536  # bytes of JSON that the members of one row beyond the fields may have; JSON fields, too
MAX_ROW: Final = 48 << 20  # bytes; a request has 64 MiB at most
MAX_DIMS: Final = 32_768
MAX_VECTORS: Final = 4  # of a collection, unless its server is told otherwise
METRICS: Final = ("COSINE", "L2", "IP")
PIECES: Final = 4096  # texts of an array, the most
VECTOR_NAMES: Final = ("vector", "embedding", "embeddings", "vec", "dense", "dense_vector")
VECTORS: Final[dict[str, Kind]] = {"FLOAT_VECTOR": "dense", "SPARSE_FLOAT_VECTOR": "sparse"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_BITS: Final = {"INT8": 8, "INT16": 16, "INT32": 32, "INT64": 64}
_ZEROS: Final[dict[str, Any]] = {
    "VARCHAR": "", "BOOL": False, "FLOAT": 0.0, "DOUBLE": 0.0, "JSON": {}, "ARRAY": [], **dict.fromkeys(_BITS, 0)
}  # fmt: skip
_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its type and parameters as Milvus calls them; ``element`` is the type of an array's values."""

    name: str
    type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    element: str = ""
    is_nullable: bool = False
    default: Any = None

    @property
    def is_known(self) -> bool:
        """Whether what is read of it can be written again."""
        return self.type in _ZEROS and (self.type != "ARRAY" or self.element in _ZEROS)

    @property
    def fill(self) -> Any:
        """What a row has where nobody says: None where that is nothing."""
        if self.default is not None:
            return self.default
        return None if self.is_nullable else _ZEROS.get(self.type)

    def holds(self, value: Any) -> bool:
        """Whether a JSON value that is written comes back as it was."""
        if self.type == "ARRAY":
            most = self.params.get("max_capacity", PIECES)
            is_fitting = isinstance(value, list) and len(value) <= int(most)
            return is_fitting and all(_holds(self.element, each, self.params) for each in value)
        return _holds(self.type, value, self.params)


def _holds(kind: str, value: Any, params: Mapping[str, Any]) -> bool:
    if kind == "VARCHAR":
        return type(value) is str and size_of(value) <= min(int(params.get("max_length", MAX_TEXT)), MAX_TEXT)
    if kind == "BOOL":
        return type(value) is bool
    if kind in _BITS:
        half = 1 << (_BITS[kind] - 1)
        return type(value) is int and bool(-half <= value < half)
    if kind == "FLOAT":
        return type(value) is float and _is_single(value)
    if kind == "DOUBLE":
        return type(value) is float
    return kind == "JSON" and type(value) is dict and holds_json(value)  # other JSON old servers do not take


def size_of(text: str) -> int:
    """Return how many bytes a text has as UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _is_single(value: float) -> bool:
    import numpy as np

    with np.errstate(over="ignore"):
        return bool(float(np.float32(value)) == value)


def holds_json(value: Any, depth: int = _DEPTH) -> bool:
    """Whether a member beyond the fields comes back as it was: JSON with numbers of 64 bits, not too deep."""
    kind = type(value)
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    if kind is list:
        return depth > 0 and all(holds_json(each, depth - 1) for each in value)
    if kind is dict:
        return depth > 0 and all(holds_json(each, depth - 1) for each in value.values())
    return True


@dataclass(frozen=True, slots=True)
class VectorField:
    """A field of vectors, and the name of the record's vector that it is."""

    field: str
    space: Space

    @property
    def placeholder(self) -> Vector:
        """The vector that stands for none, since every row must have one: of length 1, as some metrics want."""
        import struct

        if self.space.kind == "sparse":
            return Vector(self.space, struct.pack("<If", (1 << 32) - 2, 1.0))
        return Vector(self.space, b"\0\0\x80\x3f" + bytes(4 * self.space.dims - 4))


@dataclass(frozen=True, slots=True)
class Layout:
    """A collection as rows are made for it: the key, the vectors, the members that are fields.

    ``reserved`` is the field of what is carried; without one that is a member beyond the fields, if those may be
    (``is_dynamic``).  ``made`` are fields that the server fills.  ``trouble`` says why nothing can be written.
    """

    key: Field
    vectors: tuple[VectorField, ...]
    members: Mapping[str, Field]
    reserved: Field | None
    is_dynamic: bool
    made: frozenset[str] = frozenset()
    trouble: str = ""

    @property
    def taken(self) -> frozenset[str]:
        """Names that no member of a payload can have."""
        return frozenset((self.key.name, "$meta", RESERVED, *self.made, *(each.field for each in self.vectors)))

    @property
    def has_room(self) -> bool:
        """Whether whatever one request can bring has a place."""
        if not self.is_dynamic or self.reserved is None or self.reserved.type != "ARRAY":
            return False
        params = self.reserved.params
        return int(params.get("max_length", MAX_TEXT)) * int(params.get("max_capacity", PIECES)) > 2 * MAX_ROW

    @property
    def text(self) -> str | None:
        """The field that is the text, by its name."""
        return next((name for name in TEXTS if name in self.members and self.members[name].type == "VARCHAR"), None)

    @property
    def read_fields(self) -> list[str]:
        """What to ask for of each row."""
        fields = [self.key.name, *(each.field for each in self.vectors), *self.members]
        fields += [self.reserved.name] if self.reserved is not None else []
        return fields + (["$meta"] if self.is_dynamic else [])


# -- understanding -----------------------------------------------------------------------------------------------------


def layout_of(schema: Mapping[str, Any], vector: str | None = None) -> Layout | str:
    """Return the layout of a schema, or what about it this connector does not know.

    ``vector`` names the field of the main one.
    """
    made = {name for each in schema.get("functions", ()) for name in each.get("output_field_names", ())}
    found = [_field(each) for each in schema["fields"] if each["name"] not in made]
    key = next(field for field, each in zip(found, _not_made(schema, made), strict=True) if each.get("is_primary"))
    odd = [f"{each.name} ({each.type})" for each in found if each.type.endswith("VECTOR") and each.type not in VECTORS]
    if odd:
        return f"keeps vectors in ways that this connector does not know: {', '.join(odd)}"
    names = [each.name for each in found if each.type in VECTORS]
    if vector is not None and vector not in names:
        return f"has no field of vectors {vector!r:.60}; it has {', '.join(names) or 'none'}"
    main = vector or next((name for name in VECTOR_NAMES if name in names), names[0] if names else None)
    vectors = tuple(
        VectorField(each.name, _space(MAIN if each.name == main else each.name, each))
        for each in sorted(found, key=lambda each: each.name != main)
        if each.type in VECTORS
    )
    plain = [each for each in found if each is not key and each.type not in VECTORS]
    carries = {"ARRAY": "VARCHAR", "VARCHAR": ""}
    reserved = next((each for each in plain if each.name == RESERVED and carries.get(each.type) == each.element), None)
    members = {each.name: each for each in plain if each is not reserved}
    return Layout(
        key, vectors, members, reserved, bool(schema.get("dynamic")), frozenset(made), _trouble(schema, members)
    )


def _not_made(schema: Mapping[str, Any], made: Iterable[str]) -> list[Mapping[str, Any]]:
    return [each for each in schema["fields"] if each["name"] not in made]


def _trouble(schema: Mapping[str, Any], members: Mapping[str, Field]) -> str:
    fields = schema["fields"]
    if any(each.get("auto_id") for each in fields):
        return "makes the ids of its rows itself, so that none can be replaced"
    if schema.get("partitions", 1) > 1 and not any(each.get("is_partition_key") for each in fields):
        return "has partitions of its own, and which a memory belongs to is not known here"
    odd = [f"{each.name} ({each.type})" for each in members.values() if not each.is_known]
    return f"has fields that this connector cannot write: {', '.join(odd)}" if odd else ""


def _field(value: Mapping[str, Any]) -> Field:
    return Field(
        value["name"],
        value["type"],
        value.get("params") or {},
        value.get("element") or "",
        bool(value.get("nullable")),
        value.get("default"),
    )


def _space(name: str, each: Field) -> Space:
    kind = VECTORS[each.type]
    return Space(name, kind, None, 0 if kind == "sparse" else int(each.params.get("dim", 0)), "f32")


def capabilities(layout: Layout | None, *, has_several: bool = True) -> Capabilities:
    """Return what a collection holds; None: one that is to be made."""

    def holds_member(name: str, value: Any) -> bool:
        if layout is None:
            return True
        held = layout.members.get(name)
        return held.holds(value) if held is not None else layout.is_dynamic

    fills = {}
    if layout is not None:
        fills = {name: each.fill for name, each in layout.members.items() if each.fill is not None}
    taken = layout.taken if layout is not None else frozenset({"$meta"})
    is_number = layout is not None and layout.key.type == "INT64"
    limit = int(layout.key.params.get("max_length", MAX_TEXT)) if layout is not None else MAX_TEXT
    return Capabilities(
        holds_json,
        values="any JSON of 64-bit integers and doubles",
        holds_name=lambda name: name not in taken,
        holds_member=holds_member,
        holds_id_member=layout is not None,
        fills=fills,
        id_form="number" if is_number else "text",
        id_bytes=min(limit, MAX_TEXT),
        kinds=frozenset({"dense", "sparse"}),
        is_named=has_several,
        names=None if layout is None else frozenset(each.space.name for each in layout.vectors),
        holds_vector=_fits(layout),
    )


def _fits(layout: Layout | None) -> Callable[[Vector], bool]:
    kinds = {each.space.name: each.space.kind for each in layout.vectors} if layout is not None else None

    def fits(item: Vector) -> bool:
        space = item.space
        if kinds is None:  # the main one of a new collection is dense; names are those of fields
            if not (is_free(space.name) if space.name != MAIN else space.kind == "dense"):
                return False
        elif kinds.get(space.name) != space.kind:
            return False
        return _is_plain_sparse(item) if space.kind == "sparse" else 0 < space.dims <= MAX_DIMS

    return fits


def is_free(name: str) -> bool:
    """Whether a new collection can have a field of vectors of a name."""
    return _NAME.fullmatch(name) is not None and name not in _OURS


_OURS: Final = frozenset({"id", "text", "namespace", "model", "created_at", "metadata", "vector", RESERVED})


def _is_plain_sparse(item: Vector) -> bool:
    """Whether a sparse vector has numbers other than zero, at places in order, each once and below the last."""
    import numpy as np

    count = len(item.row) // 8
    places, values = np.frombuffer(item.row[: 4 * count], "<u4"), np.frombuffer(item.row[4 * count :], "<f4")
    is_ascending = bool((places[1:] > places[:-1]).all())
    return count > 0 and is_ascending and int(places[-1]) < (1 << 32) - 1 and bool(values.all())


# -- making ------------------------------------------------------------------------------------------------------------


def new_schema(text: str, metric: str) -> dict[str, Any]:
    """Return the schema of a collection of ours; its vectors are added by ``with_vectors``."""
    return {
        "fields": [
            {"name": "id", "type": "VARCHAR", "params": {"max_length": MAX_TEXT}, "is_primary": True},
            {"name": text, "type": "VARCHAR", "params": {"max_length": MAX_TEXT}},
            _carrying(),
        ],
        "dynamic": True,
        "metric": metric,
    }


def _carrying() -> dict[str, Any]:
    params = {"max_length": MAX_TEXT, "max_capacity": PIECES}
    return {"name": RESERVED, "type": "ARRAY", "element": "VARCHAR", "params": params}


def again(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a collection made as another was: with keys of ours and a place for what is carried."""
    fields = [dict(each) for each in config["fields"]]
    for each in fields:
        each.pop("auto_id", None)
    if not any(each["name"] == RESERVED for each in fields):
        fields.append(_carrying())
    return {**config, "fields": fields, "dynamic": True, "partitions": 1}


def with_vectors(schema: Mapping[str, Any], spaces: Mapping[str, Space], metric: str) -> dict[str, Any]:
    """Return a schema with the fields and indexes of vectors: those it has, with the dims of memories, and new ones."""
    layout = layout_of(schema)
    held = {each.space.name: each.field for each in layout.vectors} if isinstance(layout, Layout) else {}
    fields = [dict(each) for each in schema["fields"]]
    indexes = {name: list(each) for name, each in (schema.get("indexes") or {}).items()}
    for name, space in sorted(spaces.items()):
        if name in held:
            wanted = next(each for each in fields if each["name"] == held[name])
            if space.kind == "dense" and wanted["type"] == "FLOAT_VECTOR":
                wanted["params"] = {**(wanted.get("params") or {}), "dim": space.dims}
            continue
        if sum(each["type"].endswith("VECTOR") for each in fields) >= MAX_VECTORS:
            break
        if any(each["name"] == (name or "vector") for each in fields):
            continue
        is_sparse = space.kind == "sparse"
        params = {} if is_sparse else {"dim": space.dims}
        kind = "SPARSE_FLOAT_VECTOR" if is_sparse else "FLOAT_VECTOR"
        fields.append({"name": name or "vector", "type": kind, "params": params})
        index = ("SPARSE_INVERTED_INDEX", "IP") if is_sparse else ("AUTOINDEX", metric)
        indexes[name or "vector"] = [{"index_type": index[0], "metric_type": index[1]}]
    return {**schema, "fields": fields, "indexes": indexes}


def vector_fields(schema: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of a schema's fields of vectors."""
    return [each["name"] for each in schema["fields"] if each["type"].endswith("VECTOR")]
