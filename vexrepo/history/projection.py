"""Vectors as a picture: principal components in two dimensions, and a sample of a snapshot to draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from vexrepo.history.walk import LeafReader, RecordAt, iter_leaves
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.floating[Any]]

SAMPLED_LEAVES = 40  # a leaf is read whole, so a large snapshot is sampled from some of them


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """A map from a space to the plane.

    ``mean`` is (d,), ``axes`` (2, d), float64; ``explained`` is the part of the variance, 0 to 1, that each axis shows.
    """

    mean: Matrix
    axes: Matrix
    explained: tuple[float, float]

    def place(self, vectors: Matrix) -> Matrix:
        """Return the places of vectors: (n, d) in, (n, 2) out, float64."""
        return (unit_rows(vectors) - self.mean) @ self.axes.T


def unit_rows(vectors: Matrix) -> Matrix:
    """Return the rows scaled to length 1, (n, d) float64.  A zero row stays zero; huge numbers do not overflow."""
    import numpy as np

    rows = vectors.astype(np.float64)
    if not rows.size:
        return rows
    rows /= np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.where(lengths == 0, 1, lengths)


def fit_projection(vectors: Matrix) -> Projection:
    """Return the projection on the two directions of greatest variance of the rows' directions: (n, d), d > 0.

    Deterministic: of each axis, the component of greatest size is positive.  Directions without variance give an
    axis of zeros.
    """
    import numpy as np

    rows = unit_rows(vectors)
    count, dims = rows.shape
    axes = np.zeros((2, dims))
    if not count:
        return Projection(np.zeros(dims), axes, (0.0, 0.0))
    mean = rows.mean(axis=0)
    centred = rows - mean
    # The smaller of the two matrices of products has the same eigenvalues.
    narrow = count < dims
    values, found = np.linalg.eigh(centred @ centred.T if narrow else centred.T @ centred)
    total = float((centred * centred).sum())
    explained = [0.0, 0.0]
    for number in range(min(2, len(values))):
        value = float(values[-1 - number])
        if value <= max(total, 1e-12) * 1e-12:
            continue  # rounding, not variance
        axis = centred.T @ found[:, -1 - number] / np.sqrt(value) if narrow else found[:, -1 - number]
        axes[number] = axis * np.sign(axis[np.argmax(np.abs(axis))])
        explained[number] = value / total
    return Projection(mean, axes, (explained[0], explained[1]))


def sample_records(store: ObjectStore, root: TreeRoot, limit: int) -> Iterator[RecordAt]:
    """Yield at most ``limit`` records in key order, spread evenly over a snapshot; the same ones each time."""
    leaves = list(iter_leaves(store, root))
    if len(leaves) > SAMPLED_LEAVES:
        leaves = [leaves[len(leaves) * number // SAMPLED_LEAVES] for number in range(SAMPLED_LEAVES)]
    total = sum(leaf.count for leaf in leaves)
    wanted = min(limit, total)
    passed = taken = 0
    for leaf in leaves:
        passed += leaf.count
        here = wanted * passed // total - taken
        taken += here
        if here:
            reader = LeafReader(store, leaf.id)
            for number in range(here):
                yield RecordAt(reader, leaf.count * number // here)
