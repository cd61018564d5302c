"""How a Qdrant collection is set up: what is kept of it, the request that makes it again, what it does to vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import NOTHING, Alteration, Capabilities, is_ascending, is_half, is_scaled
from vexrepo.remotes.stores.serde import is_read_as_printed, nearest_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DISTANCES: Final = ("Cosine", "Dot", "Euclid", "Manhattan")
EXACT_TYPES: Final = frozenset({"float32", "float16", "uint8"})  # others round in ways that nothing can be told from
MAX_DIMS: Final = 65_536
# Members of a collection's configuration, as GET names them and as PUT does.
_SETTINGS: Final = (
    ("hnsw_config", "hnsw_config"),
    ("optimizer_config", "optimizers_config"),
    ("quantization_config", "quantization_config"),
    ("strict_mode_config", "strict_mode_config"),
    ("metadata", "metadata"),
)
_PARAMS: Final = ("on_disk_payload", "payload")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # a vector's name is part of file names there
_DEPTH = 64  # of 128 that its JSON parser takes, counted from the request
_MOST_HALF = 65_504.0
_LONGEST = 3e38  # a square of a length: beyond float32 a vector that is to be scaled becomes zeros
_SHORTEST = 1e-6  # as well: below float32's epsilon it is not scaled, and half precision makes zeros of it
_FULL_SCAN = 10  # kB, the least that a request may say


@dataclass(frozen=True, slots=True)
class Trait:
    """One vector of a collection: its space, how near it is measured, how its numbers are kept."""

    space: Space
    distance: str
    datatype: str


# -- reading -----------------------------------------------------------------------------------------------------------


def read_traits(config: Mapping[str, Any]) -> dict[str, Trait]:
    """Return the vectors of a collection, by name, from the ``config`` that GET answers with."""
    params = _object(config.get("params"))
    found = {}
    for name, each in _dense(params.get("vectors")).items():
        kind = "multi" if each.get("multivector_config") else "dense"
        size = each.get("size")
        if type(size) is int and 0 < size <= MAX_DIMS:
            space = Space(name, kind, None, size, "f32")  # type: ignore[arg-type]
            found[name] = Trait(space, str(each.get("distance")), str(each.get("datatype") or "float32"))
    for name in _object(params.get("sparse_vectors")):
        found[name] = Trait(Space(name, "sparse", None, 0, "f32"), "Dot", "float32")
    return found


def read_config(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a collection's configuration: how it is indexed and stored, not on how many machines.

    Absent is what is null there.  ``vectors`` has the unnamed one under "".
    """
    config = _object(info.get("config"))
    params = _object(config.get("params"))
    found: dict[str, Any] = {"vectors": _dense(params.get("vectors"))}
    found |= {name: params[name] for name in ("sparse_vectors", *_PARAMS) if params.get(name) is not None}
    found |= {kept: config[name] for name, kept in _SETTINGS if config.get(name) is not None}
    indexes = {
        field: _object(each.get("params")) or {"type": each.get("data_type")}
        for field, each in _object(info.get("payload_schema")).items()
        if isinstance(each, dict)
    }
    if indexes:
        found["payload_indexes"] = indexes
    return {name: _without_nulls(value) if name != "metadata" else value for name, value in found.items()}


def _dense(vectors: Any) -> dict[str, dict[str, Any]]:
    """Return the parameters of dense vectors by name, as both forms of them say it."""
    vectors = _object(vectors)
    if type(vectors.get("size")) is int:
        return {MAIN: vectors}
    return {name: each for name, each in vectors.items() if isinstance(each, dict)}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return value


# -- making ------------------------------------------------------------------------------------------------------------


def creation(spaces: Mapping[str, Space], config: Mapping[str, Any], distance: str) -> dict[str, Any]:
    """Return the request that makes a collection for these vectors, set up as a kept configuration says.

    Memories say how many dimensions a vector has where both do.
    """
    vectors = _dense(config.get("vectors"))
    sparse = dict(_object(config.get("sparse_vectors")))
    for name, space in spaces.items():
        if space.kind == "sparse":
            sparse.setdefault(name, {})
        elif name in vectors:
            vectors[name] = {**vectors[name], "size": space.dims}
        else:
            vectors[name] = {"size": space.dims, "distance": distance}
    body = {name: config[name] for name in (*(kept for _, kept in _SETTINGS), *_PARAMS) if config.get(name) is not None}
    hnsw = _object(body.get("hnsw_config"))
    if hnsw.get("full_scan_threshold", _FULL_SCAN) < _FULL_SCAN:
        body["hnsw_config"] = {**hnsw, "full_scan_threshold": _FULL_SCAN}
    body["vectors"] = vectors[MAIN] if vectors.keys() == {MAIN} else vectors
    if sparse:
        body["sparse_vectors"] = sparse
    return body


def indexes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload indexes of a kept configuration: the schema of each field."""
    return _object(config.get("payload_indexes"))


# -- what it holds -----------------------------------------------------------------------------------------------------


def holds(value: Any, depth: int = _DEPTH) -> bool:
    """Whether a value of a payload comes back exactly: as its JSON parser reads it, see ``serde``."""
    return _holds(value, depth, is_read_as_printed)


def holds_here(value: Any) -> bool:
    """Whether the embedded mode gives a value of a payload back exactly: it parses no numbers."""
    return _holds(value, _DEPTH, lambda number: True)


def _holds(value: Any, depth: int, holds_number: Callable[[float], bool]) -> bool:
    if value is None or isinstance(value, (str, bool)):
        return True
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    if isinstance(value, float):
        return holds_number(value)
    if depth == 0:
        return False
    items = value.values() if isinstance(value, dict) else value
    return all(_holds(each, depth - 1, holds_number) for each in items)


def _nearest(value: Any) -> Any:
    return nearest_value(value, is_read_as_printed)


def capabilities(traits: Mapping[str, Trait] | None) -> Capabilities:
    """Return what a collection holds, from its vectors; None: one that is to be made."""
    if traits is None:
        return _capabilities(frozenset({"dense", "sparse"}), None, _fits_new, NOTHING)

    def fits(item: Vector) -> bool:
        trait = traits.get(item.space.name)
        return trait is not None and trait.space.kind == item.space.kind and _fits(item, trait)

    def is_same(written: Vector, found: Vector) -> bool:
        trait = traits.get(written.space.name)
        return written == found if trait is None else _is_same(written, found, trait)

    does = {
        words
        for each in traits.values()
        for words, done in (
            ("scales to length 1", _is_scaled(each)),
            ("rounds to half precision", each.datatype == "float16"),
        )
        if done
    }
    alters = Alteration(" and ".join(sorted(does, reverse=True)), is_same) if does else NOTHING
    return _capabilities(frozenset(each.space.kind for each in traits.values()), frozenset(traits), fits, alters)


def _capabilities(
    kinds: frozenset[str], names: frozenset[str] | None, fits: Callable[[Vector], bool], alters: Alteration
) -> Capabilities:
    return Capabilities(
        holds,
        values="any JSON but numbers beyond 64 bits, and some of more than 15 to 16 digits",
        nearest=_nearest,
        holds_id_member=True,
        id_form="uuid",
        kinds=kinds,
        is_named=True,
        names=names,
        holds_vector=fits,
        alters=alters,
    )


def _is_scaled(trait: Trait) -> bool:
    return trait.distance == "Cosine" and trait.space.kind != "sparse" and trait.datatype != "uint8"


def _fits_new(item: Vector) -> bool:
    """Whether a vector is one that a new collection has a place for: the main one is dense, names are simple."""
    space = item.space
    if space.kind == "sparse":
        return space.name != MAIN and _NAME.fullmatch(space.name) is not None and is_ascending(item)
    return space.dims <= MAX_DIMS and (space.name == MAIN or _NAME.fullmatch(space.name) is not None)


def _fits(item: Vector, trait: Trait) -> bool:
    if item.space.kind == "sparse":
        return is_ascending(item)
    values = _values(item)
    if not len(values):
        return False
    if trait.datatype == "uint8":
        return item.row == values.clip(0, 255).astype("u1").astype("<f4").tobytes()
    if not _is_scaled(trait):
        return trait.datatype != "float16" or float(abs(values).max()) <= _MOST_HALF
    squares = (values * values).sum(axis=1)
    if float(squares.max()) > _LONGEST:
        return False
    return trait.datatype != "float16" or not bool(((squares > 0) & (squares < _SHORTEST)).any())


def _is_same(written: Vector, found: Vector, trait: Trait) -> bool:
    if not _is_scaled(trait):
        return is_half(written, found) if trait.datatype == "float16" else written == found
    if trait.datatype != "float16":
        return is_scaled(written, found)
    if written.space != found.space or len(written.row) != len(found.row):
        return False
    a, b = _unit(_values(written)), _unit(_values(found))
    return bool(abs(a - b).max() <= 1e-3)


def _values(item: Vector) -> NDArray[np.float64]:
    import numpy as np

    return np.frombuffer(item.row, "<f4").astype("<f8").reshape(-1, item.space.dims)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    length = np.sqrt((values * values).sum(axis=1, keepdims=True))
    return values / np.where(length == 0, 1, length)
