"""Whether an index of Pinecone shows what was written, which it does a little later."""

from __future__ import annotations

from collections import deque

from vexrepo.remotes.stores.capabilities import Alteration
from vexrepo.remotes.stores.pinecone_pages import Pages
from vexrepo.remotes.stores.points import Point

_SAMPLES = 8  # batches of each kind, whose last record is looked for


class Samples:
    """What was written and removed last, of each batch one, by which it is told whether all can be seen."""

    def __init__(self) -> None:
        self._written: deque[Point] = deque(maxlen=_SAMPLES)
        self._removed: deque[str] = deque(maxlen=_SAMPLES)

    def __bool__(self) -> bool:
        return bool(self._written or self._removed)

    def clear(self) -> None:
        """Forget them, before something else is written."""
        self._written.clear()
        self._removed.clear()

    def note_written(self, point: Point) -> None:
        """Note a record that was written."""
        self._written.append(point)

    def note_removed(self, identifier: str) -> None:
        """Note the id of a record that was removed."""
        self._removed.append(identifier)

    def are_seen(self, pages: Pages, alters: Alteration) -> bool:
        """Whether those that were written are there as they were, but for what the store ``alters``; others are not."""
        for point in self._written:
            found = pages.fetch([point.id])
            if not found or not _is_same(point, found[0], alters) or not pages.lists(point.id):
                return False
        return not any(pages.lists(each) for each in self._removed)


def _is_same(written: Point, found: Point, alters: Alteration) -> bool:
    if found.payload.keys() != written.payload.keys():
        return False
    if any(found.payload[name] != value for name, value in written.payload.items()):
        return False
    pairs = zip(written.vectors, found.vectors, strict=False)
    return len(written.vectors) == len(found.vectors) and all(alters.is_same(*pair) for pair in pairs)
