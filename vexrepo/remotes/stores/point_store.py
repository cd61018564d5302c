"""What connectors of vector stores share: points read as records, records written as points in bounded batches.

A connector of such a store is one class below ``PointStore``, in one file.  It says

- ``kind`` and ``can``: what the store is called and what it can hold (``capabilities.Capabilities``; the class's is
  shown to people, an instance may set its own once it has looked at the collection, e.g. whether it scales vectors);
- ``exists()``, ``describe()``: whether the collection is there; its count, and its configuration as JSON, complete
  enough that ``prepare`` makes the same collection elsewhere;
- ``held_spaces()``: which vectors it is set up for, by name, with their dims; None if it takes any;
- ``read_points()``: all points in batches, each once, in any order, in bounded memory; where that order never changes,
  ``resumes``, and ``read_points_after(last)``, so that an interrupted read goes on;
- ``prepare(wanted)``: makes the collection where it is missing; ``upsert(points)`` replaces whole points by id, and can
  be done twice; ``delete(ids)``; ``finish()`` when all is written.

Everything between is here: which id a record gets, what is carried in the member ``_vex`` of a payload, what the
text's member is called, batches, halving a batch that the store finds too large (StoreError of code ``store-limit``),
progress (``point_writing``).  Nothing is written before every record is known to fit.  Most such stores have no
transactions: upserts go before deletes, and a write that was interrupted goes on where it stopped, since only what
differs is written.  One that has them overrides ``writing`` and says ``writes_whole``: then records are looked at while
they are written, and ``widen`` makes room for vectors that were not known of when a collection was made.

A connector is tested by ``vexrepo.testing.stores.StoreContract``; the guide is
docs/guides/write-a-connector.md, the format remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any, ClassVar, Final, Self

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import Record, with_body
from vexrepo.objects.vector import Space, Vector
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Cursor, Plan, RawScan, Sourced, Store, Written
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.point_mapping import told_mapping
from vexrepo.remotes.stores.point_names import Names
from vexrepo.remotes.stores.point_reading import PointSource, RawPoints, RawPointScan
from vexrepo.remotes.stores.point_writing import TEXT_FIELD, PlanWriter, Wanted
from vexrepo.remotes.stores.points import (
    BadPoint,
    Fields,
    Point,
    native_vectors,
    read_point,
    told_text_name,
)
from vexrepo.remotes.stores.profiles import profile_fields
from vexrepo.storage.ahead import Readings

BATCH_POINTS: Final = 256
BATCH_BYTES: Final = 8 << 20
FOUND_AT_ONCE: Final = 100  # points that are asked for by id
SAMPLE: Final = 256  # points that are looked at for what the text is called
LEFT_S: Final = 5.0  # which a page that nobody wants any more may take before the store is closed all the same


class PointStore(Store):
    """A connector of a store of points.  Every method may raise StoreError."""

    can: Capabilities
    batch_points: ClassVar[int] = BATCH_POINTS
    batch_bytes: ClassVar[int] = BATCH_BYTES
    options: ClassVar[frozenset[str]] = frozenset({"text"})  # what an address may say after "?"
    names_text: ClassVar[bool] = False  # the text is a member of the payload that may be called anything,
    own_text: ClassVar[str] = Fields().text  # in a new collection this, where nothing says otherwise
    writes_at_once: ClassVar[bool] = False  # several threads may call upsert, as many as the address's reach says,
    most_at_once: ClassVar[int] = 1 << 10  # but no more than this; one: the next batch is made while it is written
    writes_whole: ClassVar[bool] = False  # ``writing`` takes back all that was written where something goes wrong
    is_forkable: ClassVar[bool] = False
    scans_to_write: ClassVar[bool] = True
    first_place = 0  # the place before that of the first point

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address)
        for name in sorted(address.options.keys() - self.options):
            raise UsageError(
                f"{address}: {name!r:.40} is no option of {self.kind} stores; known: {', '.join(sorted(self.options))}",
                code="bad-address",
            )
        self.create = create
        self._names: Names | None = None
        self._last_names: Names | None = None  # those of the last write, for reading by key
        self._fields: Fields | None = None
        self.most_points = self.batch_points  # as many as are written at once, once the store said how many
        self.readings = Readings()
        self._report: Callable[[InvalidData], None] | None = None  # of the scan under way

    @classmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        """Return the connector open on ``address``.  Raises: StoreError (store-missing, store-unreachable, …)."""
        store = cls(address, create=create)
        try:
            if not create and not store.exists():
                raise StoreError(f"there is no {store.collection_words()}; check the name", code="store-missing")
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """End what is read: a page may be under way for somebody who left in the middle.

        A connector that has threads read calls it before it ends its connections.
        """
        self.readings.end(None if self.outlasts_readings else LEFT_S)

    @property
    def outlasts_readings(self) -> bool:
        """Whether what is closed has to wait for a page under way, however long that takes."""
        return False

    # -- what a connector says -------------------------------------------------------------------------------------

    def collection_words(self) -> str:
        """Return what the collection is called to people."""
        return f"collection {self.address}"

    @abstractmethod
    def exists(self) -> bool:
        """Whether the collection is there.  Asked several times: remember the answer where asking is dear."""

    @abstractmethod
    def read_points(self) -> Iterator[list[Point]]:
        """Yield all points of the collection in batches, in any order, each once; BadPoint for what makes none."""

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the points that come after one in an order that does not change, for a store that ``resumes``.

        One that can begin there does better than this, which reads them all.
        """
        is_after = False
        for batch in self.read_points():
            ids = [] if is_after else [point.id for point in batch]
            if last in ids:
                is_after, batch = True, batch[ids.index(last) + 1 :]
            if is_after and batch:
                yield batch

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the points of up to ``FOUND_AT_ONCE`` native ids, those that are there, in any order.

        For stores that can be asked for single points; what was written is then looked at afterwards by that.
        """
        raise LookupError(f"{self.kind} stores are not asked for single points")

    @abstractmethod
    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors an existing collection is set up for, by name; None where it takes any."""

    @abstractmethod
    def prepare(self, wanted: Wanted) -> None:
        """Make the collection, which is not there, ready to hold what is wanted; set up as ``wanted.config`` says."""

    def widen(self, spaces: Mapping[str, Space]) -> None:
        """Make room for more vectors in a collection that this write made; for stores that ``writes_whole``.

        Those for which there is no room are carried.
        """

    @abstractmethod
    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those of their ids whole.

        Raises: StoreError (store-limit) where they are too large or too many at once; nothing was written then.
        """

    def insert(self, points: Sequence[Point]) -> None:
        """Write points of ids that were not there when the store was read; for stores that gain something by knowing.

        As ``upsert`` where others may have written since.
        """
        self.upsert(points)

    def insert_records(self, records: Sequence[tuple[Record, str]]) -> Sequence[tuple[Record, str]]:
        """Write records of new ids, each with its native one, and return those that have to become points.

        For stores that can write a record without the way through a point.
        """
        return records

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Remove points by native id; those that are not there are no error."""

    def check_point(self, point: Point) -> None:
        """Raise StoreError (store-cannot-hold) for a point that the store would refuse, before anything is written."""

    def needs_check(self, record: Record) -> bool:
        """Whether ``check_point`` is to be asked of a record's point, where that can be told without making it."""
        return True

    def checks_points(self) -> bool:
        """Whether ``check_point`` is to be asked of each point: all are made twice then."""
        return type(self).check_point is not PointStore.check_point

    def fills(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return, for each of so many points, members it must have and what they are where its record says nothing.

        Asked only by ``write``.
        """
        return [self.can.fills] * count

    def write_edges(self, upserts: Sequence[Record], deletes: Sequence[Record]) -> None:
        """Write and remove graph edges, for a store that ``holds_edges``."""

    def finish(self) -> None:
        """Called once after everything was written: indexes are made, what was written made visible."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a transaction around everything that one write does, where the store has such."""
        yield

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def alteration(self) -> str:
        """What is done to vectors, so that some come back otherwise than they were written."""
        return self.can.alters.name if self.can.alters else ""

    def settle(self, saved: Record, found: Record) -> Record:
        """Return what was found with those of its vectors that were saved and only altered by the store as saved."""
        if saved.vectors == found.vectors or not self.can.alters:
            return found
        old = {item.space.name: item for item in saved.vectors}
        settled = tuple(
            held if (held := old.get(item.space.name)) is not None and self._is_altered(held, item) else item
            for item in found.vectors
        )
        return found if settled == found.vectors else with_body(found.key, found.body, settled)

    def _is_altered(self, saved: Vector, found: Vector) -> bool:
        if saved.space.model != found.space.model:
            return False
        one, other = native_vectors([saved], self.can), native_vectors([found], self.can)
        return bool(one and other) and self.can.alters.is_same(one[0], other[0])

    def fields(self) -> Fields:
        """Return what the members of a payload are called."""
        if self._fields is None:
            self._fields = self.find_fields(next(iter(self.read_points()), []) if self.exists() else [])
        return self._fields

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text's name as the address says (``?text=``), else as most points have it.

        Where a store takes ``?profile=`` and the memory is a framework's, the fields are as that calls them.
        """
        if "profile" in self.options and (found := profile_fields(self.address, sample)) is not None:
            return found
        name = self.address.options.get("text")
        if name is None:
            votes = Counter(told_text_name(point.payload) for point in sample[:SAMPLE])
            del votes[None]
            name = votes.most_common(1)[0][0] if votes else None
        return Fields(text=name) if name else Fields()

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield all points in batches; a record stands for the point that it is, under its own id.

        For stores that can tell a record without the way through a point: reads what ``read_points`` does.
        """
        return self._with_fields(self.read_points())

    def read_raw(self) -> RawPoints | None:
        """Return the points as bytes first, for stores that give them so at little cost, and that do not resume."""
        return None

    def _with_fields(self, batches: Iterator[list[Point]]) -> Iterator[list[Point]]:
        first = next(batches, [])
        self.name_fields(first)
        return chain((first,), batches)

    def kept_config(self) -> dict[str, Any]:
        """Return what is kept of the collection: as described, and what its text is called."""
        # Looked at first: what points are seen to be like is part of what is described.
        fields = self.fields() if self.names_text and self.exists() else None
        config = super().kept_config()
        if not config or fields is None or fields.complete is not None or fields.text == self.own_text:
            return config
        return {**config, TEXT_FIELD: fields.text}

    def take_text(self, config: Mapping[str, Any]) -> None:
        """Call the text of a collection that is to be made as it was called where a configuration was kept."""
        text = config.get(TEXT_FIELD)
        if not self.names_text or "text" in self.address.options or not isinstance(text, str) or not text:
            return
        fields = self.fields()
        others = fields.taken - {fields.text}
        if fields.complete is None and text not in others and self.can.holds_name(text):
            self._fields = replace(fields, text=text)

    def name_fields(self, first: Sequence[Point]) -> Fields:
        """Return what the members of a payload are called: found by the first points that are read, if not before."""
        if self._fields is None:
            self._fields = self.find_fields(first)
        return self._fields

    def _settled_can(self) -> Capabilities:
        """Return what can be held by way of the fields: a framework takes no ids but its own kind."""
        can = self.can
        if self.fields().complete is not None and can.id_form != "uuid only":
            self.can = can = replace(can, id_form="uuid only")
        return can

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield every record in batches; ``place`` is the number of the point, from 1."""
        for batch, _ in PointStore.scan_on(self, None, on_problem):
            if batch:
                yield batch

    def tell(self, error: InvalidData) -> None:
        """Tell whoever scans of a memory that cannot be read.  Raises: InvalidData, where nobody wants to be told."""
        if self._report is None:
            raise error
        self._report(error)

    def scan_raw(self) -> RawScan | None:
        """Return a scan of the points as bytes; not where the store may be written: then all ids have to be known."""
        raws = self.read_raw() if self.exists() and not self.create else None
        if raws is None:
            return None
        return RawPointScan(raws, PointSource(self._settled_can(), self.fields(), self.place), self.first_place)

    def scan_on(
        self, cursor: Cursor | None, on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[tuple[list[Sourced], Cursor | None]]:
        """Yield the records after a cursor in batches, each with the cursor after it."""
        self._report = on_problem
        is_there = self.exists()  # asked first: what a collection is like says what its ids are
        names = Names(self._settled_can()) if self.create and cursor is None and not is_there else None
        place = cursor.place if cursor is not None else self.first_place
        if is_there:
            if cursor is not None:
                self.fields()  # as its first points say
                batches: Iterator[Sequence[Point | Record]] = self.read_points_after(cursor.last)
            else:
                batches = self.read_records()
            can, fields = self._settled_can(), self.fields()
            names = Names(can) if self.create and cursor is None else None
            source = PointSource(can, fields, self.place, names)
            for batch in batches:
                found = source.records(batch, count(place + 1), on_problem)
                place += len(batch)
                yield found, Cursor(source.last, place) if self.resumes and source.last else None
        self._names = names

    def read_keys(self, keys: Sequence[bytes]) -> Iterator[Record] | None:
        """Yield the records under some keys, where single points can be found and their ids are known by a write."""
        names = self._last_names
        if names is None or type(self).find_points is PointStore.find_points:
            return None
        return self._read_keys(keys, names)

    def _read_keys(self, keys: Sequence[bytes], names: Names) -> Iterator[Record]:
        if not self.exists():
            return
        can, fields, left = self._settled_can(), self.fields(), set(keys)
        for choice in (0, 1):
            ids = list(dict.fromkeys(names.perhaps(key)[choice] for key in sorted(left)))
            for start in range(0, len(ids), FOUND_AT_ONCE):
                for point in self.find_points(ids[start : start + FOUND_AT_ONCE]):
                    try:
                        record = read_point(point, can, fields)
                    except InvalidData:
                        continue  # what makes no record is not there
                    if type(point) is not BadPoint and record.key in left:
                        left.discard(record.key)
                        yield record

    def mapping(self) -> dict[str, str]:
        """Return which member of a payload, with the types of the first points, each member of a record is."""
        if not self.exists():
            return {}
        sample = next(iter(self.read_points()), [])[:SAMPLE]
        return told_mapping(sample, self.fields(), self.held_spaces())

    def place(self, place: int) -> str:
        """Return words for a point: ``qdrant://localhost:6333/agent point 12``."""
        return f"{self.address} point {place}"

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the store to a plan, in batches.

        Whether each record can be held is known before the first is written, or all that was written is taken back.
        """
        before = self.can, self._fields
        try:
            return PlanWriter(self, plan).write()
        except BaseException:
            if self.writes_whole:
                self.can, self._fields = before  # what was made is gone
            raise

    def end_writing(self) -> None:
        """Let go of which native ids there are."""
        self.create = False
        self._names = self._last_names = None

    def rehearse(self, plan: Plan) -> None:
        """Look at each record of a plan as ``write`` does, and write nothing."""
        PlanWriter(self, plan).rehearse()

    @property
    def inserts(self) -> bool:
        """Whether points of new ids are to be told apart."""
        return type(self).insert is not PointStore.insert

    def take_names(self) -> Names:
        """Return which native ids the store's records have, read if need be, to write once.

        They are not so afterwards, even where a write ends in the middle.
        """
        if self._names is None:
            self.create = True
            for _ in self.scan(lambda error: None):
                pass
        names, self._names = self._names, None
        assert names is not None
        self._last_names = names
        return names

    def check_creatable(self, wanted: Wanted) -> None:
        """Raise StoreError (store-cannot-hold) where a collection that is not there cannot be made as it is wanted."""
        if self.can.needs_vector and not wanted.dims and not wanted.config:
            raise StoreError(
                f"{self.address} is to be made, and no memory has a vector that says for how many dimensions; nothing "
                "was written: make the collection first, or write memories with vectors",
                code="store-cannot-hold",
            )


def cannot_hold(store: Store, identifier: str, why: str) -> StoreError:
    """Return the error for a memory that a store cannot hold at all."""
    return StoreError(
        f"{store.address} cannot hold {identifier:.80}: {why}; nothing was written", code="store-cannot-hold"
    )


__all__ = ["Point", "PointStore", "Space", "Vector", "Wanted", "cannot_hold"]
