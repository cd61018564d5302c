"""What changed between two trees: cost grows with the change, not with the memory (law 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vexrepo.history.walk import LeafReader, RecordAt, read_node
from vexrepo.objects.digest import ID_BYTES
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import Child
from vexrepo.storage.store import ObjectStore

_BLOCK = 4 * ID_BYTES


class Change(NamedTuple):
    """One key that differs: ``old`` None is an addition, ``new`` None a removal."""

    key: bytes
    old: RecordAt | None
    new: RecordAt | None


class Span(NamedTuple):
    """Leaves of two trees that differ and cover the same keys, so that they can be compared by themselves."""

    old: list[Child]
    new: list[Child]


def diff_trees(store: ObjectStore, old: TreeRoot, new: TreeRoot) -> Iterator[Change]:
    """Yield the keys whose record differs, in key order.  Equal subtrees are skipped by id."""
    for span in differing_spans(store, old, new):
        yield from diff_span(store, span)


def differing_spans(store: ObjectStore, old: TreeRoot, new: TreeRoot) -> list[Span]:
    """Return where two trees differ, in key order, without opening a leaf."""
    left, right = (deque(leaves) for leaves in _differing_leaves(store, old, new))
    if not all(child.last_key for child in (*left, *right)):  # a tree of one leaf has no node to say where it ends
        return [Span(list(left), list(right))]
    found = []
    while left or right:
        span = Span(_take(left), _take(right))
        # Leaves are taken until both sides end at the same key.
        while left or right:
            a, b = _end(span.old), _end(span.new)
            if a == b:
                break
            if right and (not left or b < a):
                span.new.append(right.popleft())
            elif left and (not right or a < b):
                span.old.append(left.popleft())
        found.append(span)
    return found


def _take(leaves: deque[Child]) -> list[Child]:
    return [leaves.popleft()] if leaves else []


def _end(leaves: list[Child]) -> bytes:
    return leaves[-1].last_key if leaves else b""


def diff_span(store: ObjectStore, span: Span) -> Iterator[Change]:
    """Yield the keys of a span whose record differs, in key order.  Raises: Tampered (object-corrupt)."""
    ours, theirs = ([_reader(store, child) for child in side] for side in span)
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


def _reader(store: ObjectStore, child: Child) -> LeafReader:
    reader = LeafReader(store, child.id, keep=False)
    if child.last_key and reader.leaf.keys[-1:] != [child.last_key]:
        raise reader.wrong("its last key is not the one its node names")
    return reader


def _differing_rows(old: bytes, new: bytes) -> list[int]:
    found = []
    for start in range(0, len(old), _BLOCK):  # most are equal, block by block
        a, b = old[start : start + _BLOCK], new[start : start + _BLOCK]
        if a != b:
            found += [
                (start + at) // ID_BYTES
                for at in range(0, len(a), ID_BYTES)
                if a[at : at + ID_BYTES] != b[at : at + ID_BYTES]
            ]
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
