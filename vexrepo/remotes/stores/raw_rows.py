"""Rows of a database whose client gives values, as bytes: whoever has read them before knows them by these."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from vexrepo.objects.record import Record
from vexrepo.remotes.stores.point_reading import RawPoints
from vexrepo.remotes.stores.points import Point

_FORM: Final = 2  # the last one of marshal in which the same values are always the same bytes

Row = Sequence[Any]
Reading = tuple[Iterator[Sequence[Row]], Callable[[Sequence[Row]], Sequence[Point | Record]]]


class ValueRows(RawPoints):
    """Rows of numbers, texts, bytes and None; ``reading`` gives them in batches, and what makes points of some."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Reading]], *decided_by: str) -> None:
        self.decided_by = decided_by
        self._reading = reading

    def batches(self) -> Iterator[list[bytes]]:
        with self._reading() as (batches, self._make):
            for rows in batches:
                yield [marshal.dumps(tuple(row), _FORM) for row in rows]

    def points(self, pieces: Sequence[bytes | memoryview]) -> Sequence[Point | Record]:
        return self._make([marshal.loads(piece) for piece in pieces])  # of this very process
