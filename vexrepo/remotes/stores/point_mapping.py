"""What a collection of points looks like to people: which member of a payload each member of a record is, with types.

Such stores declare few types or none, so that they are told from some points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.points import RESERVED, BadPoint, Fields, Point

MOST_SHOWN: Final = 100  # members of metadata; beyond, they are names of things rather than of kinds
_TYPES: Final[dict[type, str]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def told_mapping(sample: Sequence[Point], fields: Fields, held: Mapping[str, Space] | None) -> dict[str, str]:
    """Return each member of a record with the member of the payload that it is, and what values a sample has there.

    ``held``: the vectors that the collection is set up for, where it says so.
    """
    points = [each for each in sample if type(each) is not BadPoint]
    types: dict[str, dict[str, None]] = {}
    for point in points:
        for name, value in point.payload.items():
            types.setdefault(name, {})[_type(value)] = None
    own = dict(fields.members)
    found = {member: _words(name, types.get(name, {})) for member, name in own.items()}
    spaces = {item.space.name: item.space for point in points for item in point.vectors} | dict(held or {})
    found |= {f"vectors.{name}" if name else "vector": _vector(space) for name, space in sorted(spaces.items())}
    rest = [name for name in types if name not in own.values() and name != RESERVED]
    found |= {f"metadata.{name}": _words(name, types[name]) for name in rest[:MOST_SHOWN]}
    found["metadata"] = "all other members of the payload"
    found["everything else"] = RESERVED
    return found


def _words(name: str, types: Mapping[str, None]) -> str:
    return f"{name} {' or '.join(types)}" if types else name


def _type(value: Any) -> str:
    if isinstance(value, list) and value:
        inner = {_type(each): None for each in value}
        return f"array of {' or '.join(inner)}"
    return _TYPES.get(type(value), type(value).__name__)


def _vector(space: Space) -> str:
    size = f", {space.dims} dims" if space.dims else ""
    return f"{space.kind}{size}, {space.dtype}"
