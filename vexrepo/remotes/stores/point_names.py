"""Which native id each record of a store has.

Memory: 16 bytes a record, whatever their number; more only for those under an id that does not follow from their key.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vexrepo.remotes.stores.capabilities import Capabilities, mapped_id, native_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Hashes:
    """A set of values by 64 bits of their hashes: two different ones count as the same once in 10^19."""

    def __init__(self) -> None:
        self._added = array("q")
        self._sorted: NDArray[np.int64] | None = None
        self._fresh: set[int] = set()
        self._gone: set[int] = set()

    def add(self, value: bytes | str) -> None:
        """Add a value while a store is read."""
        self._added.append(hash(value))

    def note(self, value: bytes | str) -> None:
        """Add a value that may be asked for at once."""
        self._fresh.add(hash(value))
        self._gone.discard(hash(value))

    def remove(self, value: bytes | str) -> None:
        """Remove a value."""
        self._fresh.discard(hash(value))
        self._gone.add(hash(value))

    def __contains__(self, value: bytes | str) -> bool:
        import numpy as np

        wanted = hash(value)
        if wanted in self._fresh:
            return True
        if wanted in self._gone:
            return False
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(self._added, np.int64)) if self._added else np.zeros(0, np.int64)
        place = int(np.searchsorted(self._sorted, wanted))
        return place < len(self._sorted) and int(self._sorted[place]) == wanted


class Names:
    """The native ids of the records of a store.  Filled with what was read, then asked."""

    def __init__(self, can: Capabilities) -> None:
        self._can = can
        self._keys = Hashes()
        self._natives = Hashes()
        self._mapped = Hashes()  # those under the id that is made of their key, though they could have had their own
        self._odd: dict[bytes, str] = {}

    def add(self, key: bytes, native: str) -> None:
        """Note a record that is there, and its native id."""
        self._keys.add(key)
        self._natives.add(native)
        if native != native_id(key, self._can):
            if native == mapped_id(key, self._can):
                self._mapped.add(key)
            else:
                self._odd[key] = native

    def of(self, key: bytes) -> str | None:
        """Return the native id of a record that is there, None if it is not."""
        if key not in self._keys:
            return None
        if key in self._mapped:
            return mapped_id(key, self._can)
        return self._odd.get(key) or native_id(key, self._can)

    def give(self, key: bytes, leaving: dict[str, bytes]) -> str:
        """Return the native id of a record that is written: the one it has, or a free one.

        ``leaving`` are records that will be removed, by native id; one whose id is taken over is taken out of it: the
        new record replaces it.
        """
        held = self.of(key)
        if held is not None:
            return held
        wanted = native_id(key, self._can)
        if wanted in self._natives and (wanted not in leaving or leaving[wanted] == key):
            wanted = mapped_id(key, self._can)
        former = leaving.pop(wanted, None)
        if former is not None:
            self.forget(former)
        self._keys.note(key)
        self._natives.note(wanted)
        if wanted != native_id(key, self._can):
            self._mapped.note(key)
        return wanted

    def forget(self, key: bytes) -> None:
        """Note that a record is gone."""
        native = self.of(key)
        if native is not None:
            self._keys.remove(key)
            self._natives.remove(native)
            self._mapped.remove(key)
            self._odd.pop(key, None)

    def leaving(self, keys: Iterable[bytes]) -> dict[str, bytes]:
        """Return the records to remove, by native id; those that are not there are left out."""
        return {native: key for key in keys if (native := self.of(key)) is not None}
