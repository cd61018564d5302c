"""What changed between two trees: cost grows with the change, not with the memory (law 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vexrepo.history.walk import LeafReader, RecordAt, read_node
from vexrepo.objects.digest import RecordId
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import Child
from vexrepo.storage.store import ObjectStore


class Change(NamedTuple):
    """One key that differs: ``old`` None is an addition, ``new`` None a removal."""

    key: bytes
    old: RecordAt | None
    new: RecordAt | None


def diff_trees(store: ObjectStore, old: TreeRoot, new: TreeRoot) -> Iterator[Change]:
    """Yield the keys whose record differs, in key order.  Equal subtrees are skipped by id."""
    left, right = _differing_leaves(store, old, new)
    rows_old, rows_new = _rows(store, left), _rows(store, right)
    a, b = next(rows_old, None), next(rows_new, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield Change(a[0], RecordAt(a[2], a[3]), None)
            a = next(rows_old, None)
        elif a is None or b[0] < a[0]:
            yield Change(b[0], None, RecordAt(b[2], b[3]))
            b = next(rows_new, None)
        else:
            if a[1] != b[1]:
                yield Change(a[0], RecordAt(a[2], a[3]), RecordAt(b[2], b[3]))
            a, b = next(rows_old, None), next(rows_new, None)


def _differing_leaves(store: ObjectStore, old: TreeRoot, new: TreeRoot) -> tuple[list[Child], list[Child]]:
    """Return the leaves of each tree that are not in the other, in key order."""
    left, right = [Child(b"", old.id, old.count)], [Child(b"", new.id, new.count)]
    height_left, height_right = old.height, new.height
    while True:
        if height_left == height_right:
            # The same id is the same records, so a subtree in both cancels out, whatever its parents.
            common = {child.id for child in left} & {child.id for child in right}
            if common:
                left = [child for child in left if child.id not in common]
                right = [child for child in right if child.id not in common]
            if height_left == 0:
                return left, right
        down_left = height_left >= height_right
        if height_right >= height_left:
            right = _children(store, right)
            height_right -= 1
        if down_left:
            left = _children(store, left)
            height_left -= 1


def _children(store: ObjectStore, layer: Iterable[Child]) -> list[Child]:
    return [child for parent in layer for child in read_node(store, parent.id).children]


def _rows(store: ObjectStore, leaves: list[Child]) -> Iterator[tuple[bytes, RecordId, LeafReader, int]]:
    for child in leaves:
        reader = LeafReader(store, child.id)
        ids = reader.leaf.record_ids
        for row, key in enumerate(reader.leaf.keys):
            yield key, RecordId(ids[32 * row : 32 * row + 32]), reader, row
