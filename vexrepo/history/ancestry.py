"""How commits descend from one another."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId

Read = Callable[[CommitId], Commit]
_OURS, _THEIRS, _STALE = 1, 2, 4


def merge_bases(read: Read, ours: CommitId, theirs: CommitId) -> list[CommitId]:
    """Return the best common ancestors of two commits, newest first: none, one, or after a criss-cross several.

    A best one is not an ancestor of another common one.  Walks from both sides, newest first, and stops where
    only common history is left.
    """
    if ours == theirs:
        return [ours]
    marks = {ours: _OURS, theirs: _THEIRS}
    commits = {identifier: read(identifier) for identifier in marks}
    queue = [(-commit.time_us, identifier) for identifier, commit in commits.items()]
    heapq.heapify(queue)
    found: list[CommitId] = []
    while any(not marks[identifier] & _STALE for _, identifier in queue):
        _, identifier = heapq.heappop(queue)
        mark = marks[identifier]
        if mark & (_OURS | _THEIRS) == _OURS | _THEIRS and not mark & _STALE:
            if identifier not in found:
                found.append(identifier)
            mark |= _STALE
        for parent in commits[identifier].parents:
            if marks.get(parent, 0) | mark == marks.get(parent, 0):
                continue
            marks[parent] = marks.get(parent, 0) | mark
            commits.setdefault(parent, read(parent))
            heapq.heappush(queue, (-commits[parent].time_us, parent))
    # Clocks can disagree: one found early may have turned out to be an ancestor of another.
    best = [each for each in found if not any(is_ancestor(read, each, other) for other in found if other != each)]
    return sorted(best, key=lambda each: (-commits[each].time_us, each))


def is_ancestor(read: Read, ancestor: CommitId, of: CommitId) -> bool:
    """Whether one commit is another, or one of those it descends from.

    Walks newest first: a recent ancestor is found without reading what is older.
    """
    if ancestor == of:
        return True
    start = read(of)
    seen, queue = {of}, [(-start.time_us, of, start.parents)]
    while queue:
        _, _, parents = heapq.heappop(queue)
        if ancestor in parents:
            return True
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
                commit = read(parent)
                heapq.heappush(queue, (-commit.time_us, parent, commit.parents))
    return False


def ahead_behind(read: Read, ours: CommitId, theirs: CommitId) -> tuple[int, int]:
    """Return how many commits only ``ours`` has, and how many only ``theirs`` has.

    Stops where only common history is left.  Where clocks disagree a commit of the common history may be counted.
    """
    if ours == theirs:
        return 0, 0
    marks = {ours: _OURS, theirs: _THEIRS}
    commits = {identifier: read(identifier) for identifier in marks}
    queue = [(-commit.time_us, identifier) for identifier, commit in commits.items()]
    heapq.heapify(queue)
    waiting = set(marks)
    while any(marks[identifier] != _OURS | _THEIRS for identifier in waiting):
        _, identifier = heapq.heappop(queue)
        waiting.discard(identifier)
        for parent in commits[identifier].parents:
            mark = marks.get(parent, 0) | marks[identifier]
            if mark == marks.get(parent):
                continue
            marks[parent] = mark
            if parent not in waiting:
                commits.setdefault(parent, read(parent))
                heapq.heappush(queue, (-commits[parent].time_us, parent))
                waiting.add(parent)
    found = list(marks.values())
    return found.count(_OURS), found.count(_THEIRS)
