"""Whether a store holds what a checkout left there, memory by memory: others may have written at the same moment.

A store without transactions takes the writes of two programs mixed.  Its count and a sample of what was written do not
show that where others changed what this checkout left alone, so a store that is soon read is read as a whole again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.history.baseline import iter_record_ids
from vexrepo.objects.record import key_name
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.remotes.intake import Intake, reconcile, take_in
from vexrepo.remotes.readback import WAITS_S, Verified
from vexrepo.remotes.stores.base import Store
from vexrepo.storage.store import ObjectStore

MOST: Final = 5_000  # memories of a store that is read as a whole again


def is_looked_at(store: Store, snapshot: Snapshot, verified: Verified) -> bool:
    """Whether a store is to be read again after a checkout: one that others can write into meanwhile, and small.

    One that gives no count does not show yet all that was written, as it says itself.
    """
    can_be_mixed = not (store.rewrites or store.holds_others_off)
    return can_be_mixed and verified.count is not None and snapshot.records.count <= MOST


def check_held(
    objects: ObjectStore,
    store: Store,
    snapshot: Snapshot,
    others: Sequence[TreeRoot],
    scratch: Path,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Raise StoreError (store-changed) where a store does not hold exactly the memories of a snapshot.

    ``others`` are where else its memories may have been saved, for stores that alter vectors.
    """
    waits = iter(WAITS_S if store.shows_late else ())
    for attempt in itertools.count():
        folder = scratch / f"again-{attempt}"
        folder.mkdir()
        intake = take_in(store, iter_record_ids(objects, snapshot.records), folder)
        reconcile(objects, (snapshot.records, *others), intake, folder)
        missing = int((~intake.seen).sum())
        if not (intake.sorter.count or missing):
            return
        wait_s = next(waits, None)
        if wait_s is None:
            raise _differs(store, snapshot, intake, missing)
        sleep(wait_s)


def _differs(store: Store, snapshot: Snapshot, intake: Intake, missing: int) -> StoreError:
    names = [key_name(row.record.key)[:80] for row in itertools.islice(intake.sorter.sorted(), 3)]
    count = max(missing, intake.sorter.count)
    which = f" (among others {', '.join(names)})" if names else ""
    return StoreError(
        f"{store.address} does not hold what was written there: {count:,} of {snapshot.records.count:,} memories are "
        f"not there or are otherwise{which}; something else wrote into it at the same time.  vex diff of the commit "
        "with the store shows what; run the command again once that has ended",
        code="store-changed",
    )
