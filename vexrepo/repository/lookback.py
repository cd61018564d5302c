"""Whether a store holds what a checkout left there, memory by memory: others may have written at the same moment.

A store without transactions takes the writes of two programs mixed.  Its count and a sample of what was written do not
show that where others changed what this checkout left alone, so such a store is read as a whole again: always, where
that is asked for; else where it is soon read, or where that takes little beside what was written (docs/adr/0023).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.history.baseline import iter_record_ids
from vexrepo.history.walk import iter_records
from vexrepo.objects.record import key_name
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.remotes.intake import Intake, reconcile, take_in
from vexrepo.remotes.outflow import Outflow
from vexrepo.remotes.readback import WAITS_S
from vexrepo.remotes.stores.base import Store
from vexrepo.repository.surroundings import ReadBack
from vexrepo.storage.store import ObjectStore

MOST: Final = 20_000  # memories of a store that is always read as a whole again
SHARE: Final = 4  # so is a larger one of which at least one in so many was written


def can_be_mixed(store: Store) -> bool:
    """Whether others can write into a store while it is written."""
    return not (store.rewrites or store.holds_others_off)


def is_read_again(how: ReadBack, snapshot: Snapshot, outflow: Outflow) -> bool:
    """Whether a store that can be mixed is to be read as a whole again after a checkout."""
    count = snapshot.records.count
    if how == "auto":
        return count <= MOST or SHARE * (outflow.added + outflow.changed + outflow.removed) >= count
    return how == "all"


def check_held(
    objects: ObjectStore,
    store: Store,
    snapshot: Snapshot,
    others: Sequence[TreeRoot],
    scratch: Path,
    *,
    sleep: Callable[[float], None] = time.sleep,
    begin: Callable[[], Callable[[int], None]] = lambda: lambda amount: None,
) -> None:
    """Raise StoreError (store-changed) where a store does not hold exactly the memories, and edges, of a snapshot.

    ``others`` are where else its memories may have been saved, for stores that alter vectors.  ``begin`` gives, for
    each time it is read, what is told of the progress.  The store is not written to afterwards.
    """
    store.end_writing()
    waits = iter(WAITS_S if store.shows_late else ())
    for attempt in itertools.count():
        folder = scratch / f"again-{attempt}"
        folder.mkdir()
        intake = take_in(store, iter_record_ids(objects, snapshot.records), folder, advance=begin())
        reconcile(objects, (snapshot.records, *others), intake, folder)
        missing = int((~intake.seen).sum())
        edges = _other_edges(objects, store, snapshot)
        if not (intake.sorter.count or missing or edges):
            return
        wait_s = next(waits, None)
        if wait_s is None:
            raise _differs(store, snapshot, intake, missing, edges)
        sleep(wait_s)


def _other_edges(objects: ObjectStore, store: Store, snapshot: Snapshot) -> int:
    """Return how many edges of a snapshot a store does not have as they are, or has beside them."""
    if not store.holds_edges:
        return 0
    held = {edge.key: edge.id for edge in store.edges()}
    wanted = {edge.key: edge.id for edge in iter_records(objects, snapshot.edges)}
    return sum(1 for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))


def _differs(store: Store, snapshot: Snapshot, intake: Intake, missing: int, edges: int) -> StoreError:
    names = [key_name(row.record.key)[:80] for row in itertools.islice(intake.sorter.sorted(), 3)]
    count = max(missing, intake.sorter.count)
    which = f" (among others {', '.join(names)})" if names else ""
    parts = [f"{count:,} of {snapshot.records.count:,} memories"] if count else []
    parts += [f"{edges:,} of the edges"] if edges else []
    return StoreError(
        f"{store.address} does not hold what was written there: {' and '.join(parts)} are not there or are "
        f"otherwise{which}; something else wrote into it at the same time.  vex diff of the commit with the store "
        "shows what; run the command again once that has ended",
        code="store-changed",
    )
