"""All vectors of one embedding space of a snapshot, as one array."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects import tree
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.vector import Space
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class VectorMatrix:
    """The vectors of a space: ``values`` is (n, dims), float32 or float64 as stored, in key order."""

    space: Space
    values: NDArray[np.floating[Any]]
    parts: list[tuple[list[bytes], bytes]]  # of each leaf: its keys, and the bitmap of those with such a vector

    def keys(self) -> list[bytes]:
        """Return the record key of each row."""
        return [keys[row] for keys, members in self.parts for row in tree.members_rows(members, len(keys))]


def read_matrix(store: ObjectStore, root: TreeRoot, space: Space, threads: int) -> VectorMatrix:
    """Return the vectors of a dense space in key order; leaves are read by ``threads`` threads."""
    import numpy as np

    dtype = "<f8" if space.dtype == "f64" else "<f4"
    places, parts, count = [], [], 0
    for child in iter_leaves(store, root):
        reader = LeafReader(store, child.id)
        keys = reader.leaf.keys
        for column in reader.leaf.columns:
            if column.space == space:
                end = count + (tree.rank(column.members, len(keys)) if column.members else len(keys))
                places.append((reader, column, count, end))
                parts.append((keys, column.members))
                count = end
    values = np.empty((count, space.dims), dtype)

    def read(place: tuple[LeafReader, tree.Column, int, int]) -> None:
        reader, column, start, end = place
        matrix = tree.decode_vectors(reader.payload(column))
        if matrix.space != space or matrix.count != end - start:
            raise reader.wrong("its vectors are of another count or space")
        values[start:end] = np.frombuffer(matrix.dense, dtype).reshape(-1, space.dims)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, places):
            pass
    return VectorMatrix(space, values, parts)
