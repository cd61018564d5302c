"""Reading a store into what differs from a branch: unchanged records are recognised and dropped at once.

New and changed records go through a sorter (spilled to disk when many); what the branch has and the store
does not is found from what was not seen.  Large files are read in two processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.errors import InvalidData, StoreError
from vexrepo.history.baseline import IdTable
from vexrepo.history.build import Edit
from vexrepo.history.walk import LeafReader, RecordAt, iter_leaves
from vexrepo.objects.record import split_key
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.remotes import linecache
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.storage.beside import Beside, is_worthwhile
from vexrepo.storage.spill import Placed, Run, Sorter
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 512
SPLIT_BYTES = 48 << 20  # files below this are read by one process

Accepts = Callable[[bytes, Callable[[], bytes]], bool]  # (key, body when asked for) → belongs to the selection


@dataclass
class Part:
    """What one reader found.  ``matched`` are base positions, ``places`` where in the source they are."""

    runs: list[Run] = field(default_factory=list)
    matched: list[NDArray[np.int64]] = field(default_factory=list)
    places: list[NDArray[np.int64]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0


@dataclass
class Reading:
    """What to read against: the base's record ids, and lines whose record is known."""

    base: IdTable
    known: IdTable | None = None
    known_positions: NDArray[np.int64] | None = None
    remember: bool = False
    skip_problems: bool = False
    accepts: Accepts | None = None
    advance: Callable[[int], None] = lambda amount: None


@dataclass
class Intake:
    """A store as read: new and changed records in a sorter, and which base records it still has.

    ``fingerprint`` is the store's from before the first record was read to after the last.
    """

    store: Store
    sorter: Sorter
    seen: NDArray[np.bool_]
    count: int
    problems: list[tuple[str, str]]
    skip_problems: bool
    digests: list[bytes]  # of the lines read, in pieces, and
    ids: list[bytes]  # the ids of their records
    fingerprint: str | None


def take_in(
    store: Store,
    base_ids: bytes,
    scratch: Path,
    *,
    cache: Path | None = None,
    skip_problems: bool = False,
    accepts: Accepts | None = None,
    advance: Callable[[int], None] = lambda amount: None,
) -> Intake:
    """Read a store against a base (its record ids in key order).

    Raises: InvalidData (with file, place and id; also duplicate-key), StoreError (store-changed, …).
    """
    import numpy as np

    reading = Reading(IdTable(base_ids, 32), skip_problems=skip_problems, accepts=accepts, advance=advance)
    before = store.describe().fingerprint
    split = isinstance(store, JsonlStore)
    if split and cache is not None and accepts is None:
        reading.remember = True
        digests, ids = linecache.read(cache)
        if digests:
            positions = reading.base.match(ids)
            held = positions >= 0
            raw = np.frombuffer(digests, "<u8").reshape(-1, 2)
            raw = raw[held]  # a copy, so that the file's content can go
            del digests, ids
            # An empty array has no buffer to cast.
            reading.known = IdTable(raw.data.cast("B") if len(raw) else b"", linecache.DIGEST_BYTES)
            reading.known_positions = positions[held]
    parts = (
        _read_file(store, reading, scratch) if isinstance(store, JsonlStore) else [_read_store(store, reading, scratch)]
    )
    if before is not None and store.describe().fingerprint != before:
        if not store.reads_snapshot:
            raise StoreError(
                f"{store.address} changed while it was being read; run the command again", code="store-changed"
            )
        before = None  # what was read is sound, but no longer what the store holds
    sorter = Sorter(scratch)
    for part in parts:
        sorter.adopt(part.runs)
    seen = np.zeros(len(reading.base), np.bool_)
    matched = _joined([piece for part in parts for piece in part.matched])
    seen[matched] = True
    problems = [problem for part in parts for problem in part.problems]
    if int(seen.sum()) != len(matched):
        for error in _twice(store, matched, _joined([piece for part in parts for piece in part.places])):
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
        [piece for part in parts for piece in part.digests],
        [piece for part in parts for piece in part.ids],
        before,
    )


def _joined(pieces: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    import numpy as np

    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def _twice(store: Store, matched: NDArray[np.int64], places: NDArray[np.int64]) -> Iterator[InvalidData]:
    """Yield an error for each unchanged record that the source has more than once."""
    import numpy as np

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
        self.part = Part()

    def take(self, rows: list[Placed], digests: list[bytes]) -> None:
        """Take parsed records, with the digests of their lines if those are to be remembered."""
        import numpy as np

        if not rows:
            return
        ids = b"".join(row.record.id for row in rows)
        if self.reading.remember:
            self.part.digests.append(b"".join(digests))
            self.part.ids.append(ids)
        positions = self.reading.base.match(ids)
        held = positions >= 0
        if held.any():
            self.part.matched.append(positions[held])
            self.part.places.append(np.array([row.place for row, old in zip(rows, held, strict=True) if old], np.int64))
        for row, old in zip(rows, held.tolist(), strict=True):
            if not old:
                self.sorter.add(row.record, row.place)
        self.part.count += len(rows)

    def finish(self, spill: bool) -> Part:
        """Return what was found; with ``spill``, everything goes to runs on disk."""
        if spill:
            self.sorter.spill()
        self.part.runs = self.sorter.runs
        return self.part


def _read_store(store: Store, reading: Reading, scratch: Path) -> Part:
    problems: list[tuple[str, str]] = []
    collector = _Collector(reading, scratch, "run")
    report = (lambda error: problems.append((error.code, str(error)))) if reading.skip_problems else None
    for batch in store.scan(report):
        rows = [Placed(item.record, item.place) for item in batch]
        if reading.accepts is not None:
            accepts = reading.accepts
            rows = [row for row in rows if accepts(row.record.key, lambda row=row: row.record.body)]  # type: ignore[misc]
        collector.take(rows, [])
        reading.advance(len(batch))
    part = collector.finish(spill=True)
    part.problems = problems
    return part


def _read_lines(store: JsonlStore, reading: Reading, scratch: Path, prefix: str, start: int, end: int | None) -> Part:
    collector = _Collector(reading, scratch, prefix)
    lines: list[bytes] = []
    offsets: list[int] = []
    held = 0

    def flush() -> None:
        nonlocal held
        _take_lines(store, reading, collector, lines, offsets)
        reading.advance(held)
        lines.clear()
        offsets.clear()
        held = 0

    for offset, line in store.lines(start, end):
        lines.append(line)
        offsets.append(offset)
        held += len(line)
        if len(lines) >= BATCH or held >= 8 << 20:
            flush()
    flush()
    return collector.finish(spill=True)


def _take_lines(
    store: JsonlStore, reading: Reading, collector: _Collector, lines: list[bytes], offsets: list[int]
) -> None:
    import numpy as np

    part, digests = collector.part, []
    if reading.remember:
        digests = [linecache.line_digest(line) for line in lines]
        if reading.known is not None and reading.known_positions is not None and lines:
            found = reading.known.match(b"".join(digests))
            held = found >= 0
            if held.any():
                part.matched.append(reading.known_positions[found[held]])
                part.places.append(np.array(offsets, np.int64)[held])
                part.digests.append(b"".join(d for d, old in zip(digests, held, strict=True) if old))
                part.ids.append(reading.base.rows(reading.known_positions[found[held]]))
                part.count += int(held.sum())
                fresh = np.flatnonzero(~held).tolist()
                lines = [lines[n] for n in fresh]
                offsets = [offsets[n] for n in fresh]
                digests = [digests[n] for n in fresh]
    rows, kept = [], []
    for number, (offset, line) in enumerate(zip(offsets, lines, strict=True)):
        try:
            record = store.parse(offset, line)
        except InvalidData as error:
            if not reading.skip_problems:
                raise
            part.problems.append((error.code, str(error)))
            continue
        if reading.accepts is None or reading.accepts(record.key, lambda record=record: record.body):  # type: ignore[misc]
            rows.append(Placed(record, offset))
            if digests:
                kept.append(digests[number])
    collector.take(rows, kept)


def _read_file(store: JsonlStore, reading: Reading, scratch: Path) -> list[Part]:
    store.check_not_empty()
    size = store.size_bytes
    if size < SPLIT_BYTES or not is_worthwhile():
        return [_read_lines(store, reading, scratch, "run", 0, None)]
    # Parsing is the larger half of a first commit and needs the interpreter: a second process takes half the file.
    quiet = replace(reading, advance=_ignore)
    with Beside(_read_half, store.address, quiet, scratch, size // 2) as second:
        # Both halves take about as long, so this one's progress counts for two.
        ours = replace(reading, advance=lambda amount: reading.advance(2 * amount))
        first = _read_lines(store, ours, scratch, "run-a", 0, size // 2)
        return [first, second.result()]


def _read_half(address: Address, reading: Reading, scratch: Path, start: int) -> Part:
    return _read_lines(JsonlStore.open(address), reading, scratch, "run-b", start, None)


def _ignore(amount: int) -> None:
    pass


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
    objects: ObjectStore, base: TreeRoot | None, intake: Intake, tally: Tally, accepts: Accepts | None = None
) -> Iterator[Edit]:
    """Yield the edits that turn the base into what was taken in, in key order; ``tally`` counts them.

    With ``accepts``, base records outside the selection stay.  Raises: InvalidData (duplicate-key).
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
            elif not seen[row] and (accepts is None or accepts(key, _body(reader, row))):
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
