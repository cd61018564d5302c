"""The records whose vectors point most nearly where a query's does."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, with_body
from vexrepo.objects.vector import MAIN, floats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SLACK: Final = 1e-4  # what float32 makes of a cosine similarity


class Nearest:
    """Keeps the ``limit`` best of the records offered; records without a vector are passed over."""

    def __init__(self, query: Sequence[float], limit: int) -> None:
        import numpy as np

        self._query: NDArray[np.float64] = np.asarray(query, np.float64)
        length = float(np.sqrt(self._query @ self._query))
        if not math.isfinite(length) or not length:
            raise InvalidData("the query vector must have finite numbers that are not all 0", code="vector-type")
        self._query = self._query / length
        self._limit = limit
        self._held: list[tuple[float, int, Record]] = []
        self._count = 0

    def offer(self, record: Record) -> bool:
        """Consider a record, and return whether a record less near, by float32's precision, might still be kept.

        Raises: InvalidData (dims-mismatch) for a vector of another length than the query's.
        """
        import numpy as np

        main = next((item for item in record.vectors if item.space.name == MAIN), None)
        if main is None or main.space.kind != "dense":
            return True
        if main.space.dims != len(self._query):
            raise InvalidData(
                f"the query vector has {len(self._query)} numbers, the memories' have {main.space.dims}; embed it with "
                f"the same model{f' ({main.space.model})' if main.space.model else ''}",
                code="dims-mismatch",
            )
        row = floats(main.space, main.row).astype(np.float64)
        length = float(np.sqrt(row @ row))
        score = float(row @ self._query) / length if length else 0.0
        self._count += 1
        entry = (score, -self._count, record)
        if len(self._held) < self._limit:
            heapq.heappush(self._held, entry)
        elif entry[:2] > self._held[0][:2]:
            heapq.heapreplace(self._held, entry)
        return len(self._held) < self._limit or score >= self._held[0][0] - SLACK

    def best(self) -> Iterator[Record]:
        """Yield what was kept, the nearest first, each with its cosine similarity as ``score``."""
        for score, _, record in sorted(self._held, key=lambda entry: entry[:2], reverse=True):
            value = {**body_value(record.body), "score": round(score, 6)}
            yield with_body(record.key, canonical.encode(value), record.vectors)
