"""Which keys a stream of any length had already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FRESH: Final = 1 << 16  # hashes kept in a set before they join the sorted array


class SeenKeys:
    """Which keys there were, in 8 bytes each: two different ones count as the same once in 10^19."""

    def __init__(self, kept_apart: int = _FRESH) -> None:
        self._kept_apart = kept_apart
        self._fresh: set[int] = set()
        self._sorted: NDArray[np.int64] | None = None

    def add(self, keys: list[bytes]) -> list[bool]:
        """Add keys and return for each whether it is new."""
        hashes = [hash(key) for key in keys]
        old = self._among_sorted(hashes)
        found = []
        for number, value in enumerate(hashes):
            is_new = value not in self._fresh and not (old is not None and old[number])
            self._fresh.add(value)
            found.append(is_new)
        if len(self._fresh) >= self._kept_apart:
            self._settle()
        return found

    def _among_sorted(self, hashes: list[int]) -> NDArray[np.bool_] | None:
        import numpy as np

        if self._sorted is None or not hashes:
            return None
        wanted = np.array(hashes, np.int64)
        places = np.searchsorted(self._sorted, wanted)
        found: NDArray[np.bool_] = self._sorted[np.minimum(places, len(self._sorted) - 1)] == wanted
        return found

    def _settle(self) -> None:
        import numpy as np

        fresh = np.sort(np.fromiter(self._fresh, np.int64, len(self._fresh)))
        if self._sorted is not None:
            fresh = np.insert(self._sorted, np.searchsorted(self._sorted, fresh), fresh)
        self._sorted = fresh
        self._fresh.clear()
