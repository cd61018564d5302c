"""Which of many packs may hold an object, without asking each: the beginnings of all ids, sorted, with their packs.

Twelve bytes an object.  It only narrows the search: the packs it names are looked into.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vexrepo.storage.pack import ROW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vexrepo.storage.pack import PackReader

WORTHWHILE: Final = 64  # packs; fewer are asked one by one as quickly


class PackDirectory:
    """An index over the indexes of packs; places are positions in the sequence they were given in."""

    def __init__(self, readers: Sequence[PackReader]) -> None:
        import numpy as np

        starts = [_starts(reader) for reader in readers]
        places = np.repeat(np.arange(len(readers), dtype=np.uint32), [len(each) for each in starts])
        joined = np.concatenate(starts) if starts else np.empty(0, np.uint64)
        order = np.argsort(joined, kind="stable")  # stable: of equal beginnings the earlier pack comes first
        self._starts, self._places = joined[order], places[order]

    def places(self, identifier: bytes) -> list[int]:
        """Return the positions of the packs that may hold an id, ascending."""
        start = int.from_bytes(identifier[:8], "little")
        low = int(self._starts.searchsorted(start, "left"))
        high = int(self._starts.searchsorted(start, "right"))
        return list(dict.fromkeys(self._places[low:high].tolist()))


def _starts(reader: PackReader) -> NDArray[np.uint64]:
    import numpy as np

    rows = np.frombuffer(reader.index, "<u8").reshape(-1, ROW.size // 8)
    return rows[:, 0].astype(np.uint64)
