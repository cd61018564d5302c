"""How far a store has drifted from what it was last seen to hold."""

from __future__ import annotations

from dataclasses import dataclass

from vexrepo.objects.digest import CommitId
from vexrepo.remotes.stores.base import Description
from vexrepo.repository.core import Core
from vexrepo.repository.difference import diff_edges_with_store, diff_with_store
from vexrepo.repository.storerefs import StoreRemote, last_seen


@dataclass(frozen=True, slots=True)
class Drift:
    """What a store changed since it was last seen, at ``seen``; of one that was never seen, only how much it holds.

    ``count`` is None where the store cannot tell without being read.
    """

    seen: CommitId | None
    learned: int = 0
    changed: int = 0
    forgotten: int = 0
    edges: int = 0
    count: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether the store holds what it was last seen to hold."""
        return self.seen is not None and not (self.learned or self.changed or self.forgotten or self.edges)


def drift_of(repository: Core, remote: StoreRemote, now: Description) -> Drift:
    """Compare a store with what it was last seen to hold; ``now`` is its description, and it is read if it must be.

    Raises: StoreError, InvalidData.
    """
    view = repository.view()
    seen = last_seen(repository, view, remote)
    if seen is None:
        return Drift(None, count=now.count)
    noted = view.stores.get(repository.store_name(remote.address), {})
    if noted.get("fingerprint") is not None and noted["fingerprint"] == now.fingerprint:
        return Drift(seen, count=now.count)
    counts = {"learned": 0, "changed": 0, "forgotten": 0}
    for change in diff_with_store(repository, seen, remote.address):
        counts[change.kind] += 1
    edges = len(diff_edges_with_store(repository, seen, remote.address))
    return Drift(seen, **counts, edges=edges, count=now.count)
