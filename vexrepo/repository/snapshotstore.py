"""A commit as a store to read from, for what moves memories between stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Self

from vexrepo.errors import InvalidData, StoreError
from vexrepo.history.walk import iter_leaves, iter_records, read_leaves
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Store, Written
from vexrepo.repository.core import Core


class SnapshotStore(Store):
    """What a commit holds of a store at ``address``: its memories, edges, and how that kind of store was set up."""

    kind: ClassVar[str] = "commit"
    holds_edges: ClassVar[bool] = True
    reads_snapshot: ClassVar[bool] = True
    writable: ClassVar[bool] = False
    is_forkable: ClassVar[bool] = False

    def __init__(self, repository: Core, commit: CommitId, address: Address) -> None:
        super().__init__(address)
        object.__setattr__(self, "kind", address.kind)  # so that a store of the same kind is set up alike
        snapshot = repository.snapshot_of(commit)
        assert snapshot is not None
        self.snapshot = snapshot
        self._objects = repository.objects

    @classmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        """Not opened by an address: a commit belongs to its repository."""
        raise StoreError(f"{address} is a commit; open its repository", code="store-unreadable")

    def describe(self) -> Description:
        """Return how many memories the commit holds, and how the store was set up."""
        return Description(self.snapshot.records.count, dict(self.snapshot.collections.get(self.kind) or {}))

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield the memories in key order."""
        place = 0
        for reader in read_leaves(self._objects, iter_leaves(self._objects, self.snapshot.records)):
            records = reader.records()
            yield [Sourced(record, place + number) for number, record in enumerate(records, 1)]
            place += len(records)

    def edges(self) -> Iterator[Record]:
        """Yield the commit's edges."""
        return iter_records(self._objects, self.snapshot.edges)

    def write(self, plan: Plan) -> Written:
        """A commit does not change."""
        raise StoreError("a commit can only be read", code="store-read-only")
