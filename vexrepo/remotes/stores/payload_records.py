"""Payloads as records, a batch at a time, without the way through points: most are plain, and there are many.

What a plain payload says are columns (``record_columns``).  Every other one goes through ``points.read_point``; both
ways give the same record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.points import RESERVED, Fields
from vexrepo.remotes.stores.record_columns import ColumnReader, Columns

Source = TypeVar("Source")

_MEMBERS: Final = 5
_LEAST, _MOST = -(1 << 63), 1 << 64  # of an integer that the fast encoder prints


class Plain(NamedTuple):
    """A point that may be plain: ``row`` is its main vector, finite float32 numbers; it has no other. None: none."""

    id: str
    payload: Mapping[str, Any]
    row: bytes | None


class PayloadReader:
    """Makes records of points that are plain."""

    def __init__(self, fields: Fields) -> None:
        self._names = (RESERVED, *(name for _, name in fields.members))
        self._columns = ColumnReader(fields, None)

    def records(self, points: Sequence[Plain | None]) -> list[Record | None]:
        """Return the record of each point, None for those that are not plain, or not even may be."""
        places = [at for at, point in enumerate(points) if point is not None]
        made = self._records([point for point in points if point is not None]) if places else []
        if len(made) == len(points):
            return made
        found: list[Record | None] = [None] * len(points)
        for at, record in zip(places, made, strict=True):
            found[at] = record
        return found

    def records_of(
        self,
        sources: Sequence[Source],
        numbers: Sequence[list[Any] | None],
        plain: Callable[[Source, bytes | None], Plain | None],
        *,
        loses: bool,
    ) -> list[Record | None]:
        """Return the record of what each point is made of, None for those that are not plain.

        ``numbers``: of each main vector, see ``single_rows``; [] where there is none, None where it is not plain.
        ``plain`` makes the point, with the row of its numbers.
        """
        rows = iter(single_rows([each for each in numbers if each], loses=loses))
        points: list[Plain | None] = []
        for source, held in zip(sources, numbers, strict=True):
            row = next(rows) if held else None
            is_plain = held is not None and (row is not None or not held)
            points.append(plain(source, row) if is_plain else None)
        return self.records(points)

    def _records(self, points: Sequence[Plain]) -> list[Record | None]:
        carried, text, namespace, model, created = self._names
        members: list[tuple[Any, ...]] = []
        metadata: list[bytes | None] = []
        odd: set[int] = set()
        for at, (_, payload, _) in enumerate(points):
            rest = dict(payload)
            take = rest.pop
            found = (
                take(carried, None), take(text, None), take(namespace, None), take(model, None), take(created, None)
            )  # fmt: skip
            members.append(found)
            printed = canonical.encode_certain(rest, depth=1) if rest else b""
            metadata.append(printed)
            has_null = len(rest) + _MEMBERS - found.count(None) != len(payload)  # which is not nothing
            if printed is None or has_null or (type(found[4]) is int and not _LEAST <= found[4] < _MOST):
                odd.add(at)
        ids, _, rows = zip(*points, strict=True)
        said, texts, namespaces, models, times = zip(*members, strict=True)
        columns = Columns(ids, said, [None] * len(ids), texts, namespaces, models, times, rows)
        odd |= self._columns.odd(columns)
        try:
            return self._columns.filled(columns, metadata, odd)
        except (TypeError, UnicodeEncodeError):  # half a character somewhere
            return [None] * len(ids)


def are_finite(rows: Sequence[bytes]) -> list[bool]:
    """Return of each row of bytes whether it is little-endian float32 numbers, all of them finite."""
    import numpy as np

    if all(len(row) % 4 == 0 for row in rows) and np.isfinite(np.frombuffer(b"".join(rows), "<f4")).all():
        return [True] * len(rows)
    return [len(row) % 4 == 0 and bool(np.isfinite(np.frombuffer(row, "<f4")).all()) for row in rows]


def single_rows(vectors: Sequence[list[Any]], *, loses: bool) -> list[bytes | None]:
    """Return the float32 rows of vectors, each a list of floats, or of integers that doubles hold, too.

    None for one that is beyond their range or, unless it ``loses`` nothing that counts, of more precision.
    """
    import numpy as np

    if not vectors:
        return []
    if len({*map(len, vectors)}) > 1:
        return [row for each in vectors for row in single_rows([each], loses=loses)]
    try:
        values = np.array(vectors, "<f8")
    except OverflowError:  # an integer beyond all doubles
        return [None] * len(vectors)
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
    fits = np.isfinite(single)
    if not loses:
        fits &= single.astype("<f8").view("<u8") == values.view("<u8")
    raw, width = single.tobytes(), 4 * single.shape[1]
    rows = [raw[at : at + width] for at in range(0, len(raw), width)]
    return [row if is_right else None for row, is_right in zip(rows, fits.all(axis=1).tolist(), strict=True)]
