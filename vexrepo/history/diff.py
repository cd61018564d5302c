"""What changed between two trees: cost grows with the change, not with the memory (law 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vexrepo.history.walk import LeafReader, RecordAt, read_node
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
    left, right = (deque(leaves) for leaves in _differing_leaves(store, old, new))
    while left or right:
        # Leaves are taken until both sides end at the same key: what lies before it can be compared by itself.
        ours, theirs = _take(store, left), _take(store, right)
        while left or right:
            a, b = _end(ours), _end(theirs)
            if a == b:
                break
            if right and (not left or b < a):
                theirs += _take(store, right)
            elif left and (not right or a < b):
                ours += _take(store, left)
        yield from _compare(ours, theirs)


def _take(store: ObjectStore, leaves: deque[Child]) -> list[LeafReader]:
    return [LeafReader(store, leaves.popleft().id)] if leaves else []


def _end(readers: list[LeafReader]) -> bytes:
    return readers[-1].leaf.keys[-1] if readers and readers[-1].leaf.keys else b""


def _compare(ours: list[LeafReader], theirs: list[LeafReader]) -> Iterator[Change]:
    if len(ours) == 1 and len(theirs) == 1 and ours[0].leaf.keys == theirs[0].leaf.keys:
        # Nothing came or went, which is the rule: only record ids need a look.
        a, b = ours[0], theirs[0]
        for row in _differing_rows(a.leaf.record_ids, b.leaf.record_ids):
            yield Change(a.leaf.keys[row], RecordAt(a, row), RecordAt(b, row))
        return
    old = {key: RecordAt(reader, row) for reader in ours for row, key in enumerate(reader.leaf.keys)}
    new = {key: RecordAt(reader, row) for reader in theirs for row, key in enumerate(reader.leaf.keys)}
    for key in sorted({*old, *new}):
        a_row, b_row = old.get(key), new.get(key)
        if a_row is None or b_row is None or a_row.id != b_row.id:
            yield Change(key, a_row, b_row)


def _differing_rows(old: bytes, new: bytes) -> list[int]:
    import numpy as np

    a, b = (np.frombuffer(ids, "<u8").reshape(-1, 4) for ids in (old, new))
    found: list[int] = np.flatnonzero((a != b).any(axis=1)).tolist()
    return found


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
