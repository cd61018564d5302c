"""What a check may know of the memory that changes enter, as it is before them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects import tree
from vexrepo.objects.digest import TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import split_key
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import Leaf
from vexrepo.objects.vector import Space
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAVES_READ = 8  # a sample comes from at most so many leaves, which are spread evenly


class Shape(NamedTuple):
    """An embedding space without its dtype, in which the numbers of one model may differ."""

    name: str
    kind: str
    model: str | None
    dims: int


def shape_of(space: Space) -> Shape:
    """Return the shape of an embedding space."""
    return Shape(space.name, space.kind, space.model, space.dims)


Sampler = Callable[[str, Shape, int], "NDArray[np.float64] | None"]


@dataclass(frozen=True, slots=True)
class Surrounding:
    """How many memories there are in all and in each namespace, and how many vectors of each shape.

    ``total`` is None where nothing is known of the memory.  ``sampler`` gives some vectors of a namespace.
    """

    total: int | None = None
    memories: Mapping[str, int] = field(default_factory=dict)
    vectors: Mapping[str, Mapping[Shape, int]] = field(default_factory=dict)
    sampler: Sampler | None = None

    def sample(self, namespace: str, shape: Shape, most: int) -> NDArray[np.float64] | None:
        """Return up to ``most`` vectors of a namespace, (n, dims); None where there are none, or they are not dense."""
        if self.sampler is None or shape.kind != "dense" or not self.vectors.get(namespace, {}).get(shape):
            return None
        return self.sampler(namespace, shape, most)


NOTHING_KNOWN = Surrounding()


class _Part(NamedTuple):
    """The rows of one column of a leaf that are of one namespace."""

    leaf: TreeId
    column: int
    start: int
    end: int


def read_surrounding(store: ObjectStore, root: TreeRoot | None) -> Surrounding:
    """Return what a check may know of a snapshot's records.

    Leaves are read, about one for a thousand memories; bodies are not, vectors for a sample when it is asked for.
    """
    if root is None:
        return Surrounding(0)
    memories: Counter[str] = Counter()
    vectors: defaultdict[str, Counter[Shape]] = defaultdict(Counter)
    parts: defaultdict[tuple[str, Shape], list[_Part]] = defaultdict(list)
    for child in iter_leaves(store, root):
        leaf = Leaf.decode(store.get(child.id, ObjectType.LEAF))
        start = 0
        while start < len(leaf.keys):
            namespace = split_key(leaf.keys[start])[0]
            # Everything of a namespace begins with it and this mark, and nothing of another one does.
            above = leaf.keys[start].partition(b"\0\x01")[0] + b"\0\x02"
            end = bisect_left(leaf.keys, above, start)
            memories[namespace] += end - start
            for number, column in enumerate(leaf.columns):
                first, last = tree.rank(column.members, start), tree.rank(column.members, end)
                if last > first:
                    shape = shape_of(column.space)
                    vectors[namespace][shape] += last - first
                    parts[namespace, shape].append(_Part(child.id, number, first, last))
            start = end
    return Surrounding(
        root.count, dict(memories), dict(vectors), lambda *wanted: _sample(store, parts[wanted[:2]], *wanted[1:])
    )


def _sample(store: ObjectStore, parts: list[_Part], shape: Shape, most: int) -> NDArray[np.float64] | None:
    import numpy as np

    chosen = [parts[number * len(parts) // LEAVES_READ] for number in range(LEAVES_READ)]
    chosen = list(dict.fromkeys(chosen)) if len(parts) > LEAVES_READ else parts
    rows = []
    for part in chosen:
        reader = LeafReader(store, part.leaf)
        matrix = reader.matrix(reader.leaf.columns[part.column])
        values = np.frombuffer(matrix.dense, "<f8" if matrix.space.dtype == "f64" else "<f4").reshape(-1, shape.dims)
        wanted = min(part.end - part.start, max(1, most // len(chosen)))
        places = part.start + np.arange(wanted) * (part.end - part.start) // wanted
        rows.append(values[places].astype(np.float64))
    return np.concatenate(rows) if rows else None
