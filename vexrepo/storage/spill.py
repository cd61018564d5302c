"""Sorting records that do not fit in memory: sorted runs on disk, merged as they are read.

A run is a scratch file of records in key order.  Runs can be written by several processes and merged by one.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vexrepo.errors import StorageFailure
from vexrepo.objects.digest import ID_BYTES, RecordId
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space, Vector
from vexrepo.storage.files import wrapped
from vexrepo.storage.freed import note_passed

RUN_BYTES = 24 << 20
MERGE_BYTES = 2 << 20  # read buffers of one merge, together
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


def read_run(run: Run, buffer_bytes: int) -> Iterator[list[Placed]]:
    """Yield the rows of a run in blocks of about ``buffer_bytes``, then remove its file."""
    spaces, head, vector_head = run.spaces, _ROW.size, _VECTOR.size
    unpack, unpack_vector = _ROW.unpack_from, _VECTOR.unpack_from
    rest, left, lacking = b"", run.records, 0  # of a row longer than a buffer, all that is lacking is read at once
    with wrapped("read", run.path), open(run.path, "rb", buffering=0) as file:
        while left:
            piece = file.read(max(buffer_bytes, lacking))
            if not piece:
                raise StorageFailure(f"the scratch file {run.path} ends early", code="disk-error")
            block, at, rows, lacking = rest + piece, 0, [], 0
            while len(block) - at >= head:
                size, key_size, body_size, vectors_count, place = unpack(block, at)
                end = at + size
                if end > len(block):
                    lacking = end - len(block)
                    break
                key_end = at + head + key_size
                body_at = key_end + ID_BYTES
                at = body_at + body_size
                vectors = []
                for _ in range(vectors_count):
                    number, row_size = unpack_vector(block, at)
                    at += vector_head + row_size
                    vectors.append(Vector(spaces[number], block[at - row_size : at]))
                key, identifier = block[key_end - key_size : key_end], RecordId(block[key_end:body_at])
                body = block[body_at : body_at + body_size]
                rows.append(Placed(Record(key, identifier, body, tuple(vectors)), place))
                at = end
            rest = block[at:]
            note_passed(at)
            left -= len(rows)
            if rows:
                yield rows
    run.path.unlink(missing_ok=True)


def _key(row: Placed) -> bytes:
    return row.record.key


def _block(size: int) -> mmap.mmap:
    """Return memory that nothing else lies in, so that all of it is given back at once; a fork has its own."""
    if hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)


def merge_runs(runs: list[Run]) -> Iterator[Placed]:
    """Yield the rows of all runs in key order."""
    buffer_bytes = max(1 << 16, min(1 << 20, MERGE_BYTES // max(len(runs), 1)))
    streams = [read_run(run, buffer_bytes) for run in runs if run.records]
    blocks = [next(stream) for stream in streams]
    while blocks:
        # Up to the least of the blocks' last keys everything is at hand.  Sorting what are a few sorted pieces is
        # several times as fast as merging row by row.
        bound = min(block[-1].record.key for block in blocks)
        batch: list[Placed] = []
        for number, block in enumerate(blocks):
            cut = bisect_right(block, bound, key=_key)
            batch += block[:cut]
            blocks[number] = block[cut:] or next(streams[number], [])
        if not all(blocks):
            kept = [(stream, block) for stream, block in zip(streams, blocks, strict=True) if block]
            streams, blocks = [stream for stream, _ in kept], [block for _, block in kept]
        batch.sort(key=_key)
        yield from batch


class Sorter:
    """Takes records in any order and gives them back in key order, by way of runs in ``folder``.

    What is held is one block of bytes: as many small objects among the lines being parsed would take thrice the memory.
    It is mapped, not taken from the heap, where growing it would leave a hole of each size that it had.
    """

    def __init__(self, folder: Path, prefix: str = "run", run_bytes: int = RUN_BYTES) -> None:
        self._folder = folder
        self._prefix = prefix
        self._run_bytes = run_bytes
        self._clear()
        self.runs: list[Run] = []
        self.count = 0
        self.body_bytes = 0
        self.vector_bytes = 0

    def _clear(self) -> None:
        self._held: mmap.mmap | None = None
        self._at = 0
        self._rows: list[tuple[bytes, int, int]] = []  # key, and where in the block its row is
        self._spaces: dict[Space, int] = {}
        self._body_bytes = 0
        self._vector_bytes = 0

    def add(self, record: Record, place: int) -> None:
        """Take one record."""
        key, identifier, body, vectors = record
        size = _ROW.size + len(key) + ID_BYTES + len(body)
        for _, row in vectors:
            size += _VECTOR.size + len(row)
        if self._held is not None and self._at + size > len(self._held):
            self.spill()
        if self._held is None:
            self._held = _block(max(self._run_bytes, size))
        parts = [_ROW.pack(size, len(key), len(body), len(vectors), place), key, identifier, body]
        for space, row in vectors:
            number = self._spaces.setdefault(space, len(self._spaces))
            parts += (_VECTOR.pack(number, len(row)), row)
            self._vector_bytes += len(row)
        self._body_bytes += len(body) + len(key) + 40
        start, self._at = self._at, self._at + size
        self._held[start : self._at] = b"".join(parts)
        self._rows.append((key, start, self._at))

    def spill(self) -> None:
        """Write what is held as a run."""
        if self._held is None:
            return
        path = self._folder / f"{self._prefix}-{len(self.runs)}"
        self._rows.sort()  # of one key, in the order they came
        with wrapped("write", path), open(path, "wb", buffering=1 << 20) as file, memoryview(self._held) as held:
            for _, start, end in self._rows:
                file.write(held[start:end])
        self.adopt([Run(path, list(self._spaces), len(self._rows), self._body_bytes, self._vector_bytes)])
        self._clear()

    def adopt(self, runs: Iterable[Run]) -> None:
        """Take over runs that another process wrote."""
        for run in runs:
            self.runs.append(run)
            self.count += run.records
            self.body_bytes += run.body_bytes
            self.vector_bytes += run.vector_bytes

    def sorted(self) -> Iterator[Placed]:
        """Yield everything in key order; the sorter is used up."""
        self.spill()
        return merge_runs(self.runs)
