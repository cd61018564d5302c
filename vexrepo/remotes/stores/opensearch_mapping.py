"""How an index of OpenSearch or Elasticsearch is set up: what is kept of it, the request that makes it, what it holds.

The two differ in the type of a vector and in what it says: ``knn_vector`` with ``dimension`` and ``method``, and
``dense_vector`` with ``dims``, ``similarity`` and ``index_options``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import LENGTH, NOTHING, ROUNDING, Alteration, Capabilities
from vexrepo.remotes.stores.points import RESERVED, Fields

Flavour: TypeAlias = Literal["opensearch", "elasticsearch"]
VECTORS: Final = (
    "vector",
    "embedding",
    "vector_field",
    "content_vector",
    "text_vector",
    "text_embedding",
    "embeddings",
)
SIMILARITIES: Final[Mapping[Flavour, tuple[str, ...]]] = {
    "opensearch": ("cosinesimil", "l2", "innerproduct"),
    "elasticsearch": ("cosine", "l2_norm", "max_inner_product", "dot_product"),
}
MAX_DIMS: Final[Mapping[Flavour, int]] = {"opensearch": 16_000, "elasticsearch": 4096}
MOST_TERM: Final = 32_766  # bytes of a keyword that Lucene takes
_SHORT: Final = 8191  # characters that are surely no more
_TYPES: Final = {"knn_vector": "opensearch", "dense_vector": "elasticsearch"}
_KEPT: Final = ("knn", "analysis", "similarity", "sort", "mapping", "max_result_window", "codec", "refresh_interval")
_DEPTH: Final = 64
_INTEGERS: Final = {"long": 63, "integer": 31, "short": 15, "byte": 7}
_FLOATS: Final = frozenset(("double", "float", "half_float", "scaled_float"))
_TEXTS: Final = frozenset(("text", "match_only_text", "search_as_you_type"))
_KEYWORDS: Final = frozenset(("keyword", "constant_keyword", "wildcard"))
_OBJECTS: Final = frozenset(("object", "nested", "flattened", "flat_object"))
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?)?")
_STORED: Final[Mapping[str, Any]] = {"type": "keyword", "index": False, "doc_values": False}
_LONGEST: Final = 1e37  # a square of a length: beyond float32 it has no cosine
_SHORTEST: Final = 1e-30


@dataclass(frozen=True, slots=True)
class VectorField:
    """A vector of an index: its field, its dims (0 until the first document says), how it is measured and kept."""

    name: str
    dims: int
    similarity: str
    element: str = "float"
    engine: str = ""

    @property
    def is_cosine(self) -> bool:
        """Whether only the direction is measured; a vector without one is refused."""
        return self.similarity in ("cosine", "cosinesimil")

    @property
    def alters(self) -> Alteration:
        """What the store does to it: it may be given back from the index and not as it was sent."""
        if not self.is_cosine or self.element != "float":
            return NOTHING
        return LENGTH if self.engine == "faiss" else ROUNDING


def read_vectors(mappings: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, VectorField]:
    """Return the vectors of an index by field; those inside objects are parts of these."""
    found = {}
    for name, each in _object(mappings.get("properties")).items():
        if not isinstance(each, dict) or each.get("type") not in _TYPES:
            continue
        if each["type"] == "dense_vector":
            similarity = str(each.get("similarity", "cosine")) if each.get("index", True) else ""
            element = str(each.get("element_type", "float"))
            found[name] = VectorField(name, _dims(each.get("dims")), similarity, element)
            continue
        method = _object(each.get("method"))
        said = each.get("space_type") or method.get("space_type") or settings.get("knn.space_type") or "l2"
        engine = str(method.get("engine") or ("faiss" if method or settings.get("knn") == "true" else ""))
        element = str(each.get("data_type", "float")).lower()
        found[name] = VectorField(name, _dims(each.get("dimension")), str(said), element, engine)
    return found


def main_field(vectors: Mapping[str, VectorField], wanted: str | None) -> str:
    """Return the field of the main vector: as the address says, else the one that is called so, else the first."""
    return wanted or next((name for name in VECTORS if name in vectors), None) or min(vectors, default=VECTORS[0])


def read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of the settings of an index: not on how many machines it is, nor who it is."""
    return {name: value for name, value in _object(settings.get("index")).items() if name.partition(".")[0] in _KEPT}


def vector_mapping(flavour: Flavour, dims: int, similarity: str) -> dict[str, Any]:
    """Return the mapping of a vector that nothing is said of.

    The engine in OpenSearch is Lucene: faiss gives the vectors of a cosine back scaled to length 1.
    """
    if flavour == "elasticsearch":
        return {"type": "dense_vector", "dims": dims, "index": True, "similarity": similarity}
    return {
        "type": "knn_vector",
        "dimension": dims,
        "method": {"name": "hnsw", "engine": "lucene", "space_type": similarity},
    }


def creation(
    flavour: Flavour,
    spaces: Mapping[str, Space],
    config: Mapping[str, Any],
    fields: Fields,
    main: str,
    similarity: str,
    is_dynamic: bool,
) -> dict[str, Any]:
    """Return the request that makes an index for these vectors, set up as a kept configuration says.

    Memories say how many dimensions a vector has where both do.  What is not listed in a new mapping is kept and given
    back, but not indexed, unless it is dynamic: two memories may have values of one name that no mapping fits.
    """
    mappings = dict(_object(config.get("mappings")))
    settings = dict(_object(config.get("settings")))
    properties = dict(_object(mappings.get("properties")))
    if not mappings:
        keyword = {"type": "keyword", "ignore_above": _SHORT}
        properties = {
            fields.text: {"type": "text"},
            fields.namespace: keyword,
            fields.model: keyword,
            fields.created_at: {"type": "date", "ignore_malformed": True},
        }
        mappings["dynamic"] = is_dynamic
        if flavour == "opensearch" and spaces:
            settings["knn"] = True
    properties.setdefault(RESERVED, dict(_STORED))
    size = "dims" if flavour == "elasticsearch" else "dimension"
    held = read_vectors({"properties": properties}, settings)
    for name, space in sorted(spaces.items()):
        field = name or (main_field(held, None) if held else main)
        if space.kind != "dense" or space.dims > MAX_DIMS[flavour]:
            continue
        if field in held:
            properties[field] = {**properties[field], size: space.dims}
        elif (not held or name) and field not in properties and holds_name(field):
            properties[field] = vector_mapping(flavour, space.dims, similarity)
    return {"settings": {"index": settings}, "mappings": {**mappings, "properties": properties}}


def reserved_mapping(mappings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what has to be added so that what is carried is not indexed, or not refused; None if nothing."""
    if str(mappings.get("dynamic", "true")).lower() == "false" or RESERVED in _object(mappings.get("properties")):
        return None
    return {"properties": {RESERVED: dict(_STORED)}}


# -- what it holds -----------------------------------------------------------------------------------------------------


def holds_name(name: str) -> bool:
    """Whether a member of a document may have a name: dots make objects of it, some begin with an underscore."""
    return bool(name.strip()) and "." not in name and not name.startswith("_")


def holds(value: Any, depth: int = _DEPTH) -> bool:
    """Whether a value of a document comes back exactly, though the server may read and write it again."""
    if value is None or isinstance(value, (str, bool, float)):
        return True
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    if depth == 0:
        return False
    if isinstance(value, dict):
        return all(holds_name(name) and holds(each, depth - 1) for name, each in value.items())
    return all(holds(each, depth - 1) for each in value)


def fits(mapping: Mapping[str, Any], value: Any) -> bool:
    """Whether a field's mapping takes a value; the server would refuse the whole document."""
    if value is None:
        return True
    if isinstance(value, list):
        return all(fits(mapping, each) for each in value)
    kind = mapping.get("type", "object" if "properties" in mapping else None)
    if kind in _OBJECTS:
        if not isinstance(value, dict):
            return False
        inner = _object(mapping.get("properties"))
        return all(fits(inner[name], each) for name, each in value.items() if name in inner)
    if isinstance(value, dict):
        return kind is None or kind not in (*_INTEGERS, *_FLOATS, *_TEXTS, *_KEYWORDS, "boolean", "date", "ip")
    if kind in _INTEGERS:
        limit = 1 << _INTEGERS[kind]
        return mapping.get("ignore_malformed") is True or (type(value) is int and -limit <= value < limit)
    if kind in _FLOATS:
        return mapping.get("ignore_malformed") is True or (type(value) in (int, float) and abs(value) < 1e38)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("date", "date_nanos"):
        is_date = isinstance(value, str) and _DATE.fullmatch(value) is not None
        return is_date or mapping.get("ignore_malformed") is True or (type(value) is int and "format" not in mapping)
    if kind in _KEYWORDS and isinstance(value, str):
        most = mapping.get("ignore_above")
        is_ignored = isinstance(most, int) and len(value) > most
        return is_ignored or mapping.get("index") is False or len(value.encode()) <= MOST_TERM
    return True


def capabilities(
    flavour: Flavour, mappings: Mapping[str, Any] | None, vectors: Mapping[str, VectorField], main: str
) -> Capabilities:
    """Return what an index holds; ``mappings`` None: one that is to be made, whose vectors are measured as ``main``'s.

    ``vectors`` are by the name of the record's vector.
    """
    properties = _object((mappings or {}).get("properties"))
    is_strict = str((mappings or {}).get("dynamic", "true")).lower() == "strict"
    taken = frozenset(each.name for each in vectors.values()) | {main}

    def holds_member(name: str, value: Any) -> bool:
        if name in taken:
            return False
        mapping = properties.get(name)
        return not is_strict if mapping is None else fits(mapping, value)

    def holds_vector(item: Vector) -> bool:
        held = vectors.get(item.space.name)
        return item.space.dims <= MAX_DIMS[flavour] and _fits(item, held, is_new=mappings is None)

    kinds = {each.alters.name: each.alters for each in vectors.values() if each.alters}

    def is_same(written: Vector, found: Vector) -> bool:
        held = vectors.get(written.space.name)
        return written == found if held is None else held.alters.is_same(written, found)

    return Capabilities(
        holds,
        values="any JSON of 64-bit integers and doubles that the index's mapping takes",
        holds_id_member=True,
        holds_name=holds_name,
        holds_member=holds_member,
        id_bytes=512,
        is_named=mappings is None or len(vectors) > 1 or MAIN not in vectors,
        names=None if mappings is None else frozenset(vectors),
        holds_vector=holds_vector,
        alters=Alteration(" and ".join(sorted(kinds)), is_same) if kinds else NOTHING,
    )


def _fits(item: Vector, held: VectorField | None, *, is_new: bool) -> bool:
    import numpy as np

    values = np.frombuffer(item.row, "<f4").astype("<f8")
    if held is not None and held.element == "byte":
        return bool(np.array_equal(values, values.clip(-128, 127).round()))
    if held is not None and held.element != "float":
        return False
    square = float((values * values).sum())
    if held is not None and held.similarity == "dot_product":
        return abs(square - 1) < 1e-5
    if is_new or held is None or held.is_cosine:
        return _SHORTEST < square < _LONGEST
    return square < _LONGEST


def _dims(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
