"""What some commits need that others have not, at a cost that grows with the difference.

Commits are walked newest first from both sides; of each commit that is new, its trees are walked beside those of its
parents, level by level, and what is the same is not entered.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator

from vexrepo.history.ancestry import Read
from vexrepo.history.revision import read_commit
from vexrepo.history.walk import read_node
from vexrepo.objects.digest import CommitId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.tree import Leaf
from vexrepo.storage.pack import Key
from vexrepo.storage.store import ObjectStore

_HAVE, _WANT = 1, 2


def commits_between(read: Read, have: Iterable[CommitId], want: Iterable[CommitId]) -> list[CommitId]:
    """Return the commits in ``want`` and their ancestors that are neither in ``have`` nor ancestors of one there.

    Parents come before children.  Where clocks disagree, some may be returned although an old one has them; never the
    other way round.
    """
    marks: dict[CommitId, int] = {}
    for mark, group in ((_HAVE, have), (_WANT, want)):
        for identifier in group:
            marks[identifier] = marks.get(identifier, 0) | mark
    commits = {identifier: read(identifier) for identifier in marks}
    queue = [(-commit.time_us, identifier) for identifier, commit in commits.items()]
    heapq.heapify(queue)
    wanted = sum(mark == _WANT for mark in marks.values())  # of those in the queue
    queued = set(marks)
    while wanted:
        _, identifier = heapq.heappop(queue)
        queued.discard(identifier)
        mark = marks[identifier]
        wanted -= mark == _WANT
        passed = _HAVE if mark & _HAVE else _WANT
        for parent in commits[identifier].parents:
            before = marks.get(parent, 0)
            if before & _HAVE or before == passed:
                continue
            marks[parent] = before | passed
            if parent not in queued:
                if parent not in commits:
                    commits[parent] = read(parent)
                heapq.heappush(queue, (-commits[parent].time_us, parent))
                queued.add(parent)
                wanted += marks[parent] == _WANT
            elif before == _WANT:
                wanted -= 1
    return _parents_first({identifier: commits[identifier].parents for identifier, m in marks.items() if m == _WANT})


def _parents_first(parents: dict[CommitId, tuple[CommitId, ...]]) -> list[CommitId]:
    found: list[CommitId] = []
    done: set[CommitId] = set()
    for start in sorted(parents):
        stack = [start]
        while stack:
            identifier = stack[-1]
            waiting = [each for each in parents[identifier] if each in parents and each not in done]
            if identifier in done or not waiting:
                stack.pop()
                if identifier not in done:
                    done.add(identifier)
                    found.append(identifier)
            else:
                stack.extend(waiting)
    return found


def iter_lacking(store: ObjectStore, identifier: CommitId) -> Iterator[Key]:
    """Yield the objects of a commit, less those that its parents' snapshots consist of; a few perhaps twice.

    The commit comes first; its signatures are not named.
    Raises: Tampered (object-missing, object-corrupt) where a tree of it or of a parent cannot be read.
    """
    commit = read_commit(store, identifier)
    yield identifier, ObjectType.COMMIT
    before = [read_commit(store, parent).snapshot for parent in commit.parents]
    if commit.snapshot in before:
        return
    yield commit.snapshot, ObjectType.SNAPSHOT
    snapshot = Snapshot.decode(store.get(commit.snapshot, ObjectType.SNAPSHOT))
    olds = [Snapshot.decode(store.get(each, ObjectType.SNAPSHOT)) for each in before]
    yield from iter_lacking_below(store, snapshot.records, [old.records for old in olds])
    yield from iter_lacking_below(store, snapshot.edges, [old.edges for old in olds])


def iter_lacking_below(store: ObjectStore, root: TreeRoot, known: Collection[TreeRoot]) -> Iterator[Key]:
    """Yield the objects of a tree that are in none of the known ones."""
    new: dict[TreeId, None] = {}
    old: dict[TreeId, None] = {}
    for height in range(max((root.height, *(each.height for each in known))), -1, -1):
        if height == root.height:
            new[root.id] = None
        old |= {each.id: None for each in known if each.height == height}
        same = new.keys() & old.keys()
        fresh, gone = [each for each in new if each not in same], [each for each in old if each not in same]
        if height <= root.height and not fresh:
            return
        if height == 0:
            yield from _columns(store, fresh, gone)
            return
        new, old = {}, {}
        for identifier in fresh:
            yield identifier, ObjectType.NODE
            new |= {child.id: None for child in read_node(store, identifier).children}
        for identifier in gone:
            old |= {child.id: None for child in read_node(store, identifier).children}


def _columns(store: ObjectStore, fresh: Collection[TreeId], gone: Collection[TreeId]) -> Iterator[Key]:
    held = {key for identifier in gone for key in _leaf_keys(store, identifier)}
    for identifier in fresh:
        yield identifier, ObjectType.LEAF
        for key in _leaf_keys(store, identifier):
            if key not in held:
                held.add(key)
                yield key


def _leaf_keys(store: ObjectStore, identifier: TreeId) -> Iterator[Key]:
    leaf = Leaf.decode(store.get(identifier, ObjectType.LEAF, cache=False))
    yield leaf.bodies, ObjectType.BODIES
    for column in leaf.columns:
        yield column.vectors, ObjectType.VECTORS
