"""Tables of LanceDB that hold memories: which of their columns is what, found by names and Arrow types, and indexes.

A column is the id, the text, a vector (lists of floats of one length), JSON objects or a struct whose members are
members of the payload, what is carried, or a member of the payload itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vexrepo.errors import StoreError
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.arrow_types import parse_type
from vexrepo.remotes.stores.points import RESERVED, TEXTS

TEXT_NAMES: Final = ("content", *TEXTS)
VECTOR_NAMES: Final = ("vector", "embedding", "embeddings", "emb")
PAYLOAD_NAMES: Final = ("metadata", "payload", "meta")
_LISTS: Final = re.compile(r"fixed_size_list<item: (halffloat|float|double)(?: not null)?>\[(\d{1,6})\]")


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """A column of vectors: the name of the record's vector, and their numbers (``<f4``, ``<f2``, ``<f8``) and dims."""

    column: str
    name: str
    dtype: str
    dims: int

    @property
    def space(self) -> Space:
        """The space of its vectors."""
        return Space(self.name, "dense", None, self.dims, "f32")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is.  ``members`` are the columns that are members of the payload, with their Arrow types.

    ``payload`` is the column of JSON objects, ``struct`` one whose fields are members: None where there is none, as
    ``reserved``, the column of what is carried.
    """

    schema: Any
    id: str
    has_text_id: bool
    vectors: tuple[VectorColumn, ...]
    text: str | None
    payload: str | None
    struct: str | None
    reserved: str | None
    members: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the struct


def understand(schema: Any, options: Mapping[str, str], where: str) -> Table:
    """Return what the columns of a table are.  Raises: StoreError (store-schema)."""
    import pyarrow as pa

    kinds = {each.name: each.type for each in schema}
    texts = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    identifier = options.get("id", "id")
    if identifier not in kinds or not (identifier in texts or pa.types.is_integer(kinds[identifier])):
        raise StoreError(
            f"{where} has no column {identifier!r} of texts or whole numbers; name the one that identifies a memory "
            f"with ?id=COLUMN (columns: {', '.join(kinds):.300})",
            code="store-schema",
        )
    found = {name: kind for name in kinds if (kind := _vector(kinds[name])) is not None}
    main = options.get("vector") or _first(VECTOR_NAMES, found) or next(iter(found), None)
    if main is not None and main not in found:
        raise StoreError(
            f"{where} has no column {main!r} of vectors (floats, all of one length); it has "
            f"{', '.join(found) or 'none'}",
            code="store-schema",
        )
    vectors = tuple(
        VectorColumn(name, MAIN if name == main else name, *found[name])
        for name in sorted(found, key=lambda name: name != main)
    )
    taken = {identifier, RESERVED, *found}
    payload = _first(PAYLOAD_NAMES, [name for name in texts if name not in taken])
    struct = _first(PAYLOAD_NAMES, [name for name, kind in kinds.items() if pa.types.is_struct(kind)])
    fields = {each.name: each.type for each in kinds[struct]} if struct is not None else {}
    if fields.keys() & kinds.keys():
        struct, fields = None, {}  # two of a name: the struct is one value
    members = {name: kind for name, kind in kinds.items() if name not in taken and name not in (payload, struct)}
    named, held = options.get("text"), [name for name in texts if name in members]
    only = held[0] if len(held) == 1 and payload is None and struct is None else None
    text = named if named in held else _first(TEXT_NAMES, held) or only
    reserved = RESERVED if RESERVED in texts else None
    if named is not None and named not in held:
        text = None
    return Table(schema, identifier, identifier in texts, vectors, text, payload, struct, reserved, members, fields)


def _vector(kind: Any) -> tuple[str, int] | None:
    match = _LISTS.fullmatch(re.sub(r"<\w+:", "<item:", str(kind), count=1))
    if match is None or not int(match[2]):
        return None
    return {"halffloat": "<f2", "float": "<f4", "double": "<f8"}[match[1]], int(match[2])


def _first(preferred: Iterable[str], names: Iterable[str]) -> str | None:
    held = set(names)
    return next((name for name in preferred if name in held), None)


# -- making one --------------------------------------------------------------------------------------------------------

_OURS: Final = dict.fromkeys(("id", "content", "namespace", "model", "created_at", "metadata"), "string")


def new_schema(spaces: Mapping[str, Space], config: Mapping[str, Any]) -> Any:
    """Return the schema of a new table, as one was set up before, with room for vectors.

    ``config`` may come from a stranger's repository: only types that are known are taken from it.
    """
    import pyarrow as pa

    given = config.get("columns")
    had = {name: kind for name, kind in given.items() if isinstance(kind, str)} if isinstance(given, dict) else {}
    identifier = config.get("id")
    plain = {name: kind for name, kind in had.items() if name != RESERVED and parse_type(kind) is not None}
    if identifier not in plain:
        plain = {**_OURS, **{name: kind for name, kind in plain.items() if _LISTS.fullmatch(kind)}}
    vectors = [name for name, kind in plain.items() if _LISTS.fullmatch(kind)]
    main = _first((str(config.get("vector")), *VECTOR_NAMES), vectors) or "vector"
    for space in spaces.values():
        name = main if space.name == MAIN else space.name
        if space.name == MAIN or name in vectors:
            number = match[1] if (match := _LISTS.fullmatch(plain.get(name, ""))) else "float"
            plain[name] = f"fixed_size_list<item: {number}>[{space.dims}]"
    fields = [pa.field(name, parse_type(kind)) for name, kind in plain.items()]
    return pa.schema([*fields, pa.field(RESERVED, pa.string())])


# -- indexes -----------------------------------------------------------------------------------------------------------

_TYPES: Final = {
    name.lower(): name
    for name in (
        "IvfFlat",
        "IvfPq",
        "IvfSq",
        "IvfRq",
        "HnswPq",
        "HnswSq",
        "HnswFlat",
        "BTree",
        "Bitmap",
        "LabelList",
        "FTS",
    )
}
_METRICS: Final = frozenset(("l2", "cosine", "dot", "hamming"))
_NUMBERS: Final = frozenset(
    (
        *("m", "ef_construction", "num_bits", "num_sub_vectors"),
        *("max_token_length", "block_size", "ngram_min_length", "ngram_max_length"),
    )
)
_WORDS: Final = {
    "with_position": bool,
    "base_tokenizer": str,
    "language": str,
    "lower_case": bool,
    "stem": bool,
    "remove_stop_words": bool,
    "ascii_folding": bool,
    "prefix_only": bool,
}


def describe_indexes(table: Any) -> list[dict[str, Any]]:
    """Return the indexes of a table as JSON."""
    found = []
    for index in table.list_indices():
        kind = str(index.index_type).lower().replace("_", "").replace("ivfhnsw", "hnsw")
        if kind not in _TYPES or len(index.columns) != 1:
            continue
        told = _told(getattr(index, "index_details", None) or {})
        statistics = table.index_stats(index.name)
        metric = statistics.distance_type if statistics is not None else None
        if metric is not None:
            told["distance_type"] = str(metric).lower()
        found.append({"column": index.columns[0], "type": _TYPES[kind], "parameters": told})
    return sorted(found, key=lambda each: (each["column"], each["type"]))


def _told(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an index that its details tell of, by the names that make it again."""
    graph, compression = details.get("hnsw") or {}, details.get("compression") or {}
    flat = {
        **details,
        "m": graph.get("max_connections"),
        "ef_construction": graph.get("construction_ef"),
        "ngram_min_length": details.get("min_ngram_length"),
        "ngram_max_length": details.get("max_ngram_length"),
    }
    if compression.get("type") in ("pq", "rq"):
        flat |= {name: compression.get(name) for name in ("num_bits", "num_sub_vectors")}
    return {name: value for name, value in flat.items() if _is_parameter(name, value)}


def _is_parameter(name: str, value: Any) -> bool:
    if name == "distance_type":
        return value in _METRICS
    return (name in _NUMBERS and type(value) is int) or isinstance(value, _WORDS.get(name, ()))


def wanted_indexes(config: Mapping[str, Any], columns: Iterable[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (column, type, parameters) of the indexes a configuration tells of; what cannot be one is left out."""
    names, found = set(columns), []
    for each in config.get("indexes", ()) if isinstance(config.get("indexes"), list) else ():
        match each:
            case {"column": str(column), "type": str(kind), "parameters": dict(given)}:
                if column in names and kind in _TYPES.values():
                    told = {name: value for name, value in given.items() if _is_parameter(name, value)}
                    found.append((column, kind, told))
    return found
