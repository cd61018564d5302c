"""The records a branch already has, by record id: what tells an unchanged record from a new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects.digest import ID_BYTES
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.rows import BLOCK_ROWS, MappedRows, RowFile
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class IdTable:
    """Finds digests in a fixed set of rows that begin with one: ``match`` gives their positions.

    Memory: 12 bytes a row; the rows themselves stay in their file.
    """

    def __init__(self, rows: MappedRows, width: int) -> None:
        import numpy as np

        self._rows = rows
        self._width = width // 8
        self._first = np.empty(len(rows), np.uint64)
        for start in range(0, len(rows), BLOCK_ROWS):
            self._first[start : start + BLOCK_ROWS] = rows.words[start : start + BLOCK_ROWS, 0]
            rows.release()
        self._order = np.argsort(self._first, kind="stable").astype(np.uint32)
        self._first.sort(kind="stable")

    @classmethod
    def of_ids(cls, pieces: Iterable[bytes], path: Path) -> Self:
        """Return the table of record ids, given in pieces; they are kept in a scratch file."""
        ids = RowFile(path, ID_BYTES)
        for piece in pieces:
            ids.append(piece)
        ids.close()
        return cls(ids.mapped(), ID_BYTES)

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, raw: bytes | memoryview) -> NDArray[np.int64]:
        """Return, for each digest in ``raw``, its position in the set or -1."""
        import numpy as np

        wanted = np.frombuffer(raw, "<u8").reshape(-1, self._width)
        found = np.full(len(wanted), -1, np.int64)
        if not len(self._first):
            return found
        place = np.searchsorted(self._first, wanted[:, 0])
        place[place == len(self._first)] = 0
        # The first eight bytes rule out nearly all that are not in the set; only for the others is a row looked at.
        likely = np.flatnonzero(self._first[place] == wanted[:, 0])
        positions = self._order[place[likely]]
        same = (self._rows.take(positions)[:, : self._width] == wanted[likely]).all(axis=1)
        found[likely[same]] = positions[same]
        return found


def iter_record_ids(store: ObjectStore, root: TreeRoot) -> Iterator[bytes]:
    """Yield the record ids of a tree in key order, 32 bytes each, a leaf at a time."""
    for child in iter_leaves(store, root):
        yield LeafReader(store, child.id, keep=False).leaf.record_ids
