"""Which native id each record of a store has.

Memory: 16 bytes a record, whatever their number; more only for those under an id that does not follow from their key.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from vexrepo.remotes.stores.capabilities import Capabilities, mapped_id, native_id, native_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FRESH: Final = 1 << 16  # hashes kept in a set before they join the sorted ones


class Hashes:
    """A set of values by 64 bits of their hashes: two different ones count as the same once in 10^19."""

    def __init__(self) -> None:
        self._added = array("q")
        self._sorted: NDArray[np.int64] | None = None
        self._fresh: set[int] = set()

    def add(self, value: bytes | str) -> None:
        """Add one of many values; asking after each would be slow."""
        self._added.append(hash(value))

    def note(self, value: bytes | str) -> None:
        """Add a value that may be asked for at once."""
        self._fresh.add(hash(value))
        if len(self._fresh) >= _FRESH:
            self._added.extend(self._fresh)
            self._fresh.clear()

    def note_all(self, values: Iterable[bytes | str]) -> None:
        """Add values that may be asked for at once."""
        self._fresh.update(map(hash, values))
        if len(self._fresh) >= _FRESH:
            self._added.extend(self._fresh)
            self._fresh.clear()

    def has_any(self, values: Iterable[bytes | str]) -> bool:
        """Whether one of many values is there."""
        if not (self._fresh or self._added) and self._sorted is None:
            return False
        import numpy as np

        wanted = list(map(hash, values))
        if not self._fresh.isdisjoint(wanted):
            return True
        self._sort()
        held = self._sorted
        if held is None or not len(held) or not wanted:
            return False
        hashes = np.array(wanted, np.int64)
        places = np.minimum(held.searchsorted(hashes), len(held) - 1)
        return bool((held[places] == hashes).any())

    def __contains__(self, value: bytes | str) -> bool:
        wanted = hash(value)
        if wanted in self._fresh:
            return True
        self._sort()
        if self._sorted is None:
            return False
        place = int(self._sorted.searchsorted(wanted))
        return place < len(self._sorted) and int(self._sorted[place]) == wanted

    def _sort(self) -> None:
        import numpy as np

        if self._added:
            added = np.sort(np.frombuffer(self._added, np.int64))
            held = self._sorted
            self._sorted = added if held is None else np.insert(held, np.searchsorted(held, added), added)
            self._added = array("q")


class Names:
    """The native ids of the records of a store.  Filled with what was read, then asked while it is written once."""

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

    def perhaps(self, key: bytes) -> tuple[str, str]:
        """Return the native ids that a record has, if it is there: the likely one, then the other."""
        return self._odd.get(key) or native_id(key, self._can), mapped_id(key, self._can)

    def leaving(self, keys: Iterable[bytes]) -> dict[str, bytes]:
        """Return the records to remove, by native id; those that are not there are left out."""
        return {native: key for key in keys if (native := self.of(key)) is not None}

    def give(self, key: bytes, leaving: dict[str, bytes]) -> tuple[str, bool]:
        """Return the native id of a record that is written, the one it has or a free one, and whether it is new there.

        ``leaving`` are records that will be removed, by native id; one whose id is taken over is taken out of it: the
        new record replaces it.
        """
        held = self.of(key)
        if held is not None:
            return held, False
        wanted = native_id(key, self._can)
        if wanted not in self._natives:
            self._natives.note(wanted)
            return wanted, True
        if leaving.pop(wanted, None) is not None:
            return wanted, False
        mapped, salted = mapped_id(key, self._can), key
        while mapped in self._natives:  # somebody gave that very id to another memory
            salted += b"\0"
            mapped = mapped_id(salted, self._can)
        if salted is not key:
            self._odd[key] = mapped
        self._natives.note(mapped)
        return mapped, True

    def give_all(self, keys: Sequence[bytes], leaving: dict[str, bytes]) -> list[tuple[str, bool]]:
        """As ``give`` for many records, one after the other."""
        if not self._keys.has_any(keys):
            wanted = native_ids(keys, self._can)
            if len(set(wanted)) == len(wanted) and not self._natives.has_any(wanted):
                self._natives.note_all(wanted)
                return [(native, True) for native in wanted]
        return [self.give(key, leaving) for key in keys]

    def take(self, native: str) -> None:
        """Note an id that no record may get: that of a point which cannot be read."""
        self._natives.add(native)
