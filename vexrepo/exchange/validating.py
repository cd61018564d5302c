"""Checks every record of a vmig file or store and says all that is wrong; memory grows by 16 bytes a record."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vexrepo.errors import InvalidData, StoreError
from vexrepo.formats import vmig
from vexrepo.formats.validation import Checked, Finding, check_line, check_record, severity
from vexrepo.objects.record import split_key
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.storage.beside import Beside, is_worthwhile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLIT_BYTES = 48 << 20  # files below this are read by one process
LISTED = 20
NAMED_GROUPS = 10_000  # repeated ids beyond these are counted by their hashes
_BOM = b"\xef\xbb\xbf"
_NO_KEY = bytes(8)

Advance = Callable[[int], None]


class Problem(NamedTuple):
    """One thing to say about one place: a line number, or what ``Store.place`` understands."""

    place: int
    code: str
    message: str
    id: str = ""


@dataclass
class Report:
    """What a validation found.  ``counts`` has every finding by code, ``first`` the first of each code.

    ``errors`` are the first ones, in order; ``where`` turns a place into words.
    """

    strict: bool
    limit: int
    records: int = 0
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Problem] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    where: Callable[[int], str] = "line {}".format

    @property
    def is_valid(self) -> bool:
        """Whether there is no error."""
        return self.total("error") == 0

    def total(self, level: str) -> int:
        """Return how many findings are "error", "warning" or "note"."""
        return sum(count for code, count in self.counts.items() if self.severity(code) == level)

    def severity(self, code: str) -> str:
        """Return "error", "warning" or "note"."""
        return severity(code, strict=self.strict)

    def codes(self, level: str) -> list[str]:
        """Return the codes found of a level, the most frequent first."""
        return [code for code, _ in self.counts.most_common() if self.severity(code) == level]


@dataclass
class _Part:
    """What one reader found; ``keys`` and ``ids`` have 8 bytes for each line that is not blank, zeros without a key."""

    strict: bool
    limit: int
    records: int = 0
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Problem] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    keys: bytearray = field(default_factory=bytearray)
    ids: bytearray = field(default_factory=bytearray)

    def take(self, place: int, checked: Checked, name: Callable[[], str]) -> None:
        """Take one checked record; ``name`` gives the id it seems to have where it has no key."""
        self.records += 1
        if checked.key is None:
            self.keys += _NO_KEY
            self.ids += _NO_KEY
        else:
            space, identifier = checked.key
            name = identifier.__str__
            raw = identifier.encode()
            self.ids += _hash(raw)
            self.keys += _hash(space.encode() + b"\0" + raw)
        for code, message in checked.findings:
            self.note(place, code, message, name)

    def note(self, place: int, code: str, message: str, name: Callable[[], str] = str) -> None:
        """Count one finding and keep it if it is among the first."""
        self.counts[code] += 1
        is_listed = len(self.errors) < self.limit and severity(code, strict=self.strict) == "error"
        if is_listed or code not in self.first:
            problem = Problem(place, code, message, name())
            self.first.setdefault(code, problem)
            if is_listed:
                self.errors.append(problem)


def _hash(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=8).digest()


def validate(
    store: Store, *, strict: bool = False, limit: int = LISTED, advance: Advance = lambda amount: None
) -> Report:
    """Return what is wrong with a store; ``limit`` errors are listed, all are counted.

    ``advance`` is told bytes of a file or records of another store.  Raises: StoreError (store-unreadable,
    store-changed, …).
    """
    before = store.describe().fingerprint
    if isinstance(store, JsonlStore):
        parts = _read_file(store, strict, limit, advance)
        rows = _line_rows(store)
    else:
        parts = [_read_store(store, strict, limit, advance)]
        rows = _store_rows(store)
    report = _merge(parts, strict, limit)
    if isinstance(store, JsonlStore):
        report.where = "line {}".format
        if not report.records:
            _check_empty(store, report)
    else:
        report.where = store.place
    repeats = _find_repeats(parts)
    if repeats is not None:
        _name_repeats(report, repeats, rows)
    if before is not None and not store.reads_snapshot and store.describe().fingerprint != before:
        raise StoreError(
            f"{store.address} changed while it was being read; run the command again", code="store-changed"
        )
    return report


def _merge(parts: list[_Part], strict: bool, limit: int) -> Report:
    """Return one report; line numbers of a part begin after the lines of the one before."""
    report = Report(strict, limit)
    for part in parts:
        for code, problem in part.first.items():
            report.first.setdefault(code, problem._replace(place=problem.place + report.lines))
        moved = [problem._replace(place=problem.place + report.lines) for problem in part.errors]
        report.errors = (report.errors + moved)[:limit]
        report.counts += part.counts
        report.records += part.records
        report.lines += part.lines
    return report


# -- files ---------------------------------------------------------------------------------------------------------


def _read_file(store: JsonlStore, strict: bool, limit: int, advance: Advance) -> list[_Part]:
    size = store.size_bytes
    if size < SPLIT_BYTES or not is_worthwhile():
        return [_read_lines(store, strict, limit, 0, None, advance)]
    with Beside(_read_half, store, strict, limit, size // 2) as second:
        # Both halves take about as long, so this one's progress counts for two.
        first = _read_lines(store, strict, limit, 0, size // 2, lambda amount: advance(2 * amount))
        return [first, second.result()]


def _read_half(store: JsonlStore, strict: bool, limit: int, start: int) -> _Part:
    return _read_lines(store, strict, limit, start, None, lambda amount: None)


def _read_lines(store: JsonlStore, strict: bool, limit: int, start: int, end: int | None, advance: Advance) -> _Part:
    part = _Part(strict, limit)
    held = 0
    for number, line, is_last in _iter_lines(store, start, end):
        part.lines = number
        held += len(line)
        if held >= 1 << 20:
            advance(held)
            held = 0
        if start == 0 and number == 1 and line.startswith(_BOM):
            line = line[3:]
            part.note(1, "byte-order-mark", "the file begins with a byte order mark; the format wants plain UTF-8")
        if line[-2:] == b"\r\n":
            part.note(number, "carriage-return", "the line ends with a carriage return; the format wants LF alone")
        if line.isspace() or not line:
            part.note(number, "blank-line", "a blank line")
            continue
        checked = _check(line, is_last)
        part.take(number, checked, lambda line=line: vmig.line_id(line))  # type: ignore[misc]
    advance(held)
    return part


def _check(line: bytes, is_last: bool) -> Checked:
    if len(line) > vmig.MAX_LINE_BYTES:
        return Checked(None, (Finding("too-long", f"longer than the limit of {vmig.MAX_LINE_BYTES} bytes"),))
    checked = check_line(line)
    if is_last and checked.findings and checked.findings[0].code == "not-json" and not line.endswith(b"\n"):
        words = f"the file ends in the middle of this line ({checked.findings[0].message}); was it copied completely?"
        return Checked(None, (Finding("truncated-line", words),))
    return checked


def _iter_lines(store: JsonlStore, start: int, end: int | None) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (number from 1, line, whether the file ends with it) of the lines that begin in [start, end).

    Of a line above the limit, only as much as shows that is given.
    """
    limit = end if end is not None else 1 << 62
    try:
        with open(store.path, "rb", buffering=1 << 20) as file:
            at = start
            if start:
                file.seek(start - 1)
                at += _skip_line(file.readline) - 1
            number = 0
            while at < limit:
                line = file.readline(vmig.MAX_LINE_BYTES + 1)
                if not line:
                    return
                number += 1
                at += len(line)
                if len(line) > vmig.MAX_LINE_BYTES and not line.endswith(b"\n"):
                    at += _skip_line(file.readline)
                yield number, line, not line.endswith(b"\n")
    except OSError as error:
        raise StoreError(f"cannot read {store.path}: {error.strerror}", code="store-unreadable") from error


def _skip_line(readline: Callable[[int], bytes]) -> int:
    """Read to the end of a line and return how many bytes that took."""
    size = 0
    while piece := readline(1 << 20):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _check_empty(store: JsonlStore, report: Report) -> None:
    try:
        store.check_not_empty()
    except InvalidData as error:
        report.counts[error.code] += 1
        report.errors.append(Problem(1, error.code, "the file holds no record"))
        report.first[error.code] = report.errors[-1]


# -- other stores --------------------------------------------------------------------------------------------------


def _read_store(store: Store, strict: bool, limit: int, advance: Advance) -> _Part:
    part = _Part(strict, limit)

    def report(error: InvalidData) -> None:
        part.records += 1
        part.note(-1, error.code, str(error))

    for batch in store.scan(report):
        for item in batch:
            part.take(item.place, check_record(item.record), str)
        advance(len(batch))
    return part


# -- repeated ids --------------------------------------------------------------------------------------------------

Rows = Iterator[tuple[int, Callable[[], "tuple[str, str] | None"]]]


class _Repeats(NamedTuple):
    """Rows that share an id with others: which to look at, and what the others come to by their hashes."""

    looked_at: NDArray[np.bool_]
    keys_beyond: int
    ids_beyond: int


def _find_repeats(parts: list[_Part]) -> _Repeats | None:
    """Return which rows may repeat an id, None if none does."""
    import numpy as np

    ids = np.concatenate([np.frombuffer(part.ids, np.uint64) for part in parts])
    ordered = np.sort(ids)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    twice = twice[twice != 0]
    if not len(twice):
        return None
    rows = np.flatnonzero(np.isin(ids, twice))
    _, firsts = np.unique(ids[rows], return_index=True)
    kept = ids[rows[np.sort(firsts)[:NAMED_GROUPS]]]
    looked_at = np.isin(ids, kept)
    keys = np.concatenate([np.frombuffer(part.keys, np.uint64) for part in parts])
    beyond = rows[~looked_at[rows]]
    distinct = len(np.unique(keys[beyond]))
    return _Repeats(looked_at, len(beyond) - distinct, distinct - len(np.unique(ids[beyond])))


def _name_repeats(report: Report, repeats: _Repeats, rows: Rows) -> None:
    """Read the rows again, look at those that share an id, and add what is found to the report."""
    last = int(repeats.looked_at.nonzero()[0][-1])
    seen: dict[str, dict[str, int]] = {}
    found: list[Problem] = []
    for number, (place, key_of) in enumerate(rows):
        if repeats.looked_at[number]:
            key = key_of()
            if key is not None:
                problem = _repeat(report, seen.setdefault(key[1], {}), place, *key)
                if problem is not None:
                    report.counts[problem.code] += 1
                    found.append(problem)
        if number == last:
            break
    report.counts["duplicate-key"] += repeats.keys_beyond
    report.counts["id-in-two-namespaces"] += repeats.ids_beyond
    report.counts += Counter()  # drops zeros
    for problem in found:
        report.first.setdefault(problem.code, problem)
    errors = [problem for problem in found if report.severity(problem.code) == "error"]
    report.errors = sorted(report.errors + errors, key=lambda problem: problem.place)[: report.limit]


def _repeat(report: Report, spaces: dict[str, int], place: int, space: str, identifier: str) -> Problem | None:
    """Note that a namespace has an id; return what is wrong with that."""
    if space in spaces:
        words = f"repeats the id of {report.where(spaces[space])}; ids must be unique within a namespace"
        return Problem(place, "duplicate-key", words, identifier)
    other = next(iter(spaces.items()), None)
    spaces[space] = place
    if other is None:
        return None
    words = f"namespace {space!r:.40} has the id that {report.where(other[1])} has in namespace {other[0]!r:.40}"
    return Problem(place, "id-in-two-namespaces", words, identifier)


def _line_rows(store: JsonlStore) -> Rows:
    for number, line, _ in _iter_lines(store, 0, None):
        if number == 1:
            line = line.removeprefix(_BOM)
        if line and not line.isspace():
            yield number, lambda line=line: check_line(line).key  # type: ignore[misc]


def _store_rows(store: Store) -> Rows:
    for batch in store.scan(lambda error: None):
        for item in batch:
            yield item.place, lambda item=item: split_key(item.record.key)  # type: ignore[misc]
