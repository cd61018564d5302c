"""Whether a checkout would bring embeddings of another model among those that a store holds: it is refused then.

The store was taken in as a whole, so all that it holds counts: what it has as the commit does, what differs, and, where
only a part is brought, what it was last seen to hold besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects import tree
from vexrepo.objects.record import split_key
from vexrepo.objects.snapshot import Snapshot
from vexrepo.objects.vector import Space
from vexrepo.remotes.intake import Accepts, Intake
from vexrepo.remotes.models import Models, may_differ, other_model, space_of
from vexrepo.remotes.outflow import Outflow
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WAYS_OUT: Final = (
    "Bring them to a store of their own; turn them into the other model's first (vex migrate --adapter, see vex "
    "adapters); or leave them out (--namespace, --components).  If both names are of one model, or whoever searches "
    "there uses this one from now on: --mix-models (vex checkout, switch, push, pull, merge, restore)"
)


class ModelCheck:
    """Looks at what is compared on the way, and then at what would be written.

    ``before`` is what the store was last seen to hold, where only what ``accepts`` says is brought.
    """

    def __init__(
        self, objects: ObjectStore, target: Snapshot, intake: Intake, before: Snapshot | None, accepts: Accepts | None
    ) -> None:
        self._objects, self._target, self._intake, self._accepts = objects, target, intake, accepts
        self._before = before if accepts is not None else None
        self._held = Models()
        told = [space_of(each) for found in (target, self._before) if found is not None for each in found.spaces]
        # Most memories are of one model, and then no leaf is looked at.
        self._is_needed = may_differ(told, *(run.spaces for run in intake.sorter.runs))
        self.note = self._held.note  # is given the records of the store that differ from the target's

    def check(self, outflow: Outflow) -> None:
        """Raise StoreError (store-model) where what is to be written is of other models than what it comes among."""
        if not self._is_needed or not (outflow.added or outflow.changed):
            return
        wanted: dict[tuple[str, Space], bytes] = {}
        for key, namespace, space, is_there in self._rows(self._target, self._intake.seen):
            if is_there:
                self._held.hold(namespace, space)
            else:
                wanted.setdefault((namespace, space), key)
        for record in outflow.moved:
            for item in record.vectors:
                wanted.setdefault((split_key(record.key)[0], item.space), record.key)
        if self._before is not None:
            for _, namespace, space, _ in self._rows(self._before, None):
                self._held.hold(namespace, space)
        for (namespace, space), key in wanted.items():
            if others := self._held.others(namespace, space):
                raise other_model(self._intake.store, key, space.model, others, _WAYS_OUT)

    def _rows(self, snapshot: Snapshot, seen: NDArray[np.bool_] | None) -> Iterator[tuple[bytes, str, Space, bool]]:
        """Yield (key, namespace, space, whether the store has it) of each vector of a snapshot.

        With ``seen``, what the store has and what it is to get; without, what is outside the part that is brought.
        """
        at = 0
        for child in iter_leaves(self._objects, snapshot.records) if snapshot.records.count else ():
            reader = LeafReader(self._objects, child.id)
            for row, key in enumerate(reader.leaf.keys):
                is_there = seen is not None and bool(seen[at + row])
                if not is_there and self._accepts is not None:
                    is_in = self._accepts(key, lambda reader=reader, row=row: reader.bodies[row])  # type: ignore[misc]
                    if is_in == (seen is None):
                        continue
                for column in reader.leaf.columns:
                    if tree.is_member(column.members, row):
                        yield key, split_key(key)[0], column.space, is_there
            at += child.count
