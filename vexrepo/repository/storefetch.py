"""Fetching from a store, and pulling: what it holds now becomes a commit on the ref that tracks it, then is merged.

The commit follows the one the store was last seen at, so that a merge knows what the store changed.  A store that was
never seen begins a history of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vexrepo.hooks.event import Event
from vexrepo.objects.digest import CommitId
from vexrepo.remotes.intake import Tally
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import mergestate
from vexrepo.repository.checkout import check_unchanged
from vexrepo.repository.commit import Committed, Tracked, commit_store
from vexrepo.repository.core import Core
from vexrepo.repository.gating import iter_changes, tell
from vexrepo.repository.merging import MergeResult
from vexrepo.repository.pulling import merge_fetched
from vexrepo.repository.remotes import Kind
from vexrepo.repository.storerefs import HEAD, StoreRemote, last_seen
from vexrepo.storage.oplog import BRANCHES, View


@dataclass(frozen=True, slots=True)
class StoreFetched:
    """What a fetch from a store found.

    ``old`` is the commit it was last seen at, ``new`` the one that says what it holds now (None with a dry run that
    would make one); ``kind`` is "same" where it holds what it did, ``is_made`` whether a commit was made of it, or
    would be.  ``tally`` counts what it changed, ``records`` what it holds.
    """

    remote: StoreRemote
    old: CommitId | None
    new: CommitId | None
    kind: Kind
    is_made: bool
    tally: Tally
    records: int
    problems: list[tuple[str, str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class StorePulled:
    """What a pull from a store did; ``result`` is as a merge gives it."""

    fetched: StoreFetched
    name: str
    theirs: CommitId
    result: MergeResult


def fetch_store(
    repository: Core, remote: StoreRemote, *, skip_problems: bool = False, dry_run: bool = False
) -> StoreFetched:
    """Commit what a store holds to the ref that tracks it; branches stay as they are.

    Raises: StoreError, InvalidData, Refused (signature-…, check-veto, hook-…): then nothing was changed.
    StorageFailure, Locked.
    """
    view = repository.view()
    old = last_seen(repository, view, remote)
    if old is not None and view.refs.get(remote.ref) == old and _is_unchanged(repository, view, remote):
        records = repository.records_root(old)
        assert records is not None
        return StoreFetched(remote, old, old, "same", False, Tally(), records.count, [])
    alike = tuple(dict.fromkeys(each for each in _branches(view) if each != old and each in repository.objects))
    done = commit_store(
        repository,
        remote.address,
        f"What {remote.label} held",
        skip_problems=skip_problems,
        tracked=Tracked(remote.name, old, alike),
        dry_run=dry_run,
    )
    if done.id is not None:
        _tell(repository, remote, old, done)
    new = done.id or done.held
    kind: Kind = "new" if old is None else "same" if new == old else "forward"
    tally = Tally() if new == old and new is not None else done.tally
    count = done.snapshot.records.count
    return StoreFetched(remote, old, new, kind, done.held is None, tally, count, done.problems, done.note)


def pull_store(repository: Core, remote: StoreRemote, **options: Any) -> StorePulled:
    """Fetch, and merge what the store holds into the current branch; ``options`` are those of ``merging.merge``.

    Raises: as ``fetch_store`` and ``merge``.
    """
    mergestate.check_none(repository.folder)
    fetched = fetch_store(repository, remote)
    assert fetched.new is not None
    result = merge_fetched(repository, fetched.new, remote.name, **options)
    return StorePulled(fetched, remote.name, fetched.new, result)


def _branches(view: View) -> list[CommitId]:
    current = [view.commit] if view.commit is not None else []
    return current + [commit for name, commit in sorted(view.refs.items()) if name.startswith(BRANCHES)]


def _is_unchanged(repository: Core, view: View, remote: StoreRemote) -> bool:
    """Whether a store says itself that it is as it was last seen."""
    seen = view.stores.get(repository.store_name(remote.address), {})
    if seen.get("fingerprint") is None:
        return False
    with open_store(remote.address) as store:
        return check_unchanged(store, seen["fingerprint"])


def _tell(repository: Core, remote: StoreRemote, old: CommitId | None, done: Committed) -> None:
    """Tell the hooks of ``post-import`` of what was fetched."""
    before, after = repository.records_root(old), done.snapshot.records
    source = {"kind": remote.address.kind, "address": repository.store_name(remote.address)}
    target = {"kind": "branch", "name": f"{remote.name}/{HEAD}"}
    event = Event("post-import", source, target, None, after.count)
    tell(repository, event, lambda: iter_changes(repository.objects, before, after))
