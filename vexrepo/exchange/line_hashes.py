"""One pass over a vmig file: the hash of every record, and which lines are not what a signature can vouch for.

Memory holds 40 bytes a record, whatever the size of the file.  Large files are read in two processes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from vexrepo.errors import InvalidData, StoreError
from vexrepo.formats import canonical_line, vmig
from vexrepo.formats.signature_file import HASH_BYTES, record_hash
from vexrepo.objects import canonical as canonical_json
from vexrepo.objects.selection import component_of
from vexrepo.storage.beside import Beside, is_worthwhile

SPLIT_BYTES = 24 << 20  # files below this are read by one process
MOST_PROBLEMS = 1000  # kept in full; the others are counted
MOST_JUMPS = 64  # places where a file departs from what is expected that are followed up
NO_HASH = bytes(HASH_BYTES)  # stands for a line that has none

Advance = Callable[[int], None]
_TOLD_BYTES = 4 << 20
_CRLF, _LF = b"\r\n", b"\n"


class Problem(NamedTuple):
    """A line that a signature cannot vouch for."""

    line: int
    id: str
    code: str
    message: str


@dataclass
class LineHashes:
    """The hashes of a file's records in order, and the line each is in (from 1)."""

    hashes: bytearray = field(default_factory=bytearray)
    lines: array[int] = field(default_factory=lambda: array("Q"))
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    line_count: int = 0

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, later: LineHashes) -> None:
        """Take what was found in the part of the file after this one."""
        self.hashes += later.hashes
        self.lines.extend(line + self.line_count for line in later.lines)
        room = MOST_PROBLEMS - len(self.problems)
        self.problems += [each._replace(line=each.line + self.line_count) for each in later.problems[:room]]
        self.problem_count += later.problem_count
        self.line_count += later.line_count


@dataclass(frozen=True)
class _Part:
    """What to read: the lines that begin in [start, end)."""

    path: Path
    start: int
    end: int
    line_end: bytes
    compat: bool
    most_problems: int
    expected: bytes = b""


def read_line_hashes(
    path: Path,
    *,
    compat: bool,
    stop_early: bool = False,
    advance: Advance = lambda amount: None,
    expected: bytes = b"",
) -> LineHashes:
    """Read a file; with ``compat`` lines are taken as the original tool takes them.

    ``stop_early``: at the first problem.  ``expected`` are the hashes it should have, 32 bytes each: lines that have
    them take a quarter of the time.  Raises: StoreError (store-missing, store-unreadable, store-changed), InvalidData
    (too-long).
    """
    before = fingerprint(path)
    size = before[0]
    most = 1 if stop_early else MOST_PROBLEMS
    line_end = _line_end(path)
    if size < SPLIT_BYTES or not is_worthwhile():
        found = _read(_Part(path, 0, size, line_end, compat, most, expected), stop_early, advance)
    else:
        middle = size // 2
        with Beside(_read, _Part(path, middle, size, line_end, compat, most, expected), stop_early, _ignore) as second:
            # Both halves take about as long, so this one's progress counts for two.
            part = _Part(path, 0, middle, line_end, compat, most, expected)
            found = _read(part, stop_early, lambda amount: advance(2 * amount))
            if not (stop_early and found.problems):
                found.add(second.result())
            else:
                second.result()
    check_unchanged(path, before)
    return found


def check_unchanged(path: Path, before: tuple[int, int, int]) -> None:
    """Raise StoreError (store-changed) unless a file still has the fingerprint it had."""
    if fingerprint(path) != before:
        raise StoreError(f"{path} changed while it was being read; run the command again", code="store-changed")


def _ignore(amount: int) -> None:
    pass


def fingerprint(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file does: size, time, inode.

    Raises: StoreError (store-missing, store-unreadable).
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder; expected a .vmig.jsonl file", code="store-unreadable")
    try:
        status = path.stat()
    except FileNotFoundError:
        raise StoreError(f"there is no file {path}; check the path", code="store-missing") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", code="store-unreadable") from error
    return status.st_size, status.st_mtime_ns, status.st_ino


def _line_end(path: Path) -> bytes:
    """Return how the file ends its lines: as it ends the first."""
    for line in iter_lines(path, 0, 1):
        return _CRLF if line.endswith(_CRLF) else _LF
    return _LF


def iter_lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines that begin in [start, end), with their line ends.

    Raises: StoreError (store-unreadable), InvalidData (too-long).
    """
    try:
        with open(path, "rb", buffering=1 << 20) as file:
            at = start
            if start:
                file.seek(start - 1)
                at -= 1
                while piece := file.readline(1 << 20):
                    at += len(piece)
                    if piece.endswith(_LF):
                        break
            limit = end if end is not None else 1 << 62
            while at < limit:
                line = file.readline(vmig.MAX_LINE_BYTES + 1)
                if not line:
                    return
                if len(line) > vmig.MAX_LINE_BYTES:
                    raise InvalidData(
                        f"{path}: the line at byte {at} is longer than the limit of {vmig.MAX_LINE_BYTES} bytes",
                        code="too-long",
                    )
                at += len(line)
                yield line
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", code="store-unreadable") from error


class _Expected:
    """The hashes that lines should have, one after another; a few jumps are followed, then it gives up."""

    def __init__(self, hashes: bytes) -> None:
        self._hashes = hashes
        self._at = 0
        self._jumps = MOST_JUMPS if hashes else 0

    def has(self, line: bytes) -> bytes | None:
        """Return the hash of a line if it is one that is expected, None if that cannot be told."""
        if not self._jumps:
            return None
        supposed = canonical_line.supposed(line, points=False)
        if supposed is None:
            return None
        found, expected = record_hash(supposed), self._hashes[self._at : self._at + HASH_BYTES]
        if found != expected:
            again = canonical_line.supposed(line)
            found = record_hash(again) if again is not None else found
        if found != expected:
            self._jumps -= 1
            at = self._hashes.find(found)
            if at < 0 or at % HASH_BYTES:
                return None
            self._at = at
        self._at += HASH_BYTES
        return found


def _read(part: _Part, stop_early: bool, advance: Advance) -> LineHashes:
    found = LineHashes()
    hashes, lines, line_end = found.hashes, found.lines, part.line_end
    ordinary, expected = canonical_line.ordinary, _Expected(part.expected)
    number = untold = 0
    for raw in iter_lines(part.path, part.start, part.end):
        number += 1
        untold += len(raw)
        if untold >= _TOLD_BYTES:
            advance(untold)
            untold = 0
        line = raw.removesuffix(line_end)
        known = expected.has(line)
        if known is not None:
            hashes += known
            lines.append(number)
            continue
        canonical = ordinary(line)
        if canonical is None:
            canonical = _read_slowly(part, found, number, line)
            if canonical is None:
                if stop_early and found.problems:
                    break
                continue
        hashes += record_hash(canonical) if canonical else NO_HASH
        lines.append(number)
        if stop_early and found.problems:
            break
    advance(untold)
    found.line_count = number
    return found


def _read_slowly(part: _Part, found: LineHashes, number: int, line: bytes) -> bytes | None:
    """Return a line's canonical form, b"" if it has none, None for a blank line; note what is wrong with it."""
    canonical = b""
    try:
        canonical = canonical_line.canonical(line)
        if not canonical and not part.compat:
            raise canonical_line.unprotected("the line is blank")
        if not part.compat:
            canonical_line.check(line)
    except InvalidData as error:
        found.problem_count += 1
        if len(found.problems) < part.most_problems:
            found.problems.append(Problem(number, vmig.line_id(line), error.code, str(error)))
        return canonical or (None if error.code == "unprotected-spelling" else b"")
    return canonical or None


def read_ids(path: Path, numbers: set[int]) -> dict[int, str]:
    """Return the ids that the lines of these numbers (from 1) seem to have."""
    found: dict[int, str] = {}
    last = max(numbers, default=0)
    for number, line in enumerate(iter_lines(path), 1):
        if number > last:
            break
        if number in numbers:
            found[number] = vmig.line_id(line)
    return found


class Labels:
    """The namespaces and memory types of a file's records, "" where one has none or a line is no record.

    The file is read when the first is asked for, once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: set[tuple[str, str]] | None = None

    def namespaces(self) -> Iterator[str]:
        """Yield the namespaces."""
        yield from {namespace for namespace, _ in self._read()}

    def components(self) -> Iterator[str]:
        """Yield the memory types."""
        yield from {component for _, component in self._read()}

    def _read(self) -> set[tuple[str, str]]:
        if self._found is None:
            self._found = {_label(line) for line in iter_lines(self._path) if line.strip()}
        return self._found


def _label(line: bytes) -> tuple[str, str]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:  # it reads no integers above the range of a double
        try:
            value = canonical_json.parse(line.strip())
        except InvalidData:
            value = None
    if not isinstance(value, dict):
        return "", ""
    namespace = value.get("namespace")
    return namespace if isinstance(namespace, str) else "", component_of(value)
