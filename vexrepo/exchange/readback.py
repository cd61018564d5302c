"""Whether a store holds what was just written into it: its count, and some memories read back.

What was written is remembered in 24 bytes a memory.  Read back are those the store gives first, so that nothing is read
twice as a whole.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.base import Store

SAMPLE: Final = 256


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: the store's own count afterwards (None: it has none), and how many memories were read back."""

    count: int | None
    sample: int


class Written:
    """What is being written into a store, which was ``empty`` before, or else keeps what it had besides."""

    def __init__(self, store: Store, *, empty: bool) -> None:
        self._store = store
        self._empty = empty and not store.rewrites
        self._keys, self._ids, self._bodies = array("q"), array("q"), array("q")

    def note(self, record: Record) -> Record:
        """Remember a record on its way."""
        if self._empty:
            self._keys.append(hash(record.key))
            self._ids.append(hash(bytes(record.id)))
            self._bodies.append(hash(bytes(record.body)))
        return record

    def verify(self, written: int) -> Verified:
        """Compare the store with what was written.  Raises: StoreError (store-differs)."""
        store = self._store
        count = store.describe().count
        if count is not None and count < written:
            raise StoreError(
                f"{store.address} holds {count:,} memories after {written:,} were written: something else removes "
                "them, or the store lost them; run the command again",
                code="store-differs",
            )
        return Verified(count, self._read_back() if self._empty and written else 0)

    def _read_back(self) -> int:
        import numpy as np

        # What a store alters is vectors; whether those are as they should be only the saved ones could tell.
        alters = self._store.alters
        keys, marks = (np.frombuffer(each, np.int64) for each in (self._keys, self._bodies if alters else self._ids))
        order = np.argsort(keys, kind="stable")
        keys, marks = keys[order], marks[order]
        read = 0
        for batch in self._store.scan():
            for item in batch:
                key, mark = hash(item.record.key), hash(bytes(item.record.body if alters else item.record.id))
                at = int(np.searchsorted(keys, key))
                if at < len(keys) and keys[at] == key and marks[at] != mark:
                    raise StoreError(
                        f"{self._store.place(item.place)} is not what was written there: something else is writing to "
                        "the store, or it changes what it is given; compare both: vex diff SOURCE TARGET",
                        code="store-differs",
                    )
                read += 1
                if read >= SAMPLE:
                    return read
        return read
