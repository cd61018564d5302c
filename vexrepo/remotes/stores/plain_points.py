"""Points that are plain read as records, a batch at a time; ``points.read_point`` gives the same of each.

Points under an id that a store gave them say in what is carried which record they are: that is taken out of it, so that
what is left is the same of most points, and looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain
from vexrepo.remotes.stores.point_carried import MOST_KEPT
from vexrepo.remotes.stores.points import RESERVED, BadPoint, Fields, Point

_NAMED: Final = '"k":["'
_END: Final = '"],"v":1}'


class PointReader:
    """Makes records of the points of a store that are plain."""

    def __init__(self, fields: Fields) -> None:
        self._payloads = PayloadReader(fields)

    def records(self, points: Sequence[Point]) -> list[Record | None]:
        """Return the record of each point, None for those that are not plain."""
        return self._payloads.records([_plain(point) for point in points])


def _plain(point: Point) -> Plain | None:
    identifier, payload, vectors = point
    row = None
    if vectors:
        space, row = vectors[0]
        if len(vectors) > 1 or space.name != MAIN or space.kind != "dense" or len(row) != 4 * space.dims:
            return None
    carried = payload.get(RESERVED)
    if type(carried) is str and _NAMED in carried:
        named = _split_named(carried, identifier)
        if named is None:
            return None
        identifier, carried = named
        payload = {**payload, RESERVED: carried}
    return None if type(point) is BadPoint else Plain(identifier, payload, row)


def _split_named(carried: str, native: str) -> tuple[str, str] | None:
    """Return the id that what is carried gives to the point of a native one, and what else it says.

    None where it is not printed as ``points`` prints it, or the id is not as simple as most are.
    """
    start = carried.find(_NAMED)
    told, end = start + len(_NAMED), len(carried) - len(_END)
    name = told + len(native) + 3
    if end - start > MOST_KEPT or carried[told:name] != f'{native}","' or carried[end:] != _END or name >= end:
        return None
    identifier = carried[name:end]
    # Without a quote or an escape it is one text, and the brace behind it ends the object that "k" is a member of.
    if '"' in identifier or "\\" in identifier:
        return None
    return identifier, carried[:start] + '"v":1}'
