"""How far a store has drifted from what it was last seen to hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vexrepo.objects.digest import CommitId
from vexrepo.remotes.stores.base import Description
from vexrepo.repository.core import Core
from vexrepo.repository.difference import diff_edges_with_store, diff_with_store
from vexrepo.repository.storerefs import StoreRemote, last_seen


@dataclass(frozen=True, slots=True)
class Drift:
    """What a store changed since it was last seen, at ``seen``; of one that was never seen, only how much it holds.

    ``count`` is how much it holds, None where it was not read and cannot tell without.
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

    @property
    def is_emptied(self) -> bool:
        """Whether the store lost all that it was last seen to hold, and got nothing in its place."""
        return bool(self.forgotten) and self.count == 0

    @property
    def is_loss(self) -> bool:
        """Whether the store lost more than half of what it was last seen to hold."""
        return self.count is not None and 2 * self.forgotten > self.count - self.learned + self.forgotten


def drift_of(
    repository: Core,
    remote: StoreRemote,
    now: Description,
    advance: Callable[[int], None] = lambda amount: None,
    most: int | None = None,
) -> Drift | None:
    """Compare a store with what it was last seen to hold; ``now`` is its description, and it is read if it must be.

    ``advance`` is told how much more was read.  None where it would have to be read, and says that it holds more than
    ``most``.  Raises: StoreError, InvalidData.
    """
    view = repository.view()
    seen = last_seen(repository, view, remote)
    if seen is None:
        return Drift(None, count=now.count)
    noted = view.stores.get(repository.store_name(remote.address), {})
    if noted.get("fingerprint") is not None and noted["fingerprint"] == now.fingerprint:
        return Drift(seen, count=now.count if now.count is not None else _count(repository, seen))
    if most is not None and now.count is not None and now.count > most:
        return None
    counts = {"learned": 0, "changed": 0, "forgotten": 0}
    for change in diff_with_store(repository, seen, remote.address, advance=advance):
        counts[change.kind] += 1
    edges = len(diff_edges_with_store(repository, seen, remote.address))
    held = _count(repository, seen) + counts["learned"] - counts["forgotten"]
    return Drift(seen, **counts, edges=edges, count=held)


def _count(repository: Core, commit: CommitId) -> int:
    root = repository.records_root(commit)
    assert root is not None
    return root.count
