"""How a plan comes into a store of points: each record is looked at, gets its native id, is made a point, and is sent.

Most stores have no transactions.  There, all records go to a scratch file first, so that each is known to fit before
the first is written.  A store that ``writes_whole`` needs no such thing: records are looked at as they are written,
and one that does not fit takes everything back.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, key_name
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.answer import safe_words
from vexrepo.remotes.stores.base import LEFT, Plan, Written
from vexrepo.remotes.stores.capabilities import native_id
from vexrepo.remotes.stores.points import Point, native_vectors, write_point
from vexrepo.storage.spill import Sorter

if TYPE_CHECKING:
    from vexrepo.remotes.stores.point_store import PointStore

TEXT_FIELD: Final = "text_field"  # of what is kept of a collection: what its text is called
_MOST_LEFT: Final = 20
WAYS_OUT: Final = (
    "nothing was written.  Leave such memories out (--namespace, --components), write them into a collection of their "
    "own, or turn their embeddings into those of one model first (vex migrate --adapter, see vex adapters)"
)

# What may be over when a write is begun again.
_PASSING: Final = frozenset(("store-unreachable", "store-busy", "store-answer", "store-refused"))

Send: TypeAlias = Callable[[Sequence[Point]], None]
Named: TypeAlias = tuple[Record, str]  # a record and its native id


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a collection has to hold: for each vector name its kind and dims, and how it was set up elsewhere or before.

    ``config`` is what ``describe`` gave of a store of this kind, empty if there was none.
    """

    spaces: Mapping[str, Space]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dims(self) -> int:
        """The dimensions of the main vector, 0 without one."""
        main = self.spaces.get(MAIN)
        return main.dims if main is not None else 0


class PlanWriter:
    """Writes one plan into a store."""

    def __init__(self, store: PointStore, plan: Plan) -> None:
        self._store, self._plan = store, plan
        self._names, self._is_there = store.take_names(), store.exists()
        self._leaving = self._names.leaving(plan.deletes)
        self._can = store.can  # what a collection that is not there could hold
        self._fixed = store.held_spaces() if self._is_there else None
        self._spaces = dict(self._fixed or {})
        self._config = {name: each for name, each in plan.config.items() if name not in (TEXT_FIELD, LEFT)}
        self._settled: set[Space] = set()  # those of records for which there is room
        self._checks = False  # whether points are asked after as they are written

    def write(self) -> Written:
        """Write everything; see ``PointStore.write``."""
        store, plan = self._store, self._plan
        store.fields()  # asked before anything is written
        if not self._is_there:
            store.take_text(plan.config)
        batches = self._batches(plan.upserts())
        first = next(batches, [])
        if not (first or self._is_there or plan.config):
            return Written(0, 0)
        batches = chain((first,), batches)
        upserted = 0
        with contextlib.ExitStack() as held:
            if self._is_one_pass(first):
                self._checks = store.checks_points()
                self._note_spaces(first)
                batches = self._looked_at(batches)
            else:
                folder = held.enter_context(tempfile.TemporaryDirectory(prefix="vex-"))
                batches = self._batches(self._spooled(chain.from_iterable(batches), Path(folder)))
            if not self._is_there:
                store.check_creatable(Wanted(self._spaces, self._config))
                self._tell_of_left()
            with store.writing():
                if not self._is_there:
                    self._prepare()
                    self._spaces |= store.held_spaces() or {}
                with _left_in_the_middle(store):
                    with _sending(store, plan.advance) as send:
                        for batch in batches:
                            self._write_batch(batch, send)
                            upserted += len(batch)
                    gone = list(self._leaving)
                    for start in range(0, len(gone), store.most_points):
                        store.delete(gone[start : start + store.most_points])
                    if store.holds_edges:
                        store.write_edges(plan.edge_upserts, plan.edge_deletes)
                    store.finish()
        return Written(upserted, len(plan.deletes))

    def _prepare(self) -> None:
        """Make the collection.  Raises: StoreError (store-changed) where it is there by now."""
        store = self._store
        try:
            store.prepare(Wanted(self._spaces, self._config))
        except StoreError as error:
            if error.code != "store-answer" or not self._is_made():
                raise
            raise StoreError(
                f"{store.address} was not there, and could not be made ({error}): it is there now, perhaps made by "
                "another program at the same moment.  No memory was written: run the command again, which compares "
                "with what is there",
                code="store-changed",
            ) from error

    def _is_made(self) -> bool:
        try:
            with type(self._store).open(self._store.address):
                return True
        except StoreError:
            return False

    def rehearse(self) -> None:
        """Look at everything as ``write`` does, and write nothing; see ``PointStore.rehearse``.

        What a collection could hold that is made again as one was elsewhere is known only once it is made.
        """
        store, plan = self._store, self._plan
        store.fields()
        if not self._is_there:
            store.take_text(plan.config)
        is_known = self._is_there or not plan.config
        count = sum(1 for _ in (self._each_looked_at(plan.upserts()) if is_known else plan.upserts()))
        if not self._is_there:
            self._tell_of_left()
        if not self._is_there and count and is_known:
            store.check_creatable(Wanted(self._spaces))

    def _tell_of_left(self) -> None:
        """Say, before it is made, what the collection will not have that one of its kind had, as is kept of that."""
        left = self._plan.config.get(LEFT)
        words = [each for each in left if isinstance(each, str)] if isinstance(left, list) else []
        if words:
            shown = ", ".join(safe_words(each)[:80] for each in words[:_MOST_LEFT])
            more = f" and {len(words) - _MOST_LEFT} more" if len(words) > _MOST_LEFT else ""
            self._store.address.reach.notice(
                f"{self._store.address} is made without what the one that was committed had besides: {shown}{more}; "
                "programs that need these make them themselves, or want them made by hand"
            )

    # -- looking at each record --------------------------------------------------------------------------------------

    def _is_one_pass(self, first: Sequence[Record]) -> bool:
        """Whether records are looked at as they are written.

        A collection that is made has to know the dimensions of the main vector then; and while records come slowly, one
        that agents use is not held against them.
        """
        store = self._store
        if not store.writes_whole:
            return False
        if self._is_there:
            return self._plan.is_at_hand
        return any(item.space.name == MAIN for record in first for item in native_vectors(record.vectors, self._can))

    def _looked_at(self, batches: Iterable[list[Record]]) -> Iterator[list[Record]]:
        """Yield batches, with room made for the vectors of each in a collection that is made."""
        is_first = True
        for batch in batches:
            added = {} if is_first else self._note_spaces(batch)
            if added and not self._is_there:
                self._store.widen(added)
            is_first = False
            yield batch

    def _spooled(self, records: Iterable[Record], scratch: Path) -> Iterator[Record]:
        """Return the records in order of their keys, once all have been looked at."""
        spool = Sorter(scratch)
        for record in self._each_looked_at(records):
            spool.add(record, 0)
        spool.spill()
        return (row.record for row in spool.sorted())

    def _each_looked_at(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records, each looked at.  Raises: StoreError (store-dims, store-cannot-hold, …)."""
        store = self._store
        checks = store.checks_points()
        fills = store.fills(1)[0] if checks and self._is_there else self._can.fills
        last = None  # the space of the only vector of what was looked at before: of most, it is the same object
        for record in records:
            vectors = record.vectors
            if len(vectors) != 1 or vectors[0].space is not last:
                self._note_spaces((record,))
                last = vectors[0].space if len(vectors) == 1 and vectors[0].space in self._settled else None
            if checks and store.needs_check(record):
                native = self._names.of(record.key) or native_id(record.key, self._can)
                dims = Wanted(self._spaces).dims or 1
                store.check_point(write_point(record, native, self._can, store.fields(), dims, fills))
            yield record

    def _note_spaces(self, records: Sequence[Record]) -> dict[str, Space]:
        """Note which vectors records need room for, and return what is new.  Raises: StoreError (store-dims)."""
        can, spaces, settled = self._can, self._spaces, self._settled
        added: dict[str, Space] = {}
        # A memory's spaces are few objects, and dear to compare.
        found = {id(item.space): item.space for record in records for item in record.vectors}
        if settled.issuperset(found.values()):
            return added
        for record in records:
            for item in native_vectors(record.vectors, can):
                space = item.space
                held = spaces.get(space.name)
                if held is None:
                    spaces[space.name] = added[space.name] = space
                elif held.kind == space.kind and held.dims != space.dims and not can.mixes_dims:
                    raise self._other_dims(record, space, held)
        for space in found.values():
            held = spaces.get(space.name)
            if held is not None and held.kind == space.kind and (held.dims == space.dims or can.mixes_dims):
                settled.add(space)
        return added

    def _other_dims(self, record: Record, space: Space, held: Space) -> StoreError:
        is_fixed = self._fixed is not None and space.name in self._fixed
        where = "the store is set up for" if is_fixed else "another memory has"
        name = f" {space.name!r}" if space.name else ""
        return StoreError(
            f"{self._store.address}: {key_name(record.key):.80} has a vector{name} of {space.dims} dimensions, "
            f"{where} {held.dims}; {WAYS_OUT}",
            code="store-dims",
        )

    # -- batches -----------------------------------------------------------------------------------------------------

    def _batches(self, records: Iterable[Record]) -> Iterator[list[Record]]:
        store = self._store
        batch: list[Record] = []
        size = 0
        for record in records:
            _, _, body, vectors = record
            weight = 2 * len(body) + (
                len(vectors[0].row) if len(vectors) == 1 else sum([len(row) for _, row in vectors])
            )
            if batch and (len(batch) >= store.most_points or size + weight > store.batch_bytes):
                yield batch
                batch, size = [], 0
            batch.append(record)
            size += weight
        if batch:
            yield batch

    def _write_batch(self, batch: Sequence[Record], send: Callable[[Send, Sequence[Point]], None]) -> None:
        store, names, leaving = self._store, self._names, self._leaving
        fresh: list[Named] = []
        known: list[Named] = []
        given = names.give_all([record.key for record in batch], leaving)
        for record, (native, is_new) in zip(batch, given, strict=True):
            (fresh if is_new else known).append((record, native))
        left = fresh if self._checks else store.insert_records(fresh)
        if len(left) < len(fresh):
            self._plan.advance(len(fresh) - len(left))
        if store.inserts:
            self._send_points(left, store.insert, send)
            self._send_points(known, store.upsert, send)
        else:
            self._send_points([*left, *known], store.upsert, send)

    def _send_points(self, named: Sequence[Named], how: Send, send: Callable[[Send, Sequence[Point]], None]) -> None:
        if not named:
            return
        store = self._store
        can, fields, dims = store.can, store.fields(), Wanted(self._spaces).dims
        points = [
            write_point(record, native, can, fields, dims, fills)
            for (record, native), fills in zip(named, store.fills(len(named)), strict=True)
        ]
        if self._checks:
            for point in points:
                store.check_point(point)
        send(how, points)


@contextlib.contextmanager
def _left_in_the_middle(store: PointStore) -> Iterator[None]:
    """Say of trouble in the middle of a write what became of it, where the store has no transactions."""
    try:
        yield
    except StoreError as error:
        said = str(error)
        if store.writes_whole or error.code not in _PASSING or "command again" in said or "nothing was" in said:
            raise
        words = f"{said}.  A part may have been written: once that is mended, the same command again completes it"
        raise StoreError(words, code=error.code) from error


@contextlib.contextmanager
def _sending(store: PointStore, advance: Callable[[int], None]) -> Iterator[Callable[[Send, Sequence[Point]], None]]:
    """Give a function that writes a batch, several at once where the store can; all are done at the end."""
    most = store.address.reach.concurrency
    if not store.writes_at_once or most < 2:

        def at_once(send: Send, points: Sequence[Point]) -> None:
            _send(store, send, points)
            advance(len(points))

        yield at_once
        return
    most = min(most, store.most_at_once)
    under_way: deque[tuple[Future[None], int]] = deque()

    def settle(left: int) -> None:
        while len(under_way) > left:
            done, count = under_way.popleft()
            done.result()
            advance(count)

    def begin(send: Send, points: Sequence[Point]) -> None:
        settle(most - 1)
        under_way.append((pool.submit(_send, store, send, points), len(points)))

    with ThreadPoolExecutor(most, "vex-write") as pool:
        try:
            yield begin
            settle(0)
        except BaseException:
            for future, _ in under_way:
                future.cancel()
            raise


def _send(store: PointStore, send: Send, points: Sequence[Point]) -> None:
    """Write points, in halves of halves where they are too many or too large for the store at once."""
    try:
        send(points)
    except StoreError as error:
        if error.code != "store-limit" or len(points) < 2:
            raise
        half = len(points) // 2
        store.most_points = max(1, half)
        _send(store, send, points[:half])
        _send(store, send, points[half:])
