"""The public Python API: ``Repository`` and the values it takes and gives.

    from vexrepo.repository import Repository, Surroundings

Everything the command line does goes through here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vexrepo.errors import StateError, UsageError
from vexrepo.history.ancestry import ahead_behind
from vexrepo.history.revision import check_ref_name, split_range
from vexrepo.history.walk import RecordAt, find_record
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import make_key, split_key
from vexrepo.objects.selection import Selection
from vexrepo.objects.trust import SignedBy, Trust
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import difference as _difference
from vexrepo.repository.core import Core
from vexrepo.repository.difference import Difference, EdgeDifference, Shown
from vexrepo.repository.refs import Refs
from vexrepo.repository.surroundings import Surroundings
from vexrepo.storage.oplog import BRANCHES

if TYPE_CHECKING:  # what a command does not use it does not import
    from pathlib import Path

    from vexrepo.history.check import Report
    from vexrepo.history.matrix import VectorMatrix
    from vexrepo.repository.checkout import CheckedOut
    from vexrepo.repository.cloning import Cloned
    from vexrepo.repository.commit import Committed
    from vexrepo.repository.fetching import Fetched
    from vexrepo.repository.pushing import Pushed
    from vexrepo.repository.refspec import RefUpdate
    from vexrepo.repository.remotes import Reach, Remote
    from vexrepo.repository.verifying import CommitVerdict, StoreVerdict
    from vexrepo.storage.keys import Identity

__all__ = [
    "CheckedOut",
    "Committed",
    "Difference",
    "EdgeDifference",
    "Repository",
    "Selection",
    "Shown",
    "SignedBy",
    "Status",
    "Surroundings",
    "Trust",
]


def __getattr__(name: str) -> type:
    """Return a value's type that is imported when it is first asked for."""
    if name == "CheckedOut":
        from vexrepo.repository.checkout import CheckedOut

        return CheckedOut
    if name == "Committed":
        from vexrepo.repository.commit import Committed

        return Committed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class Status:
    """How a store differs from the current commit: memories by kind of change, and graph edges."""

    learned: int
    changed: int
    forgotten: int
    edges: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether there is no difference."""
        return not (self.learned or self.changed or self.forgotten or self.edges)


class Repository(Refs):
    """A repository of agent memory.  See ``Core`` for opening it, ``Refs`` for branches, tags and undo."""

    def commit(
        self,
        message: str,
        *,
        store: Address | None = None,
        selection: Selection | None = None,
        skip_problems: bool = False,
        allow_empty: bool = False,
        not_behind: bool = False,
        dry_run: bool = False,
    ) -> Committed:
        """Commit what a store (default: the workspace) holds.  See ``commit.commit_store``."""
        from vexrepo.repository.commit import commit_store

        done = commit_store(
            self,
            store or self.workspace(),
            message,
            selection=selection,
            skip_problems=skip_problems,
            allow_empty=allow_empty,
            not_behind=not_behind,
            dry_run=dry_run,
        )
        if done.id is not None:
            from vexrepo.repository.gating import tell_of_commit

            tell_of_commit(self, done.id)
        return done

    def status(self, store: Address | None = None) -> Status:
        """Return how a store (default: the workspace) differs from the current commit.

        A store that is as it was at the last commit or checkout is not read.
        """
        from vexrepo.remotes.stores.registry import open_store
        from vexrepo.repository.checkout import check_unchanged

        address = store or self.workspace()
        view = self.view()
        seen = view.stores.get(self.store_name(address), {})
        if view.commit is not None and seen.get("commit") == view.commit.hex():
            with open_store(address) as opened:
                if check_unchanged(opened, seen.get("fingerprint")):
                    return Status(0, 0, 0)
        counts = {"learned": 0, "changed": 0, "forgotten": 0}
        for change in self.diff_with_store(view.commit, address):
            counts[change.kind] += 1
        return Status(**counts, edges=len(self.diff_edges_with_store(view.commit, address)))

    def diff(self, old: CommitId, new: CommitId, selection: Selection | None = None) -> Iterator[Difference]:
        """Yield what changed from one commit to another, in key order."""
        return _difference.diff_commits(self, old, new, selection)

    def show_diff(
        self,
        old: CommitId,
        new: CommitId,
        show: Callable[[Difference], str | None],
        selection: Selection | None = None,
    ) -> Generator[Shown, None, None]:
        """Yield what changed as ``show`` says it.  See ``difference.show_commits``."""
        return _difference.show_commits(self, old, new, show, selection)

    def diff_with_store(
        self, commit: CommitId | None, store: Address, selection: Selection | None = None, *, reverse: bool = False
    ) -> Iterator[Difference]:
        """Yield what changed from a commit (None: nothing) to a store as it is now."""
        return _difference.diff_with_store(self, commit, store, selection, reverse=reverse)

    def diff_edges(self, old: CommitId, new: CommitId) -> list[EdgeDifference]:
        """Return the graph edges that differ between two commits."""
        return _difference.diff_edges(self, old, new)

    def diff_edges_with_store(self, commit: CommitId | None, store: Address) -> list[EdgeDifference]:
        """Return the graph edges that differ between a commit (None: nothing) and a store as it is now."""
        return _difference.diff_edges_with_store(self, commit, store)

    def checkout(
        self,
        commit: CommitId,
        store: Address,
        *,
        selection: Selection | None = None,
        force: bool = False,
        dry_run: bool = False,
        head: str | None = None,
    ) -> CheckedOut:
        """Bring a store to a commit, writing only the difference.  See ``checkout.checkout``."""
        from vexrepo.repository.checkout import checkout, checkout_event
        from vexrepo.repository.gating import tell

        done = checkout(self, commit, store, selection=selection, force=force, dry_run=dry_run, head=head)
        if not dry_run:
            total = done.snapshot.records.count
            tell(self, checkout_event(self, "post-checkout", commit, store, total), lambda: ())
        return done

    def check_new_branch(self, name: str, start: str) -> CommitId | None:
        """Return the commit a branch to be made would begin at, None on a branch without commits.

        Raises: UsageError (ref-name, unknown-revision), StateError (ref-exists).
        """
        check_ref_name(name)
        view = self.view()
        if BRANCHES + name in view.refs:
            raise StateError(
                f"a branch named {name!r} exists, at {view.refs[BRANCHES + name].short}; go there with "
                f"`vex switch {name}`, or choose another name",
                code="ref-exists",
            )
        if view.commit is None and start in ("HEAD", "@"):
            return None
        return self.resolve(start, view)

    def move_head(self, head: str, commit: CommitId) -> None:
        """Make ``head`` the head without touching a store: ``heads/NAME`` (made at ``commit`` if new) or an id."""
        with self.lock():
            view = self.view().with_new_head(head, commit)
            self.record(view, "switch", head.removeprefix(BRANCHES))

    def merge_under_way(self) -> dict[str, str] | None:
        """Return the ``action`` and ``name`` of a merge that waits for its conflicts to be settled, None if none does.

        Raises: InvalidData (merge-state).
        """
        from vexrepo.repository.mergestate import read_state

        state = read_state(self.folder)
        return {"action": state.action, "name": state.name} if state else None

    def find(self, commit: CommitId, identifier: str) -> list[RecordAt]:
        """Return the records with an id at a commit: ``ID``, or ``NAMESPACE/ID``.

        Searches the namespaces one by one; an id may be in several.
        """
        root = self.records_root(commit)
        assert root is not None
        found = []
        for namespace in self.namespaces(commit):
            record = find_record(self.objects, root, make_key(namespace, identifier))
            if record is not None:
                found.append(record)
        for at in [place for place, mark in enumerate(identifier) if mark == "/"]:
            record = find_record(self.objects, root, make_key(identifier[:at], identifier[at + 1 :]))
            if record is not None:
                found.append(record)
        return found

    def vectors(self, commit: CommitId, space: Space | None = None) -> VectorMatrix:
        """Return all vectors of a dense embedding space (default: the most used one) at a commit, as one array.

        Raises: UsageError (unknown-record) if there is no such vector.
        """
        from vexrepo.history.matrix import read_matrix

        snapshot = self.snapshot_of(commit)
        assert snapshot is not None
        if space is None:  # a snapshot lists its spaces, the most used first
            dense = [found for found in snapshot.spaces if found["kind"] == "dense"]
            if not dense:
                raise UsageError(f"commit {commit.short} holds no dense vectors", code="unknown-record")
            space = Space(**{name: value for name, value in dense[0].items() if name != "count"})
        return read_matrix(self.objects, snapshot.records, space, threads=os.cpu_count() or 1)

    def namespaces(self, commit: CommitId) -> list[str]:
        """Return the namespaces in use at a commit, sorted."""
        from vexrepo.history.census import Census

        root = self.records_root(commit)
        assert root is not None
        census = Census(self.objects)
        census.count(root)
        return sorted(census.namespaces)

    def history_of(self, start: CommitId, identifier: str) -> Iterator[tuple[CommitId, Difference]]:
        """Yield the commits that learned, changed or forgot a record with this id, newest first.

        A merge counts where its record is none of its parents'.  A record that came from another namespace is followed
        there.
        """
        names = {identifier}
        for commit_id, commit in self.history(start):
            here = self._by_key(commit_id, names)
            parents = [self._by_key(parent, names) for parent in commit.parents] or [{}]
            for key in sorted({*here, *(key for each in parents for key in each)}):
                new, olds = here.get(key), [each.get(key) for each in parents]
                if any((old.id if old else None) == (new.id if new else None) for old in olds):
                    continue
                yield commit_id, Difference(key, olds[0], new)
                if not any(olds):
                    names |= self._left_behind(commit_id, commit.parents, key)

    def _by_key(self, commit: CommitId, names: set[str]) -> dict[bytes, RecordAt]:
        found = [item for name in sorted(names) for item in self.find(commit, name)]
        return {item.reader.leaf.keys[item.row]: item for item in found}

    def _left_behind(self, commit: CommitId, parents: tuple[CommitId, ...], key: bytes) -> set[str]:
        """Return ``NAMESPACE/ID`` of records with the id of ``key`` that a parent has and a commit has no more."""
        identifier = split_key(key)[1]
        here = self._by_key(commit, {identifier})
        before = {old for parent in parents for old in self._by_key(parent, {identifier})}
        return {"/".join(split_key(old)) for old in before - set(here) if split_key(old)[0]}

    def check(self, advance: Callable[[int], None] = lambda amount: None) -> Report:
        """Read everything and report what is wrong (``vex fsck``)."""
        from vexrepo.history.check import Checker

        self.objects.refresh()
        return Checker(self.objects, advance).run(self.log)

    def ahead_behind(self, ours: CommitId, theirs: CommitId) -> tuple[int, int]:
        """Return how many commits only ``ours`` has, and how many only ``theirs`` has."""
        return ahead_behind(self.commit_at, ours, theirs)

    def commits_in(self, text: str) -> list[CommitId]:
        """Return the commits that a revision or range names, parents first; ``A..B``: those of B that A has not.

        Raises: UsageError (unknown-revision, ambiguous-revision, unborn-branch).
        """
        found = split_range(text)
        if found is None:
            return [self.resolve(text)]
        from vexrepo.history.lacking import commits_between

        view = self.view()
        old, new = (self.resolve(side or "HEAD", view) for side in found)
        return commits_between(self.commit_at, [old], [new])

    def verify(self, commits: Iterable[CommitId]) -> Iterator[CommitVerdict]:
        """Yield what commits are worth: each one's signatures, and its whole content against its id."""
        from vexrepo.repository.verifying import verify_commits

        return verify_commits(self, commits)

    def verify_store(
        self, store: Address, commit: CommitId | None = None, selection: Selection | None = None
    ) -> StoreVerdict:
        """Compare a store with the commit it was last seen at, or another, and judge that commit's signatures."""
        from vexrepo.repository.verifying import verify_store

        return verify_store(self, store, commit, selection)

    def sign(self, commits: Iterable[CommitId], identity: Identity) -> list[CommitId]:
        """Add a signature beside commits; return those that had none by that identity."""
        from vexrepo.repository.verifying import sign_commits

        return sign_commits(self, commits, identity)

    # -- remotes -----------------------------------------------------------------------------------------------

    @classmethod
    def clone(
        cls,
        remote: Remote,
        folder: Path,
        around: Surroundings,
        reach: Reach,
        *,
        branch: str | None = None,
        configure: Callable[[Core], None] = lambda made: None,
    ) -> tuple[Repository, Cloned]:
        """Make a repository of what a host holds.  See ``cloning.clone``."""
        from vexrepo.repository import cloning

        return cloning.clone(cls, remote, folder, around, reach, branch=branch, configure=configure)

    def push(
        self,
        remote: Remote,
        reach: Reach,
        updates: Sequence[RefUpdate],
        *,
        expect: Mapping[str, CommitId | None] | None = None,
        dry_run: bool = False,
    ) -> Pushed:
        """Bring refs of a remote to commits of this repository.  See ``pushing.push``."""
        from vexrepo.repository import pushing

        return pushing.push(self, remote, reach, updates, expect=expect, dry_run=dry_run)

    def fetch(self, remote: Remote, reach: Reach, *, dry_run: bool = False) -> Fetched:
        """Receive what a remote has.  See ``fetching.fetch``."""
        from vexrepo.repository import fetching

        return fetching.fetch(self, remote, reach, dry_run=dry_run)

    def payload(self, identifier: bytes) -> tuple[ObjectType, bytes]:
        """Return an object's type and payload (``vex cat-object``)."""
        kind = self.objects.kind(identifier)
        return kind, self.objects.get(identifier, kind)
