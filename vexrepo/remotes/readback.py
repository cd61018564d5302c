"""Whether a store holds what was just written into it: its count, and some of what was written read back.

The memories that are looked at are chosen evenly from all that pass on their way into the store, so that the cost does
not grow with their number.  They are asked for by key where the store can be; else it is scanned as far as is cheap.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, key_name
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.capabilities import is_near

SAMPLE: Final = 256
SCANNED: Final = 20_000  # memories of a store that cannot be asked by key
_LONGEST: Final = 64 << 10  # bytes of a memory that is held to be compared; of a longer one its id is
WAITS_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0)  # between looks at a store that shows late what was written


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: the store's own count afterwards (None: it has none), and how many memories were read back.

    ``altered`` of those have other numbers in their vectors than they were given, as the store says it does; a last
    digit does not count.
    """

    count: int | None
    sample: int = 0
    altered: int = 0


class Written:
    """What is being written into a store: every memory is noted on its way, and a sample of them is remembered."""

    def __init__(self, store: Store, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store, self._sleep = store, sleep
        self._is_looked_at = not (store.rewrites or store.checks_itself)
        self._kept: list[tuple[int, bytes, bytes, Record | None]] = []  # a heap: what is on top goes first
        self._count = self._unseen = self._altered = 0

    def passing(self, records: Callable[[], Iterator[Record]]) -> Callable[[], Iterator[Record]]:
        """Return what gives the same records, each noted on its way."""
        return lambda: map(self.note, records())

    def note(self, record: Record) -> Record:
        """Remember a record on its way, if it is to be looked at."""
        self._count += 1
        if not self._is_looked_at:
            return record
        rank = hash(record.key)  # as good as drawn by lot, and the same for a record that passes twice
        if len(self._kept) < SAMPLE:
            heapq.heappush(self._kept, _held(rank, record))
        elif rank > self._kept[0][0]:
            heapq.heapreplace(self._kept, _held(rank, record))
        return record

    def verify(self, count: int | None = None, *, at_least: int = 0) -> Verified:
        """Compare the store with what was written: it holds ``count`` memories, or at least so many.

        Raises: StoreError (store-changed for another count, store-differs).
        """
        waits = iter(WAITS_S if self._store.shows_late else ())
        while True:
            found = self._store.describe().count
            if found is None and self._store.shows_late:
                return Verified(None)  # it says itself that it does not show all of it yet, and has been waited for
            trouble = self._wrong_count(found, count, at_least) or self._differs()
            if trouble is None:
                checked = self._count if self._store.checks_itself else len(self._kept) - self._unseen
                return Verified(found, checked, self._altered)
            wait_s = next(waits, None)
            if wait_s is None:
                raise trouble
            self._sleep(wait_s)

    def _wrong_count(self, found: int | None, count: int | None, at_least: int) -> StoreError | None:
        if found is None or (found >= at_least and count in (None, found)):
            return None
        if count is not None:
            return StoreError(
                f"{self._store.address} holds {found} records after the checkout, expected {count}; "
                "something else is writing to it: run the command again",
                code="store-changed",
            )
        return StoreError(
            f"{self._store.address} holds {found:,} memories after {at_least:,} were written: something else removes "
            "them, or the store lost them; run the command again",
            code="store-differs",
        )

    def _differs(self) -> StoreError | None:
        """Return what is wrong with the first memory of the sample that is not there as it was written."""
        self._unseen = self._altered = 0
        left = {key: (identifier, record) for _, key, identifier, record in self._kept}
        if not left:
            return None
        by_key = self._store.read_keys(sorted(left))
        if by_key is not None:
            for found in by_key:
                if (trouble := self._compare(found, left)) is not None:
                    return trouble
            return self._missing(left)
        scanned = 0
        for batch in self._store.scan(lambda error: None):
            for item in batch:
                if (trouble := self._compare(item.record, left)) is not None:
                    return trouble
            scanned += len(batch)
            if not left or scanned >= SCANNED:
                self._unseen = len(left)
                return None
        return self._missing(left)

    def _compare(self, found: Record, left: dict[bytes, tuple[bytes, Record | None]]) -> StoreError | None:
        """Take a memory that was found off the list.  What a store says it does to vectors does not count."""
        identifier, record = left.pop(found.key, (found.id, None))
        if found.id == identifier:
            return None
        wrong = "gives {} back otherwise than it was written"
        if record is None:  # too long to be held: of one that the store alters nothing more can be said
            return None if self._store.alters else self._trouble(found.key, wrong)
        settled = self._store.settle(record, found)
        if settled.id == identifier:
            is_altered = not (self._store.keeps_originals or all(map(is_near, record.vectors, found.vectors)))
            self._altered += is_altered
            return None
        return self._trouble(found.key, f"{wrong} (its {_differing(record, settled)})")

    def _missing(self, left: dict[bytes, tuple[bytes, Record | None]]) -> StoreError | None:
        for key in left:
            return self._trouble(key, "does not give back {}, which was just written there")
        return None

    def _trouble(self, key: bytes, what: str) -> StoreError:
        return StoreError(
            f"{self._store.address} {what.format(f'{key_name(key):.80}')}: something else is writing to it, or it "
            "changes what it is given.  Run the command again, which writes only what differs; if this memory stays "
            "so, `vex diff` of what was written with the store shows how",
            code="store-differs",
        )


def _held(rank: int, record: Record) -> tuple[int, bytes, bytes, Record | None]:
    size = len(record.body) + sum(len(item.row) for item in record.vectors)
    return rank, record.key, record.id, record if size <= _LONGEST else None


def _differing(written: Record, found: Record) -> str:
    """Return what of a memory is not as it was written: ``text, metadata``."""
    before, after = written.to_json(), found.to_json()
    names: Sequence[str] = sorted(
        name for name in before.keys() | after.keys() if before.get(name, ...) != after.get(name, ...)
    )
    return ", ".join(names)[:80] or "bytes"
