"""Committing some of what a store holds: it is added to what the branch holds, and nothing is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository.commit import Committed, commit_store
from vexrepo.repository.core import Core
from vexrepo.repository.restoring import Keys


@dataclass(frozen=True, slots=True)
class Newest(Keys):
    """Of what is selected the newest memories, by key."""

    def describe(self) -> dict[str, Any]:
        """Return the JSON form, for a commit's source."""
        return {**Selection.describe(self), "newest": len(self.keys)}


def commit_some(
    repository: Core,
    address: Address,
    message: str,
    selection: Selection,
    *,
    limit: int | None = None,
    dry_run: bool = False,
) -> Committed:
    """Commit the memories of a store that are selected, the newest ``limit`` of them where the store can tell.

    What the branch holds otherwise stays as it is there, whether the store still holds it or not, and so do edges.
    Raises: as ``commit_store``.
    """
    chosen = selection if limit is None else newest(address, selection, limit)
    return commit_store(repository, address, message, selection=chosen, forget=False, dry_run=dry_run)


def newest(address: Address, selection: Selection, limit: int) -> Newest:
    """Return the newest ``limit`` of the selected memories of a store.  Memory: their keys."""
    keys: set[bytes] = set()
    with open_store(address) as store:
        for batch in store.scan_newest():
            for item in batch:
                record = item.record
                if len(keys) < limit and (not selection or selection.accepts(record.key, lambda: record.body)):  # noqa: B023
                    keys.add(record.key)
            if len(keys) >= limit:
                break
    return Newest(
        selection.namespaces, selection.components, selection.min_importance, selection.since_us, frozenset(keys)
    )
