"""Counts over a snapshot: records, namespaces, embedding spaces, with the leaves that did not change counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from vexrepo.history.walk import iter_leaves
from vexrepo.objects.digest import TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import split_key
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import Leaf
from vexrepo.objects.vector import Space
from vexrepo.storage.store import ObjectStore


class LeafCount(NamedTuple):
    """What one leaf holds."""

    namespaces: frozenset[str]
    spaces: tuple[tuple[Space, int], ...]


class Census:
    """Counts leaves by id; a leaf seen before costs nothing."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[bytes, LeafCount] = {}
        self.namespaces: set[str] = set()
        self.spaces: Counter[Space] = Counter()

    def iter_record_ids(self, root: TreeRoot) -> Iterator[bytes]:
        """Yield the record ids of a tree in key order, 32 bytes each, counting its leaves on the way."""
        for child in iter_leaves(self._store, root):
            leaf = Leaf.decode(self._store.get(child.id, ObjectType.LEAF, cache=False))
            self._known[child.id] = _count(leaf)
            yield leaf.record_ids

    def note(self, identifier: TreeId, leaf: Leaf) -> None:
        """Count a leaf that is being written, so that it need not be read again."""
        self._known[identifier] = _count(leaf)

    def add(self, identifier: TreeId) -> None:
        """Add what a leaf holds to ``namespaces`` and ``spaces``."""
        found = self._known.get(identifier)
        if found is None:
            found = self._known[identifier] = _count(Leaf.decode(self._store.get(identifier, ObjectType.LEAF)))
        self.namespaces |= found.namespaces
        self.spaces.update(dict(found.spaces))

    def count(self, root: TreeRoot) -> None:
        """Add what a tree holds."""
        for child in iter_leaves(self._store, root):
            self.add(child.id)

    def spaces_json(self) -> list[dict[str, Any]]:
        """Return the embedding spaces as a snapshot keeps them: most used first."""
        ordered = sorted(self.spaces.items(), key=lambda item: (-item[1], item[0].encode()))
        return [
            {"name": s.name, "kind": s.kind, "model": s.model, "dims": s.dims, "dtype": s.dtype, "count": n}
            for s, n in ordered
        ]


def _count(leaf: Leaf) -> LeafCount:
    namespaces: set[str] = set()
    start = 0
    while start < len(leaf.keys):
        space = split_key(leaf.keys[start])[0]
        namespaces.add(space)
        # Keys are sorted, so a namespace that also ends the leaf holds all between.
        if split_key(leaf.keys[-1])[0] == space:
            break
        start += 1
        while split_key(leaf.keys[start])[0] == space:
            start += 1
    total = len(leaf.keys)
    spaces = tuple((c.space, sum(byte.bit_count() for byte in c.members) if c.members else total) for c in leaf.columns)
    return LeafCount(frozenset(namespaces), spaces)
