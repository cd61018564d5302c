"""Which stored objects some commits need: everything below them, and what those are stored as differences from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vexrepo.history.revision import read_commit
from vexrepo.history.walk import read_node
from vexrepo.objects.digest import CommitId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.tree import Leaf
from vexrepo.storage.codec import IS_DELTA
from vexrepo.storage.pack import Key
from vexrepo.storage.store import ObjectStore


def reachable(
    store: ObjectStore, commits: Iterable[CommitId], advance: Callable[[int], None] = lambda count: None
) -> set[Key]:
    """Return the objects that commits and their ancestors consist of, signatures included.

    ``advance`` is told the number of commits walked.  Raises: Tampered (object-missing, object-corrupt) where one of
    them cannot be read: then nothing may be removed.
    """
    found: set[Key] = set()
    pending = list(commits)
    while pending:
        identifier = pending.pop()
        if (identifier, ObjectType.COMMIT) in found:
            continue
        commit = read_commit(store, identifier)
        found |= {(identifier, ObjectType.COMMIT), (identifier, ObjectType.SIGNATURE)}
        pending.extend(commit.parents)
        advance(1)
        if (commit.snapshot, ObjectType.SNAPSHOT) not in found:
            snapshot = Snapshot.decode(store.get(commit.snapshot, ObjectType.SNAPSHOT))
            found.add((commit.snapshot, ObjectType.SNAPSHOT))
            for root in (snapshot.records, snapshot.edges):
                found.update(_below(store, root, found))
    return found


def _below(store: ObjectStore, root: TreeRoot, known: set[Key]) -> Iterator[Key]:
    """Yield the objects of a tree, subtrees that are known already left out."""
    pending: list[tuple[TreeId, int]] = [(root.id, root.height)]
    while pending:
        identifier, height = pending.pop()
        kind = ObjectType.NODE if height else ObjectType.LEAF
        if (identifier, kind) in known:
            continue
        if height:
            pending += [(child.id, height - 1) for child in read_node(store, identifier).children]
        else:
            leaf = Leaf.decode(store.get(identifier, ObjectType.LEAF, cache=False))
            yield leaf.bodies, ObjectType.BODIES
            for column in leaf.columns:
                yield column.vectors, ObjectType.VECTORS
        yield identifier, kind


def with_bases(store: ObjectStore, wanted: set[Key]) -> set[Key]:
    """Return objects with those that any copy of them is stored as a difference from, wanted or not."""
    found = set(wanted)
    pending = list(wanted)
    while pending:
        identifier, kind = pending.pop()
        for reader, entry in store.copies(identifier, ObjectType(kind)):  # none: a commit without a signature
            if entry.codec in IS_DELTA:
                base = (reader.base(entry), kind)
                if base not in found:
                    found.add(base)
                    pending.append(base)
    return found
