"""Finding memories: by words at one commit or in all history, and by vector."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from vexrepo.history.diff import diff_trees
from vexrepo.history.matrix import read_matrix
from vexrepo.history.nearest import choose_spaces, nearest_rows, unit_vector
from vexrepo.history.search import TextScan
from vexrepo.history.terms import Query, parse_query
from vexrepo.history.walk import LeafReader, RecordAt, find_record, iter_leaves
from vexrepo.objects.digest import CommitId, RecordId
from vexrepo.objects.selection import Selection
from vexrepo.objects.vector import Space
from vexrepo.repository.core import Core

LIMIT = 10
BATCH = 1000  # changed records searched together


@dataclass(frozen=True, slots=True)
class Moment:
    """A commit and its time, in microseconds since 1970."""

    commit: CommitId
    time_us: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory found.  ``commit`` is one that has it like this.

    In a search of all history: ``appeared`` is the first commit at which some version of the memory matched,
    ``vanished`` the commit that forgot it or changed it so that it matches no more, None if it still does.
    """

    score: float
    key: bytes
    record: RecordAt
    commit: CommitId
    appeared: Moment | None = None
    vanished: Moment | None = None


def search_text(
    repository: Core,
    commit: CommitId,
    query: str | Query,
    *,
    limit: int = LIMIT,
    selection: Selection | None = None,
) -> list[Hit]:
    """Return the memories of a commit that match best, best first; equal scores in key order.

    A selection leaves hits out; it does not change the scores of others.  Raises: UsageError (bad-option).
    """
    scan = TextScan(_parsed(query))
    root = repository.records_root(commit)
    assert root is not None
    starts: list[int] = []
    leaves = []
    for child in iter_leaves(repository.objects, root):
        reader = LeafReader(repository.objects, child.id)
        starts.append(scan.count)
        leaves.append(child)
        bodies = list(reader.bodies)
        scan.feed(bodies, _accepts(selection, reader.leaf.keys, bodies))
        repository.around.progress("searching memories", scan.count, root.count)
    found = []
    for number, score in _first(scan, limit):
        place = bisect_right(starts, number) - 1
        reader = LeafReader(repository.objects, leaves[place].id)
        row = number - starts[place]
        found.append(Hit(score, reader.leaf.keys[row], RecordAt(reader, row), commit))
    return found


def search_history(
    repository: Core,
    commit: CommitId,
    query: str | Query,
    *,
    limit: int = LIMIT,
    selection: Selection | None = None,
) -> list[Hit]:
    """Return the memories that match best in any version that a commit or one before it has, each once.

    Versions are compared with each other: each is read once, where it first came up, so that the cost grows with what
    changed.  A memory's hit is its best version, the newest of several.  Raises: UsageError (bad-option).
    """
    scan = TextScan(_parsed(query))
    walk = _History(repository, commit, scan, selection)
    walk.run()
    here = repository.records_root(commit)
    assert here is not None
    best: dict[bytes, tuple[float, int]] = {}
    for number, score in _first(scan, None):
        key = walk.versions[number][0]
        if key not in best or (score, number) > best[key]:
            best[key] = (score, number)
    found = []
    for key, (score, number) in islice(sorted(best.items(), key=lambda item: (-item[1][0], item[0])), limit):
        place = walk.versions[number][1]
        root = repository.records_root(place)
        assert root is not None
        record = find_record(repository.objects, root, key)
        assert record is not None
        now = find_record(repository.objects, here, key)
        vanished = None if now is not None and now.id in walk.matching else walk.vanished.get(key, (False, None))[1]
        found.append(Hit(score, key, record, place, walk.appeared[key], vanished))
    return found


def search_vector(
    repository: Core,
    commit: CommitId,
    vector: Sequence[float],
    *,
    limit: int = LIMIT,
    selection: Selection | None = None,
    like: Space | None = None,
    leave_out: bytes | None = None,
) -> tuple[list[Hit], Space]:
    """Return the memories whose vectors have the largest cosine with one, and the embedding space searched.

    ``like`` is the space the vector is of, if known; ``leave_out`` the key of the memory it is from.  Of several models
    with these dims, the most used is searched.  Vectors of length 0 are left out.

    Raises: UsageError (bad-option), InvalidData (not-finite).
    """
    snapshot = repository.snapshot_of(commit)
    assert snapshot is not None
    spaces = [Space(**{name: item for name, item in each.items() if name != "count"}) for each in snapshot.spaces]
    chosen = choose_spaces(spaces, len(vector), like)
    unit = unit_vector(vector)
    best: list[tuple[float, bytes]] = []
    for space in chosen:
        matrix = read_matrix(repository.objects, snapshot.records, space, threads=os.cpu_count() or 1)
        keys = matrix.keys()

        def accepts(row: int, keys: Sequence[bytes] = keys) -> bool:
            return keys[row] != leave_out and _selected(repository, commit, selection, keys[row])

        best += [(score, keys[row]) for row, score in nearest_rows(matrix.values, unit, limit, accepts)]
    best.sort(key=lambda item: (-item[0], item[1]))
    found = []
    for score, key in best[:limit]:
        record = find_record(repository.objects, snapshot.records, key)
        assert record is not None
        found.append(Hit(score, key, record, commit))
    return found, chosen[0]


def _parsed(query: str | Query) -> Query:
    return parse_query(query) if isinstance(query, str) else query


def _first(scan: TextScan, limit: int | None) -> list[tuple[int, float]]:
    numbers, scores = scan.ranked()
    return list(zip(numbers[:limit].tolist(), scores[:limit].tolist(), strict=True))


def _accepts(selection: Selection | None, keys: Sequence[bytes], bodies: Sequence[bytes]) -> Callable[[int], bool]:
    if not selection:
        return lambda row: True
    return lambda row: selection.accepts(keys[row], lambda: bodies[row])


def _selected(repository: Core, commit: CommitId, selection: Selection | None, key: bytes) -> bool:
    if not selection:
        return True

    def body() -> bytes:
        root = repository.records_root(commit)
        found = find_record(repository.objects, root, key) if root else None
        return found.body if found else b"{}"

    return selection.accepts(key, body)


class _History:
    """Walks commits from the oldest on and searches each version of a record where it first comes up."""

    def __init__(self, repository: Core, commit: CommitId, scan: TextScan, selection: Selection | None) -> None:
        self._repository = repository
        self._start = commit
        self._scan = scan
        self._selection = selection
        self._seen: set[RecordId] = set()
        self.matching: set[RecordId] = set()
        self.versions: dict[int, tuple[bytes, CommitId]] = {}  # of each match: its key, and a commit that has it
        self.appeared: dict[bytes, Moment] = {}
        self.vanished: dict[bytes, tuple[bool, Moment]] = {}  # with whether it is on the main line

    def run(self) -> None:
        """Walk."""
        commits = list(self._repository.history(self._start))
        main: set[CommitId] = set()
        following: CommitId | None = self._start
        parents = {identifier: commit.parents for identifier, commit in commits}
        while following is not None:
            main.add(following)
            following = next(iter(parents[following]), None)
        for number, (identifier, commit) in enumerate(reversed(commits)):
            moment = Moment(identifier, commit.time_us)
            # What a merge drops of its other parents has no difference to the first.
            for parent in commit.parents or (None,):
                on_main = identifier in main and parent in (None, *commit.parents[:1])
                changes = self._changes(identifier, parent)
                while batch := list(islice(changes, BATCH)):
                    self._search(batch, moment, on_main)
            self._repository.around.progress("searching commits", number + 1, len(commits))

    def _changes(self, commit: CommitId, parent: CommitId | None) -> Iterator[tuple[bytes, RecordId | None, _New]]:
        """Yield (key, old id, new version) of what a commit has otherwise than a parent; without one, all it has."""
        objects, root = self._repository.objects, self._repository.records_root(commit)
        before = self._repository.records_root(parent)
        assert root is not None
        if before is not None:
            for key, old, new in diff_trees(objects, before, root):
                wanted = new is not None and new.id not in self._seen
                body = new.body if new is not None and wanted else None
                yield key, old.id if old else None, _New(new.id if new else None, body)
            return
        for child in iter_leaves(objects, root):
            reader = LeafReader(objects, child.id)
            for row, (key, body) in enumerate(zip(reader.leaf.keys, reader.bodies, strict=True)):
                identifier = reader.leaf.record_id(row)
                yield key, None, _New(identifier, None if identifier in self._seen else body)

    def _search(self, batch: Sequence[tuple[bytes, RecordId | None, _New]], moment: Moment, is_main: bool) -> None:
        fresh = [(key, new.id, new.body) for key, _, new in batch if new.id is not None and new.body is not None]
        keys, bodies = [key for key, _, _ in fresh], [body for _, _, body in fresh]
        first = self._scan.count
        for row in self._scan.feed(bodies, _accepts(self._selection, keys, bodies)):
            self.matching.add(fresh[row][1])
            self.versions[first + row] = (keys[row], moment.commit)
        self._seen.update(identifier for _, identifier, _ in fresh)
        for key, old, new in batch:
            if new.id in self.matching:
                self.appeared.setdefault(key, moment)
            elif old in self.matching and (is_main or not self.vanished.get(key, (False,))[0]):
                self.vanished[key] = (is_main, moment)


@dataclass(frozen=True, slots=True)
class _New:
    """What a key has become; ``body`` only where the version was not searched yet."""

    id: RecordId | None
    body: bytes | None
