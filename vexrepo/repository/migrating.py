"""Migrating by way of a commit: what a store holds is fetched, and what was fetched is written into another."""

from __future__ import annotations

from dataclasses import dataclass

from vexrepo.exchange.request import Advance, Request, Transferred
from vexrepo.exchange.transfer import transfer_from
from vexrepo.objects.digest import CommitId
from vexrepo.remotes.stores.address import Address
from vexrepo.repository.core import Core
from vexrepo.repository.snapshotstore import SnapshotStore
from vexrepo.repository.storefetch import StoreFetched, fetch_store
from vexrepo.repository.storerefs import StoreRemote, with_seen


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did.  ``seen`` says that the target holds exactly the commit, and is known to."""

    fetched: StoreFetched
    commit: CommitId
    moved: Transferred
    seen: bool


def migrate(repository: Core, source: StoreRemote, target: Address, request: Request, *, advance: Advance) -> Migrated:
    """Fetch what a store holds, gate included, and write what that commit has into another store.

    The source is read once, and an interrupted read goes on as a fetch does.  A target that was empty is known to hold
    the commit afterwards, if all of it was moved.
    Raises: as ``fetch_store`` and ``transfer``.
    """
    fetched = fetch_store(repository, source, skip_problems=request.skip_problems)
    commit = fetched.new
    assert commit is not None
    origin = SnapshotStore(repository, commit, source.address)
    moved = transfer_from(origin, target, request, now_us=repository.around.now_us(), advance=advance)
    is_changed = request.namespace is not None or request.adapter is not None
    is_whole = moved.was_empty and moved.written == origin.snapshot.records.count and not is_changed
    if is_whole and moved.edges == origin.snapshot.edges.count:
        with repository.lock():
            view = repository.view()
            name = repository.store_name(target)
            repository.record(
                with_seen(repository, view, name, commit, moved.fingerprint), "migrate", f"{commit.short} to {name}"
            )
    else:
        is_whole = False
    return Migrated(fetched, commit, moved, is_whole)
