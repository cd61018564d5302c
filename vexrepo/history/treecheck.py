"""Whether the trees of a snapshot are as the format says: order, counts, boundaries, records.

Beside snapshots that are known to be right only what is new is read: a subtree that is in one of those stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vexrepo.errors import InvalidData
from vexrepo.history.walk import LeafReader, check_records, read_node
from vexrepo.objects import tree
from vexrepo.objects.digest import SnapshotId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.tree import Leaf
from vexrepo.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class _Place:
    """A subtree in a tree that is right: its keys lie after ``lower`` (None: it is the first), up to ``last_key``.

    ``is_last`` says that nothing follows it.
    """

    lower: bytes | None
    last_key: bytes
    count: int
    is_last: bool


@dataclass(slots=True)
class _Known:
    """What a tree that is to be checked has in common with trees that are right, and the leaves it has not."""

    places: dict[tuple[int, TreeId], _Place] = field(default_factory=dict)  # by height and id
    leaves: dict[bytes, tuple[TreeId, _Place]] = field(default_factory=dict)  # by last key


class TreeCheck:
    """Checks trees; what was checked once is not read again.  ``records`` counts those that were read."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._trees: dict[tuple[bytes, int, str, bool], tuple[bytes, bytes, int]] = {}
        self._read: set[tuple[bytes, str]] = set()
        self._known = _Known()
        self.records = 0

    def leave_out(self, leaves: Iterable[TreeId]) -> None:
        """Take the records of some leaves for right: somebody else looks at them."""
        self._read.update((identifier, "records") for identifier in leaves)

    def check_snapshot(self, identifier: SnapshotId, known: Iterable[SnapshotId] = ()) -> None:
        """Check a snapshot's trees; ``known`` ones are right.  Raises: Tampered, InvalidData."""
        snapshot = self._snapshot(identifier)
        # Where a leaf ends depends on the size that is written in the snapshot.
        olds = [old for old in map(self._snapshot, known) if old.leaf_records == snapshot.leaf_records]
        self._check_tree(snapshot.records, snapshot.leaf_records, "records", [old.records for old in olds])
        self._check_tree(snapshot.edges, snapshot.leaf_records, "edges", [old.edges for old in olds])

    def _snapshot(self, identifier: SnapshotId) -> Snapshot:
        return Snapshot.decode(self._store.get(identifier, ObjectType.SNAPSHOT))

    def _check_tree(self, root: TreeRoot, expected: int, what: str, known: Sequence[TreeRoot] = ()) -> None:
        if root in known:
            return
        if root.height and len(read_node(self._store, root.id).children) == 1:
            raise InvalidData(f"the {what} tree {root.id.short} has a root with one child", code="object-corrupt")
        self._known = _find_known(self._store, root, known) if known else _Known()
        _, _, count = self._check_below(root.id, root.height, expected, what, last=True)
        if count != root.count:
            raise InvalidData(
                f"the {what} tree {root.id.short} holds {count} records, not {root.count}", code="object-corrupt"
            )

    def _check_below(
        self, identifier: TreeId, height: int, expected: int, what: str, *, last: bool
    ) -> tuple[bytes, bytes, int]:
        """Return (first key, last key, count) of a subtree, its order, counts and boundaries checked.

        ``last`` says that nothing follows it, so that it may end where no boundary is.
        """
        place = (identifier, expected, what, last)
        known = self._trees.get(place)
        if known is not None:
            return known
        if height == 0:
            keys = self._check_leaf(identifier, expected, what, last)
            found = (keys[0] if keys else b"", keys[-1] if keys else b"", len(keys))
        else:
            found = self._check_node(identifier, height, expected, what, last)
        self._trees[place] = found
        return found

    def _check_leaf(self, identifier: TreeId, expected: int, what: str, last: bool) -> list[bytes]:
        reader = LeafReader(self._store, identifier)
        keys = reader.leaf.keys
        before = self._stood_for(keys)
        if (identifier, what) not in self._read:
            check_records(reader, edges=what == "edges", known=before[0] if before else None)
            self.records += len(keys) if what == "records" else 0
            self._read.add((identifier, what))
        # Where it ends is a matter of its keys alone.
        is_as_before = before and before[0].leaf.keys == keys and (last or not before[1].is_last)
        if not is_as_before and not _ends_right(keys, 0, expected, last):
            raise reader.wrong("it does not end where its keys say")
        return keys

    def _check_node(
        self, identifier: TreeId, height: int, expected: int, what: str, last: bool
    ) -> tuple[bytes, bytes, int]:
        node = read_node(self._store, identifier)
        if node.level != height:
            raise InvalidData(f"the node {identifier.short} is on the wrong level", code="object-corrupt")
        if not _ends_right([child.last_key for child in node.children], height, tree.FANOUT, last):
            raise InvalidData(f"the node {identifier.short} does not end where its keys say", code="object-corrupt")
        first = previous = None
        total = 0
        for number, child in enumerate(node.children):
            is_last = last and number == len(node.children) - 1
            place = self._known.places.get((height - 1, child.id))
            if place is not None:
                # In its tree it came after another key: no need to look at its first one where that says enough.
                follows = previous is not None and place.lower is not None and previous <= place.lower
                low = None if follows else self._first_key(child.id, height - 1)
                high, count = place.last_key, place.count
                if place.is_last and not is_last:
                    self._check_end(child.id, height - 1, expected)
            else:
                low, high, count = self._check_below(child.id, height - 1, expected, what, last=is_last)
            if (
                high != child.last_key
                or count != child.count
                or (previous is not None and low is not None and low <= previous)
            ):
                raise InvalidData(f"the node {identifier.short} does not describe its children", code="object-corrupt")
            first, previous, total = (low if first is None else first), high, total + count
        return first or b"", previous or b"", total

    # -- what is known ---------------------------------------------------------------------------------------------

    def _stood_for(self, keys: list[bytes]) -> tuple[LeafReader, _Place] | None:
        """Return the leaf that a new one stands in for, which was right, and where it was."""
        before = self._known.leaves.get(keys[-1]) if keys else None
        return (LeafReader(self._store, before[0]), before[1]) if before else None

    def _first_key(self, identifier: TreeId, height: int) -> bytes:
        while height:
            identifier, height = read_node(self._store, identifier).children[0].id, height - 1
        keys = Leaf.decode(self._store.get(identifier, ObjectType.LEAF)).keys
        return keys[0] if keys else b""

    def _check_end(self, identifier: TreeId, height: int, expected: int) -> None:
        """Check that a subtree, which once was the last, may be followed by others."""
        while height:
            children = read_node(self._store, identifier).children
            if not _ends_right([child.last_key for child in children], height, tree.FANOUT, last=False):
                raise InvalidData(f"the node {identifier.short} does not end where its keys say", code="object-corrupt")
            identifier, height = children[-1].id, height - 1
        reader = LeafReader(self._store, identifier)
        if not _ends_right(reader.leaf.keys, 0, expected, last=False):
            raise reader.wrong("it does not end where its keys say")


def _find_known(store: ObjectStore, root: TreeRoot, known: Sequence[TreeRoot]) -> _Known:
    """Walk a tree beside others, level by level, and return what they share, which is not entered."""
    found = _Known()
    new: set[TreeId] = set()
    old: dict[TreeId, _Place] = {}
    for height in range(max(root.height, *(each.height for each in known)), -1, -1):
        if height == root.height:
            new.add(root.id)
        old |= {each.id: _place_of(store, each) for each in known if each.height == height}
        same = new & old.keys()
        found.places |= {(height, identifier): old[identifier] for identifier in same}
        new -= same
        gone = {identifier: place for identifier, place in old.items() if identifier not in same}
        if height == 0:
            found.leaves = {place.last_key: (identifier, place) for identifier, place in gone.items()}
        elif height > root.height or new:
            new = {child.id for identifier in new for child in read_node(store, identifier).children}
            old = dict(each for identifier, place in gone.items() for each in _places(store, identifier, place))
        else:
            break
    return found


def _place_of(store: ObjectStore, root: TreeRoot) -> _Place:
    if root.height:
        last_key = read_node(store, root.id).children[-1].last_key
    else:
        last_key = (Leaf.decode(store.get(root.id, ObjectType.LEAF)).keys or [b""])[-1]
    return _Place(None, last_key, root.count, True)


def _places(store: ObjectStore, identifier: TreeId, above: _Place) -> Iterator[tuple[TreeId, _Place]]:
    lower = above.lower
    children = read_node(store, identifier).children
    for number, child in enumerate(children):
        is_last = above.is_last and number == len(children) - 1
        yield child.id, _Place(lower, child.last_key, child.count, is_last)
        lower = child.last_key


def _ends_right(keys: list[bytes], level: int, expected: int, last: bool) -> bool:
    """Whether a leaf or node of these (last) keys ends where the boundary rule says."""
    ends = [row for row, key in enumerate(keys) if tree.ends_here(key, level, expected)]
    full = tree.OVERFULL * expected
    if any(row != len(keys) - 1 for row in ends) or len(keys) > full:
        return False
    return bool(ends) or len(keys) == full or last
