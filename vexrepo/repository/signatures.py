"""What the signatures of commits are worth, judged with what this machine knows of when they were made.

A commit's time is protected by its author's signature, but it is what the author says.  Two things stand against it:
the commits it builds upon, and what this repository held when, by its own operation log.  Signatures that others put
beside it have no time at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vexrepo.history.diff import Change, diff_trees
from vexrepo.history.revision import read_commit
from vexrepo.history.walk import RecordAt, iter_leaves, read_leaves
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import body_value, split_key
from vexrepo.objects.selection import component_of
from vexrepo.objects.signature import Signature, message_of
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.trust import SignedBy, SigningTime, judge_signature
from vexrepo.storage.oplog import OperationLog
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    from vexrepo.objects.commit import Commit
    from vexrepo.repository.core import Core


def signatures_of(repository: Core, identifier: CommitId) -> list[SignedBy]:
    """Return a commit's signatures and what each is worth, its author's first.

    Raises: Tampered where what a verdict rests upon cannot be read; InvalidData for a signature that is none.
    """
    raw = repository.objects.signatures(identifier)
    if not raw:
        return []
    commit = repository.commit_at(identifier)
    trust = repository.around.trust
    found = []
    touched = _Touched(repository, commit)
    author = commit.author.get("key", "")
    for signature in map(Signature.decode, raw):
        # The time of a commit, and since when it was held, say something of its author's signature, which came with
        # it.  Any other may have been put beside it this minute, by whoever has the key.
        time = SigningTime(repository.around.now_us())
        if signature.key.hex() == author:
            time = _signing_time(repository, identifier, commit, is_needed=trust.needs_time(signature.key))
        found.append(
            judge_signature(signature, message_of(identifier), time, touched.namespaces(), touched.components(), trust)
        )
    return sorted(found, key=lambda each: (each.key.hex() != author, each.key))


def _signing_time(repository: Core, identifier: CommitId, commit: Commit, *, is_needed: bool) -> SigningTime:
    now_us = repository.around.now_us()
    if not is_needed:
        return SigningTime(now_us, commit.time_us, is_protected=True)
    evidence = repository.evidence()
    return SigningTime(now_us, commit.time_us, True, evidence.newest_below(identifier), evidence.held_since(identifier))


class _Touched:
    """The namespaces and memory types of what a commit changes: what differs from every one of its parents.

    A graph edge has the namespace and memory type that it names itself, else none.
    """

    def __init__(self, repository: Core, commit: Commit) -> None:
        self._repository = repository
        self._commit = commit

    def namespaces(self) -> Iterator[str]:
        """Yield the namespaces; nothing is read before the first is asked for."""
        for change in self._changes("records"):
            yield split_key(change.key)[0]
        for change in self._changes("edges"):
            for value in _values(change):
                found = value.get("namespace")
                yield found if isinstance(found, str) else ""

    def components(self) -> Iterator[str]:
        """Yield the memory types; nothing is read before the first is asked for."""
        for what in ("records", "edges"):
            for change in self._changes(what):
                yield from map(component_of, _values(change))

    def _changes(self, what: str) -> Iterator[Change]:
        objects = self._repository.objects
        new = self._root(self._commit, what)
        olds = [self._root(self._repository.commit_at(parent), what) for parent in self._commit.parents]
        if not olds:
            yield from _everything(objects, new)
            return
        # A merge says anew only what none of its parents says: the rest was signed for by others.
        others = [{change.key for change in diff_trees(objects, old, new)} for old in olds[1:]]
        for change in diff_trees(objects, olds[0], new):
            if all(change.key in keys for keys in others):
                yield change

    def _root(self, commit: Commit, what: str) -> TreeRoot:
        snapshot = Snapshot.decode(self._repository.objects.get(commit.snapshot, ObjectType.SNAPSHOT))
        return snapshot.records if what == "records" else snapshot.edges


def _everything(objects: ObjectStore, root: TreeRoot) -> Iterator[Change]:
    for reader in read_leaves(objects, iter_leaves(objects, root)):
        for row, key in enumerate(reader.leaf.keys):
            yield Change(key, None, RecordAt(reader, row))


def _values(change: Change) -> Iterator[dict[str, Any]]:
    for record in (change.old, change.new):
        if record is not None:
            yield body_value(record.body)


class Evidence:
    """What a repository knows of when commits were made, beside what they say themselves.

    ``seen_since_us`` is when this machine first saw the repository (None: nothing says).
    """

    def __init__(self, objects: ObjectStore, log: OperationLog, now_us: int, seen_since_us: int | None) -> None:
        self._objects = objects
        self._log = log
        self._now_us = now_us
        self._seen_since_us = seen_since_us
        self._below: dict[CommitId, int | None] = {}
        self._held: dict[CommitId, int] | None = None

    def newest_below(self, commit: CommitId) -> int | None:
        """Return the newest time among a commit's ancestors, None for one without any.

        A time that has not come yet is left out: a wrong clock is no evidence.
        """
        pending = [commit]
        while pending:
            identifier = pending[-1]
            parents = () if identifier in self._below else read_commit(self._objects, identifier).parents
            missing = [parent for parent in parents if parent not in self._below]
            if missing:
                pending += missing
                continue
            pending.pop()
            if identifier not in self._below:
                self._below[identifier] = max(
                    (time for parent in parents for time in self._times(parent)), default=None
                )
        return self._below[commit]

    def _times(self, parent: CommitId) -> Iterator[int]:
        below = self._below[parent]
        if below is not None:
            yield below
        own = read_commit(self._objects, parent).time_us
        if own <= self._now_us:
            yield own

    def held_since(self, commit: CommitId) -> int | None:
        """Return since when the repository has held a commit, as this machine can vouch for; None: no evidence.

        The evidence is the operation log, but no part of it from before this machine first saw the repository: one
        that came from elsewhere may say anything about its past.
        """
        if self._held is None:
            self._held = {}
            if self._seen_since_us is not None:
                self._read_log(self._seen_since_us)
        return self._held.get(commit)

    def _read_log(self, newest_us: int) -> None:
        for operation in reversed([operation for _, operation in self._log.walk()]):
            newest_us = max(newest_us, operation.time_us)  # a clock that was put back makes nothing older
            view = operation.view
            self._take([*view.refs.values(), *([view.commit] if view.commit is not None else [])], newest_us)

    def _take(self, commits: list[CommitId], time_us: int) -> None:
        assert self._held is not None
        while commits:
            identifier = commits.pop()
            if identifier not in self._held and identifier in self._objects:  # gc may have removed it
                self._held[identifier] = time_us
                commits.extend(read_commit(self._objects, identifier).parents)
