"""Points as they were read made into records with their places, whether they come at once or as bytes first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record, split_key
from vexrepo.remotes.stores.base import Raw, RawScan, Sourced
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.plain_points import PointReader
from vexrepo.remotes.stores.point_names import Names
from vexrepo.remotes.stores.points import BadPoint, Fields, Point, read_point

Report = Callable[[InvalidData], None] | None


class PointSource:
    """Makes records of points.  ``names``, where given, learns which native id each has; ``last`` is the last one's."""

    def __init__(
        self, can: Capabilities, fields: Fields, words: Callable[[int], str], names: Names | None = None
    ) -> None:
        self._can = can
        self._fields = fields
        self._words = words
        self._names = names
        self._reader = PointReader(fields)
        self.last = ""

    def records(self, batch: Sequence[Point | Record], places: Iterable[int], on_problem: Report) -> list[Sourced]:
        """Return the records of a batch, in order; a record stands for the point that it is, under its own id."""
        names = self._names
        if batch:
            self.last = _native(batch[-1])
        if names is None and {Record}.issuperset(map(type, batch)):
            return list(map(Sourced._make, zip(batch, places, strict=False)))
        found = []
        made = iter(self._reader.records([point for point in batch if not isinstance(point, Record)]))
        for point, place in zip(batch, places, strict=False):
            record = point if isinstance(point, Record) else next(made)
            try:
                if type(point) is BadPoint:
                    raise point.error
                record = record or read_point(point, self._can, self._fields)  # type: ignore[arg-type]
            except InvalidData as error:
                native = _native(point)
                told = InvalidData(f"{self._words(place)} (id {native!r:.80}): {error}", code=error.code)
                if on_problem is None:
                    raise told from None
                on_problem(told)
                if names is not None:
                    names.take(native)
                continue
            if names is not None:
                names.add(record.key, _native(point))
            found.append(Sourced(record, place))
        return found


def _native(point: Point | Record) -> str:
    return split_key(point.key)[1] if isinstance(point, Record) else point.id


class RawPoints(ABC):
    """The points of a store as bytes first: ``points`` makes those of some pieces of the batch that came last."""

    decided_by: Sequence[str]

    @abstractmethod
    def batches(self) -> Iterator[Sequence[bytes | memoryview]]:
        """Yield all points in batches, in any order, each once."""

    @abstractmethod
    def points(self, pieces: Sequence[bytes | memoryview]) -> Sequence[Point | Record]:
        """Return what some pieces are; a record stands for the point that it is, under its own id."""


class RawPointScan(RawScan):
    """Scans a store of points as bytes; places are counted from the one before the first."""

    def __init__(self, raws: RawPoints, source: PointSource, before: int) -> None:
        self.decided_by = raws.decided_by
        self._raws = raws
        self._source = source
        self._before = before

    def batches(self) -> Generator[Raw, None, None]:
        place = self._before + 1
        for pieces in self._raws.batches():
            yield Raw(range(place, place + len(pieces)), pieces, len(pieces))
            place += len(pieces)

    def records(self, raw: Raw, on_problem: Report = None) -> list[Sourced]:
        return self._source.records(self._raws.points(raw.pieces), raw.places, on_problem)
