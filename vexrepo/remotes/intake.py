"""Reading a store into what differs from a branch: unchanged records are recognised and dropped at once.

New and changed records go through a sorter (spilled to disk when many); what the branch has and the store
does not is found from what was not seen.  Large files and tables are read in two processes.  Where a store gives its
records as bytes first, those whose bytes were read before are not made again (``rawcache``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.errors import InvalidData, StoreError
from vexrepo.history.baseline import IdTable
from vexrepo.history.build import Edit
from vexrepo.history.walk import LeafReader, RecordAt, find_record, iter_leaves
from vexrepo.objects.record import Record, split_key
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.remotes import rawcache
from vexrepo.remotes.keptread import EVERY_RECORDS, MATCHED_BYTES, KeptRead, Taken
from vexrepo.remotes.rawcache import KnownRaws
from vexrepo.remotes.stores.base import Cursor, Description, Raw, RawScan, Sourced, Store
from vexrepo.storage.beside import Beside
from vexrepo.storage.freed import note_records
from vexrepo.storage.rows import RowFile
from vexrepo.storage.spill import Placed, Run, Sorter
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Accepts = Callable[[bytes, Callable[[], bytes]], bool]  # (key, body when asked for) → belongs to the selection


@dataclass
class Part:
    """What one reader found.

    ``matched`` has a row for each record the base has: its base position, then its place in the source; ``raws``
    has the rows to remember.
    """

    matched: RowFile
    raws: RowFile
    runs: list[Run] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0


@dataclass
class Reading:
    """What to read against: the base's record ids, and raw bytes whose record is known."""

    base: IdTable
    known: KnownRaws | None = None
    remember: bool = False
    skip_problems: bool = False
    accepts: Accepts | None = None
    advance: Callable[[int], None] = lambda amount: None


@dataclass
class Intake:
    """A store as read: new and changed records in a sorter, and which base records it still has.

    ``fingerprint`` is the store's from before the first record was read to after the last; where it became another
    meanwhile, ``moved_on``: what was read is sound, but no longer what the store holds.  ``raws`` are to be remembered,
    ``bound_to`` what else decided which records they are.
    """

    store: Store
    sorter: Sorter
    seen: NDArray[np.bool_]
    count: int
    problems: list[tuple[str, str]]
    skip_problems: bool
    fingerprint: str | None
    moved_on: bool = False
    raws: list[RowFile] = field(default_factory=list)
    bound_to: bytes = b""


def take_in(
    store: Store,
    base_ids: Iterable[bytes],
    scratch: Path,
    *,
    cache: Path | None = None,
    remember: bool = False,
    skip_problems: bool = False,
    accepts: Accepts | None = None,
    advance: Callable[[int], None] = lambda amount: None,
    kept: KeptRead | None = None,
) -> Intake:
    """Read a store against a base (its record ids in key order, in pieces); ``scratch`` must outlive the intake.

    ``cache`` is where is kept which raw bytes gave which record; with ``remember``, what to keep there next is found.
    With ``kept``, an interrupted read of a store that resumes goes on where it stopped, and this one can.

    Raises: InvalidData (with file, place and id; also duplicate-key), StoreError (store-changed, …).
    """
    import numpy as np

    base = IdTable.of_ids(base_ids, scratch / "base-ids")
    reading = Reading(base, skip_problems=skip_problems, accepts=accepts, advance=advance)
    described = store.describe()
    before, bound_to = described.fingerprint, b""
    if kept is not None and store.resumes:
        parts = [_read_on(store, reading, described, kept)]
    else:
        with store.halved() as other:
            raws = store.scan_raw()
            if raws is not None and cache is not None and accepts is None:
                bound_to = rawcache.binding(raws.decided_by)
                reading.remember = remember
                rows = rawcache.read(cache, bound_to)
                if rows is not None and len(base):
                    reading.known = KnownRaws(rows, base)
            parts = _read_all(store, other, reading, scratch)
    moved_on = before is not None and store.describe().fingerprint != before
    if moved_on and not store.reads_snapshot:
        raise StoreError(
            f"{store.address} changed while it was being read; run the command again", code="store-changed"
        )
    sorter = Sorter(scratch)
    for part in parts:
        sorter.adopt(part.runs)
    seen = np.zeros(len(base), np.bool_)
    for part in parts:
        for block in part.matched.blocks():
            seen[_pairs(block)[:, 0]] = True
    problems = [problem for part in parts for problem in part.problems]
    if int(seen.sum()) != sum(part.matched.count for part in parts):
        for error in _twice(store, b"".join(block for part in parts for block in part.matched.blocks())):
            if not skip_problems:
                raise error
            problems.append((error.code, str(error)))
    return Intake(
        store,
        sorter,
        seen,
        sum(part.count for part in parts),
        problems,
        skip_problems,
        None if moved_on else before,
        moved_on,
        [part.raws for part in parts if part.raws.count],
        bound_to,
    )


def reconcile(objects: ObjectStore, roots: Sequence[TreeRoot | None], intake: Intake, scratch: Path) -> None:
    """Give records that were read the vectors they were saved with, where the store only altered those.

    ``roots`` are where they may have been saved: first the base the store was taken in against, then others.  What is
    the base's then counts as unchanged.  Without this, every memory of a store that scales vectors would look changed.
    """
    base, *others = roots
    if not intake.store.alters or not intake.sorter.count:
        return
    store, left = intake.store, Sorter(scratch, "altered")
    rest: list[TreeRoot] = [root for root in others if root is not None and root != base]
    for row, at, saved in _beside(objects, base, intake.sorter.sorted()):
        found = row.record
        settled = found if saved is None else store.settle(saved, found)
        if saved is not None and settled.id == saved.id and not intake.seen[at]:
            intake.seen[at] = True
            continue
        for root in rest:
            known = find_record(objects, root, found.key)
            if known is None:
                continue
            other = store.settle(known.record, found)
            if other.id == known.id or settled is found:
                settled = other
            if other.id == known.id:
                break
        left.add(settled, row.place)
    left.spill()
    intake.sorter = left


def _beside(
    objects: ObjectStore, root: TreeRoot | None, rows: Iterator[Placed]
) -> Iterator[tuple[Placed, int, Record | None]]:
    """Yield rows, which are in key order, each with the record of a tree that has its key, and where that is."""
    head = next(rows, None)
    at = 0
    for child in iter_leaves(objects, root) if root is not None and root.count else ():
        reader: LeafReader | None = None
        while head is not None and (not child.last_key or head.record.key <= child.last_key):
            reader = reader or LeafReader(objects, child.id, keep=False)
            row = bisect_left(reader.leaf.keys, head.record.key)
            is_there = row < len(reader.leaf.keys) and reader.leaf.keys[row] == head.record.key
            yield head, at + row, reader.record(row) if is_there else None
            head = next(rows, None)
        at += child.count
    while head is not None:
        yield head, at, None
        head = next(rows, None)


def _pairs(rows: bytes) -> NDArray[np.int64]:
    """Return (base position, place) of rows of ``Part.matched``."""
    import numpy as np

    return np.frombuffer(rows, np.int64).reshape(-1, 2)


def _twice(store: Store, rows: bytes) -> Iterator[InvalidData]:
    """Yield an error for each unchanged record that the source has more than once."""
    import numpy as np

    matched, places = _pairs(rows).T
    order = np.argsort(matched, kind="stable")
    for twice in np.flatnonzero(np.diff(matched[order]) == 0).tolist():
        first, second = sorted((int(places[order[twice]]), int(places[order[twice + 1]])))
        yield duplicate(store, "the same record", first, second)


def duplicate(store: Store, what: str, first: int, second: int) -> InvalidData:
    """Return the error for two records of one source with the same key."""
    return InvalidData(
        f"{store.place(second)} repeats {what} of {store.place(first)}; ids must be unique within a namespace: "
        "remove or rename one of them (with --on-error skip one is kept, the later of two changed ones)",
        code="duplicate-key",
    )


class _Collector:
    """Sorts records of one reader into unchanged (a position) and others (the sorter)."""

    def __init__(self, reading: Reading, scratch: Path, prefix: str) -> None:
        self.reading = reading
        self.sorter = Sorter(scratch, prefix)
        self.part = Part(
            RowFile(scratch / f"{prefix}-matched", 16), RowFile(scratch / f"{prefix}-raws", rawcache.ROW_BYTES)
        )

    def take(self, rows: list[Placed], digests: list[bytes]) -> None:
        """Take records, with the digests of their raw bytes if those are to be remembered."""
        if not rows:
            return
        if digests:
            self.part.raws.append(b"".join(digest + row.record.id for digest, row in zip(digests, rows, strict=True)))
        held = self.note(self.reading.base.match(b"".join(row.record.id for row in rows)), [row.place for row in rows])
        for row, old in zip(rows, held.tolist(), strict=True):
            if not old:
                self.sorter.add(row.record, row.place)
        self.part.count += len(rows)
        note_records(rows[0].record, len(rows))

    @property
    def report(self) -> Callable[[InvalidData], None] | None:
        """Whom to tell of a record that cannot be read; None: such a one is raised."""
        problems = self.part.problems
        return (lambda error: problems.append((error.code, str(error)))) if self.reading.skip_problems else None

    def note(self, positions: NDArray[np.int64], places: Sequence[int]) -> NDArray[np.bool_]:
        """Note which records the base has, given their positions there or -1; return whether it has each."""
        import numpy as np

        held = positions >= 0
        self.part.matched.append(np.column_stack((positions, np.array(places, np.int64)))[held].tobytes())
        return held

    def take_note(self, kept: KeptRead, cursor: Cursor) -> None:
        """Take note of what was found up to a cursor, for a run after this one."""
        self.sorter.spill()
        matched = self.part.matched
        matched.flush()
        kept.note(
            Taken(
                cursor,
                list(self.sorter.runs),
                matched.path,
                matched.count,
                self.part.count,
                self.part.problems,
                kept.begun_us,
            )
        )

    def finish(self) -> Part:
        """Return what was found, all of it in files."""
        self.sorter.spill()
        self.part.runs = self.sorter.runs
        self.part.matched.close()
        self.part.raws.close()
        return self.part


def _read_all(store: Store, other: Store | None, reading: Reading, scratch: Path) -> list[Part]:
    """Read a store, half of it in a second process where there is another connector for that."""
    if other is None:
        return [_read_store(store, reading, scratch, "run")]
    quiet = replace(reading, advance=_ignore)
    with Beside(_read_other, other, quiet, scratch) as second:
        # Both halves take about as long, so this one's progress counts for two.
        ours = replace(reading, advance=lambda amount: reading.advance(2 * amount))
        first = _read_store(store, ours, scratch, "run-a")
        return [first, second.result()]


def _read_other(store: Store, reading: Reading, scratch: Path) -> Part:
    with store:
        return _read_store(store, reading, scratch, "run-b")


def _ignore(amount: int) -> None:
    pass


def _read_store(store: Store, reading: Reading, scratch: Path, prefix: str) -> Part:
    collector = _Collector(reading, scratch, prefix)
    raws = store.scan_raw()
    if raws is not None:
        with closing(raws.batches()) as batches:
            for raw in batches:
                _take_raw(raws, raw, reading, collector)
                reading.advance(raw.amount)
    else:
        for batch in store.scan(collector.report):
            collector.take(_accepted(reading, batch), [])
            reading.advance(len(batch))
    return collector.finish()


def _take_raw(raws: RawScan, raw: Raw, reading: Reading, collector: _Collector) -> None:
    """Take records that are raw yet: those that are known are not made."""
    import numpy as np

    digests: list[bytes] = []
    if reading.remember or reading.known is not None:
        digests = [rawcache.digest_of(piece) for piece in raw.pieces]
    if reading.known is not None:
        positions, rows = reading.known.match(b"".join(digests))
        fresh = np.flatnonzero(~collector.note(positions, raw.places)).tolist()
        collector.part.count += len(raw.places) - len(fresh)
        if reading.remember:
            collector.part.raws.append(rows)
        if not fresh:
            return
        digests = [digests[at] for at in fresh]
        raw = Raw([raw.places[at] for at in fresh], [raw.pieces[at] for at in fresh], 0)
    taken = _accepted(reading, raws.records(raw, collector.report))
    if not reading.remember:
        collector.take(taken, [])
        return
    named = dict(zip(raw.places, digests, strict=True))
    collector.take(taken, [named[row.place] for row in taken])


def _accepted(reading: Reading, batch: Sequence[Sourced]) -> list[Placed]:
    accepts = reading.accepts
    rows = [Placed(item.record, item.place) for item in batch]
    if accepts is not None:
        rows = [row for row in rows if accepts(row.record.key, lambda row=row: row.record.body)]  # type: ignore[misc]
    return rows


def _read_on(store: Store, reading: Reading, now: Description, kept: KeptRead) -> Part:
    """Read a store from where an interrupted read stopped, and take notes to go on from."""
    before = kept.begin(now)
    collector = _Collector(reading, kept.folder, kept.session())
    part, noted = collector.part, 0
    if before is not None:
        collector.sorter.adopt(before.runs)
        for rows in RowFile(before.matched, MATCHED_BYTES, before.matched_count).blocks():
            part.matched.append(rows)
        part.count = noted = before.count
        part.problems = list(before.problems)
        reading.advance(before.count)
        store.address.reach.notice(kept.words(store.address))
    for batch, cursor in store.scan_on(before.cursor if before is not None else None, collector.report):
        collector.take([Placed(item.record, item.place) for item in batch], [])
        reading.advance(len(batch))
        if cursor is not None and part.count - noted >= EVERY_RECORDS:
            noted = part.count
            collector.take_note(kept, cursor)
    kept.done()
    return collector.finish()


@dataclass
class Tally:
    """How many records an intake adds, changes and removes."""

    learned: int = 0
    changed: int = 0
    forgotten: int = 0

    def __bool__(self) -> bool:
        return self.total > 0

    @property
    def total(self) -> int:
        """All of them together."""
        return self.learned + self.changed + self.forgotten


def iter_edits(
    objects: ObjectStore, base: TreeRoot | None, intake: Intake, tally: Tally, goes: Accepts | None = None
) -> Iterator[Edit]:
    """Yield the edits that turn the base into what was taken in, in key order; ``tally`` counts them.

    With ``goes``, base records that it does not accept stay.  Raises: InvalidData (duplicate-key).
    """
    fresh = _without_duplicates(intake)
    head = next(fresh, None)
    at = 0
    leaves = list(iter_leaves(objects, base)) if base is not None and base.count else []
    for number, child in enumerate(leaves):
        last = number == len(leaves) - 1
        seen = intake.seen[at : at + child.count]
        at += child.count
        if seen.all() and (head is None or (not last and head.record.key > child.last_key)):
            continue
        reader = LeafReader(objects, child.id)
        for row, key in enumerate(reader.leaf.keys):
            while head is not None and head.record.key < key:
                tally.learned += 1
                yield Edit(head.record.key, head.record)
                head = next(fresh, None)
            if head is not None and head.record.key == key:
                if seen[row]:
                    error = InvalidData(
                        f"{intake.store.place(head.place)}: a second record with {_named(key)}; ids must be unique "
                        "within a namespace: remove or rename one (with --on-error skip the unchanged one is kept)",
                        code="duplicate-key",
                    )
                    if not intake.skip_problems:
                        raise error
                    intake.problems.append((error.code, str(error)))
                    head = next(fresh, None)
                    continue
                tally.changed += 1
                yield Edit(key, head.record)
                head = next(fresh, None)
            elif not seen[row] and (goes is None or goes(key, _body(reader, row))):
                tally.forgotten += 1
                yield Edit(key, None)
        while head is not None and not last and head.record.key <= child.last_key:
            tally.learned += 1
            yield Edit(head.record.key, head.record)
            head = next(fresh, None)
    while head is not None:
        tally.learned += 1
        yield Edit(head.record.key, head.record)
        head = next(fresh, None)


def _body(reader: LeafReader, row: int) -> Callable[[], bytes]:
    return lambda: RecordAt(reader, row).body


def _without_duplicates(intake: Intake) -> Iterator[Placed]:
    """Yield the new and changed records; of several with one key, the last in the source, or an error."""
    held: Placed | None = None
    for row in intake.sorter.sorted():
        if held is not None and held.record.key != row.record.key:
            yield held
        elif held is not None:
            first, second = sorted((held, row), key=lambda item: item.place)
            error = duplicate(intake.store, _named(row.record.key), first.place, second.place)
            if not intake.skip_problems:
                raise error
            intake.problems.append((error.code, str(error)))
            row = second
        held = row
    if held is not None:
        yield held


def _named(key: bytes) -> str:
    space, identifier = split_key(key)
    return f"the id {identifier!r}" + (f" (namespace {space!r})" if space else "")
