"""Sorting records that do not fit in memory: sorted runs on disk, merged as they are read.

A run is a scratch file of records in key order.  Runs can be written by several processes and merged by one.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vexrepo.errors import StorageFailure
from vexrepo.objects.digest import RecordId
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space, Vector
from vexrepo.storage.files import wrapped

RUN_BYTES = 24 << 20
MERGE_BYTES = 8 << 20  # read buffers of one merge, together
_ROW = struct.Struct("<QIIIQ")  # whole size, key, body, number of vectors, place
_VECTOR = struct.Struct("<II")  # space number, row bytes


class Placed(NamedTuple):
    """A record and where its source has it.  Sorts by key."""

    record: Record
    place: int


class Run(NamedTuple):
    """A written run: its file, the spaces its rows refer to, and what it holds."""

    path: Path
    spaces: list[Space]
    records: int
    body_bytes: int
    vector_bytes: int


def write_run(path: Path, rows: list[Placed]) -> Run:
    """Sort rows by key and write them as a run."""
    rows.sort(key=_key)
    numbers: dict[Space, int] = {}
    body_bytes = vector_bytes = 0
    with wrapped("write", path), open(path, "wb", buffering=1 << 20) as file:
        for record, place in rows:
            vectors = record.vectors
            parts = [b"", record.key, record.id, record.body]
            size = _ROW.size + len(record.key) + 32 + len(record.body)
            for item in vectors:
                number = numbers.setdefault(item.space, len(numbers))
                parts += (_VECTOR.pack(number, len(item.row)), item.row)
                vector_bytes += len(item.row)
                size += _VECTOR.size + len(item.row)
            parts[0] = _ROW.pack(size, len(record.key), len(record.body), len(vectors), place)
            body_bytes += len(record.body) + len(record.key) + 40
            file.write(b"".join(parts))
    return Run(path, list(numbers), len(rows), body_bytes, vector_bytes)


def read_run(run: Run, buffer_bytes: int) -> Iterator[Placed]:
    """Yield the rows of a run, then remove its file."""
    spaces, head, vector_head = run.spaces, _ROW.size, _VECTOR.size
    unpack, unpack_vector = _ROW.unpack_from, _VECTOR.unpack_from
    with open(run.path, "rb", buffering=0) as file:
        block, at = b"", 0

        def more(size: int) -> tuple[bytes, int]:
            """Return a block with at least ``size`` bytes from the current place on."""
            parts, held = [block[at:]], len(block) - at
            while held < size:
                piece = file.read(max(buffer_bytes, size - held))
                if not piece:
                    raise StorageFailure(f"the scratch file {run.path} ends early", code="disk-error")
                parts.append(piece)
                held += len(piece)
            return b"".join(parts), 0

        for _ in range(run.records):
            if len(block) - at < head:
                block, at = more(head)
            size, key_size, body_size, vectors_count, place = unpack(block, at)
            if len(block) - at < size:
                block, at = more(size)
            end = at + size
            at += head
            key = block[at : at + key_size]
            at += key_size
            identifier = RecordId(block[at : at + 32])
            at += 32
            body = block[at : at + body_size]
            at += body_size
            vectors = []
            for _ in range(vectors_count):
                number, row_size = unpack_vector(block, at)
                at += vector_head
                vectors.append(Vector(spaces[number], block[at : at + row_size]))
                at += row_size
            assert at == end
            yield Placed(Record(key, identifier, body, tuple(vectors)), place)
    run.path.unlink(missing_ok=True)


def _key(row: Placed) -> bytes:
    return row.record.key


def merge_runs(runs: list[Run]) -> Iterator[Placed]:
    """Yield the rows of all runs in key order."""
    buffer_bytes = max(1 << 16, min(1 << 20, MERGE_BYTES // max(len(runs), 1)))
    streams = [read_run(run, buffer_bytes) for run in runs]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=_key)


class Sorter:
    """Takes records in any order and gives them back in key order, spilling to ``folder`` when many."""

    def __init__(self, folder: Path, prefix: str = "run", run_bytes: int = RUN_BYTES) -> None:
        self._folder = folder
        self._prefix = prefix
        self._run_bytes = run_bytes
        self._rows: list[Placed] = []
        self._held = 0
        self.runs: list[Run] = []
        self.count = 0
        self.body_bytes = 0
        self.vector_bytes = 0

    def add(self, record: Record, place: int) -> None:
        """Take one record."""
        self._rows.append(Placed(record, place))
        self.count += 1
        body = len(record.body) + len(record.key) + 40
        self.body_bytes += body
        self._held += body
        for item in record.vectors:
            size = len(item.row)
            self.vector_bytes += size
            self._held += size
        if self._held >= self._run_bytes:
            self.spill()

    def spill(self) -> None:
        """Write what is held as a run."""
        if self._rows:
            self.runs.append(write_run(self._folder / f"{self._prefix}-{len(self.runs)}", self._rows))
            self._rows, self._held = [], 0

    def adopt(self, runs: Iterable[Run]) -> None:
        """Take over runs that another process wrote."""
        for run in runs:
            self.runs.append(run)
            self.count += run.records
            self.body_bytes += run.body_bytes
            self.vector_bytes += run.vector_bytes

    def sorted(self) -> Iterator[Placed]:
        """Yield everything in key order; the sorter is used up."""
        if not self.runs:
            self._rows.sort(key=_key)
            rows, self._rows = self._rows, []
            return iter(rows)
        self.spill()
        return merge_runs(self.runs)
