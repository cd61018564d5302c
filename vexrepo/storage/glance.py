"""Single rows of a stored matrix, without making the whole of it.

They are NOT checked: whoever asks has to prove each row in another way, as a record's id proves its vectors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

from vexrepo.errors import InvalidData
from vexrepo.storage import codec
from vexrepo.storage.codec import Planes


class Difference:
    """A stored row difference: says of each row where it is."""

    def __init__(self, stored: bytes | memoryview, size: int) -> None:
        self._runs, self._literal, self._head, self._row_bytes = codec.rows_runs(stored, size)
        self._starts = list(accumulate((copied + given for _, copied, given in self._runs), initial=0))
        self._given = list(accumulate((given for _, _, given in self._runs), initial=0))

    def find(self, row: int) -> bytes | int:
        """Return a row, or the number it has in the base.  Raises: InvalidData (object-corrupt) past the last."""
        at = bisect_right(self._starts, row) - 1
        if at == len(self._runs):
            raise InvalidData(f"a row difference has no row {row}", code="object-corrupt")
        start, copied, _ = self._runs[at]
        place = row - self._starts[at]
        if place < copied:
            return start + place
        first = self._head + (self._given[at] + place - copied) * self._row_bytes
        return self._literal[first : first + self._row_bytes]


class Glance:
    """A matrix as its differences, newest first, and ``planes``, which reads the object stored whole when needed."""

    def __init__(self, differences: list[Difference], planes: Callable[[], Planes]) -> None:
        self._differences = differences
        self._planes = planes

    def row(self, number: int, head: int, row_bytes: int) -> bytes:
        """Return one row of a matrix with rows of that size after a head, unchecked: damage gives wrong bytes.

        Raises: InvalidData (object-corrupt).
        """
        for difference in self._differences:
            found = difference.find(number)
            if isinstance(found, bytes):
                return found
            number = found
        planes = self._planes()
        return planes.items((head + number * row_bytes) // planes.item_bytes, row_bytes // planes.item_bytes)
