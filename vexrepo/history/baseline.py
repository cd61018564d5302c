"""The records a branch already has, by record id: what tells an unchanged record from a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class IdTable:
    """Finds 16 or 32 byte digests in a fixed set: ``match`` gives their positions.

    Memory: the digests and 16 bytes each for the order.
    """

    def __init__(self, raw: bytes | memoryview, width: int) -> None:
        import numpy as np

        self._words: NDArray[np.uint64] = np.frombuffer(raw, "<u8").reshape(-1, width // 8)
        self._order = np.argsort(self._words[:, 0], kind="stable")
        self._first = self._words[self._order, 0]

    def __len__(self) -> int:
        return len(self._words)

    def rows(self, positions: NDArray[np.int64]) -> bytes:
        """Return the digests at some positions."""
        return self._words[positions].tobytes()

    def match(self, raw: bytes | memoryview) -> NDArray[np.int64]:
        """Return, for each digest in ``raw``, its position in the set or -1."""
        import numpy as np

        wanted = np.frombuffer(raw, "<u8").reshape(-1, self._words.shape[1])
        if not len(self._first):
            return np.full(len(wanted), -1, np.int64)
        place = np.searchsorted(self._first, wanted[:, 0])
        place[place == len(self._first)] = 0
        found: NDArray[np.int64] = self._order[place]
        return np.where((self._words[found] == wanted).all(axis=1), found, -1)


def record_ids(store: ObjectStore, root: TreeRoot) -> bytes:
    """Return the record ids of a tree, 32 bytes each, in key order."""
    return b"".join(LeafReader(store, child.id).leaf.record_ids for child in iter_leaves(store, root))
