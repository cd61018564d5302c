"""Bringing a store along with a branch that moved, beside what the store holds that no commit has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vexrepo.errors import StoreError, VexError
from vexrepo.history.diff import Change, diff_trees
from vexrepo.history.walk import RecordAt, iter_leaves, read_leaves
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import checkout as _checkout
from vexrepo.repository.checkout import CheckedOut, check_unchanged
from vexrepo.repository.core import Core
from vexrepo.repository.difference import diff_edges_with_store, diff_with_store
from vexrepo.repository.restoring import Keys
from vexrepo.repository.storerefs import with_seen
from vexrepo.storage.oplog import View

# What a store is refused for before anything is written into it.
_REFUSALS: Final = frozenset(
    (
        *("unsaved-changes", "store-model", "store-dims", "store-cannot-hold", "store-read-only"),
        *("check-veto", "hook-veto", "hook-timeout", "hook-not-runnable"),
    )
)


def bring(
    repository: Core, commit: CommitId, address: Address, *, head: str | None = None, dry_run: bool = False
) -> CheckedOut:
    """Write into a store what changed from the commit it was last seen at to another; the rest of it stays as it is.

    With ``head``, that is made the repository's head afterwards.

    A store that was never seen is taken to have begun empty; an empty one is filled.  Where the store holds exactly
    what it was last seen to hold, this is a checkout.

    Raises: StateError (unsaved-changes) before anything is written, where what is to be written was changed in the
    store, too, and no commit has that; StoreError, Locked.
    """
    name = repository.store_name(address)
    seen = repository.view().stores.get(name, {})
    base = CommitId.parse(seen["commit"]) if seen.get("commit") else None
    if base is not None and base not in repository.objects:  # a restored operation may name what gc has removed
        base = None
    if _is_plain(repository, base, address, seen.get("fingerprint")):
        return _checkout.checkout(repository, commit, address, head=head, dry_run=dry_run)
    old, new = repository.snapshot_of(base), repository.snapshot_of(commit)
    assert new is not None
    records = _changes(repository, old.records if old else None, new.records)
    edges = _changes(repository, old.edges if old else None, new.edges)
    done = _checkout.checkout(
        repository,
        commit,
        address,
        selection=Keys(keys=frozenset(change.key for change in records)),
        dry_run=dry_run,
        edge_changes=[(each.key, _record(each.old), _record(each.new)) for each in edges],
    )
    if not dry_run:
        with repository.lock():
            # Without the fingerprint, as the store does not hold exactly what the commit holds.
            before = repository.view()
            view = with_seen(repository, before, name, commit, None)
            if head is not None:
                view = view.with_new_head(head, commit)
            if view != before:
                repository.record(view, "checkout", f"changes up to {commit.short} to {name}")
    return done


def _is_plain(repository: Core, base: CommitId | None, address: Address, fingerprint: str | None) -> bool:
    """Whether a store is empty, or holds exactly what a commit holds."""
    try:
        with open_store(address) as store:
            if store.describe().count == 0 or (base is not None and check_unchanged(store, fingerprint)):
                return True
    except StoreError as error:
        if error.code != "store-missing":
            raise
        return True
    if next(diff_with_store(repository, base, address), None) is not None:
        return False
    return not diff_edges_with_store(repository, base, address)


def _changes(repository: Core, old: TreeRoot | None, new: TreeRoot) -> Iterator[Change]:
    if old is not None:
        return diff_trees(repository.objects, old, new)
    leaves = read_leaves(repository.objects, iter_leaves(repository.objects, new))
    return (Change(key, None, RecordAt(reader, row)) for reader in leaves for row, key in enumerate(reader.leaf.keys))


def _record(at: RecordAt | None) -> Record | None:
    return at.record if at else None


def bring_or_go_back(
    repository: Core, before: View, commit: CommitId, address: Address, *, head: str | None = None
) -> CheckedOut:
    """As ``bring``, of a commit that the branch was just moved to; where the store refuses it, the branch goes back.

    Without that, the store would seem to have forgotten what it never got.  ``before`` is what was before the move.  A
    store that fails in another way (it cannot be reached) may have been written in part: it is left behind, and known
    to be.

    Raises: as ``bring``; a refusal says that the branch is where it was.
    """
    try:
        return bring(repository, commit, address, head=head)
    except VexError as error:
        if error.code in _REFUSALS and _go_back(repository, before, commit):
            error.args = (f"{error}.  {before.branch or 'HEAD'} is where it was",)
        raise


def _go_back(repository: Core, before: View, commit: CommitId) -> bool:
    """Put the current branch back to where it was in an earlier view, if it is still at ``commit``."""
    with repository.lock():
        view = repository.view()
        if (view.head, view.commit) == (before.head, commit) and before.commit != commit:
            where = view.with_ref(view.head, before.commit) if view.branch is not None else view.with_head(before.head)
            repository.record(where, "undo", f"back from {commit.short}")
            return True
    return False
