"""Rows of a Milvus collection that share a key.

A server of Milvus keeps a row of a key that it has already (``insert`` replaces nothing), counts it, and gives one of
the two whenever it is asked: which, nobody can tell.  So what is read is compared with what is counted, and only where
more is counted, such keys are looked for by halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from vexrepo.remotes.stores.milvus_rows import literal

Key = str | int
_MOST_ASKED: Final = 2_000  # of a read; a collection that was inserted twice would be asked about each of its rows


class Twins:
    """Finds the keys of several rows among pages that were read in the order of their keys.

    ``count`` and ``keys`` ask for the number of rows, and the keys in order, that an expression is true of.
    """

    def __init__(self, name: str, after: str, count: Callable[[str], int], keys: Callable[[str], list[Key]]) -> None:
        self._name = name
        self._after = after
        self._count = count
        self._keys = keys
        self._last: list[Key] = []  # of each page
        self._sizes: list[int] = []
        self._left = _MOST_ASKED
        self._has_found = False

    @property
    def has_more(self) -> bool:
        """Whether some were found, and then so many questions asked that the search was ended."""
        return self._has_found and self._left <= 0

    def saw(self, page: Sequence[Key]) -> None:
        """Take note of the keys of a page."""
        self._last.append(page[-1])
        self._sizes.append(len(page))

    def find(self) -> Iterator[Key]:
        """Yield the keys that several rows have now; memories that came meanwhile are none."""
        if self._has_more_than(sum(self._sizes), self._after):
            yield from self._in_pages(0, len(self._last), [0, *accumulate(self._sizes)])

    def _has_more_than(self, rows: int, of: str) -> bool:
        self._left -= 1
        return self._left > 0 and self._count(of) > rows

    def _in_pages(self, first: int, end: int, before: Sequence[int]) -> Iterator[Key]:
        if first == end:
            return
        begin = f"{self._name} > {literal(self._last[first - 1])}" if first else self._after
        within = " and ".join(filter(None, (begin, f"{self._name} <= {literal(self._last[end - 1])}")))
        if not self._has_more_than(before[end] - before[first], within):
            return
        if end - first == 1:
            yield from self._among(self._keys(within))
            return
        middle = (first + end) // 2
        yield from self._in_pages(first, middle, before)
        yield from self._in_pages(middle, end, before)

    def _among(self, keys: Sequence[Key]) -> Iterator[Key]:
        if not keys:
            return
        low, high = literal(keys[0]), literal(keys[-1])
        if not self._has_more_than(len(keys), f"{self._name} >= {low} and {self._name} <= {high}"):
            return
        if len(keys) == 1:
            self._has_found = True
            yield keys[0]
            return
        middle = len(keys) // 2
        yield from self._among(keys[:middle])
        yield from self._among(keys[middle:])
