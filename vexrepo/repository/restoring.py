"""Bringing single memories back into a store, and moving a branch to another commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vexrepo.errors import UsageError
from vexrepo.history.walk import iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Plan
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import checkout as _checkout
from vexrepo.repository import mergestate
from vexrepo.repository.checkout import CheckedOut
from vexrepo.repository.core import Core
from vexrepo.storage.oplog import View


@dataclass(frozen=True, slots=True)
class Keys(Selection):
    """Single memories, by key."""

    keys: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return True

    def accepts(self, key: bytes, body: Callable[[], bytes]) -> bool:
        """Whether a memory is one of them."""
        return key in self.keys


def restore(
    repository: Core,
    commit: CommitId,
    keys: Sequence[bytes],
    store: Address,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> CheckedOut:
    """Make some memories in a store as they were at a commit; all others stay as they are.

    Raises: UsageError (unknown-record) for no keys, StateError (unsaved-changes) where one of them was changed since.
    """
    if not keys:
        raise UsageError("no memory to restore", code="unknown-record")
    return _checkout.checkout(
        repository, commit, store, selection=Keys(keys=frozenset(keys)), force=force, dry_run=dry_run
    )


def reset(repository: Core, commit: CommitId) -> View:
    """Move the current branch (or a detached HEAD) to a commit; return where it was.  Stores are not touched."""
    with repository.lock():
        mergestate.check_none(repository.folder)
        before = repository.view()
        repository.record(before.with_commit(commit), "reset", f"to {commit.short}")
        return before


def write_out(repository: Core, commit: CommitId, address: Address) -> None:
    """Write what a commit holds into a store that is no business of the repository's (nothing is remembered)."""
    snapshot = repository.snapshot_of(commit)
    assert snapshot is not None
    objects = repository.objects
    with open_store(address, create=True) as store:
        store.write(
            Plan(
                upserts=lambda: iter_records(objects, snapshot.records),
                deletes=(),
                records=lambda: iter_records(objects, snapshot.records),
                edges=lambda: iter_records(objects, snapshot.edges),
                config=snapshot.collections.get(store.kind, {}),
            )
        )
