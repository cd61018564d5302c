"""Rows of one size in a file: appended, then read in blocks or looked up through a map; memory holds only a few."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vexrepo.errors import StorageFailure
from vexrepo.storage.files import wrapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_ROWS = 1 << 14


class RowFile:
    """A scratch file of rows.  To another process it goes, once closed, as its path and count."""

    def __init__(self, path: Path, width: int, count: int = 0) -> None:
        """Begin a file, or with ``count`` read the first rows of one that is there."""
        self.path = path
        self.width = width
        self.count = count
        self._file: IO[bytes] | None = None

    def append(self, rows: bytes) -> None:
        """Add some rows."""
        with wrapped("write", self.path):
            if self._file is None:
                self._file = open(self.path, "wb", buffering=1 << 16)  # noqa: SIM115 - closed in close
            self._file.write(rows)
        self.count += len(rows) // self.width

    def flush(self) -> None:
        """Hand to the system what was added so far."""
        if self._file is not None:
            with wrapped("write", self.path):
                self._file.flush()

    def close(self) -> None:
        """End writing; only then can rows be read."""
        if self._file is not None:
            with wrapped("write", self.path):
                self._file.close()
            self._file = None

    def blocks(self) -> Iterator[bytes]:
        """Yield all rows in order, some at a time."""
        left = self.count * self.width
        if not left:
            return
        with wrapped("read", self.path), open(self.path, "rb") as file:
            while left:
                block = file.read(min(left, BLOCK_ROWS * self.width))
                if not block:
                    raise StorageFailure(f"the scratch file {self.path} ends early", code="disk-error")
                left -= len(block)
                yield block

    def mapped(self) -> MappedRows:
        """Return all rows for look-ups."""
        return MappedRows(self.path, self.width, self.count)


class MappedRows:
    """Rows of a file that never changes, as 64-bit words: ``words`` is (count, width / 8), mapped, not read."""

    def __init__(self, path: Path, width: int, count: int, start: int = 0) -> None:
        import numpy as np

        self._source = path, width, count, start
        self._map: mmap.mmap | None = None
        words = np.zeros(0, "<u8")
        if count:
            with wrapped("read", path), open(path, "rb") as file:
                try:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    words = np.frombuffer(self._map, "<u8", count * width // 8, start)
                except OSError:  # some file systems have no maps
                    words = np.fromfile(file, "<u8", count * width // 8, offset=start)
        self.words: NDArray[np.uint64] = words.reshape(-1, width // 8)

    def __reduce__(self) -> tuple[type[MappedRows], tuple[Path, int, int, int]]:
        """Go to a process that is no fork of this one as where the rows are: maps do not."""
        return type(self), self._source

    def __len__(self) -> int:
        return len(self.words)

    def take(self, positions: NDArray[np.integer]) -> NDArray[np.uint64]:
        """Return a copy of the rows at some positions."""
        found: NDArray[np.uint64] = self.words[positions]
        self.release()
        return found

    def release(self) -> None:
        """Give back the memory of what was looked at; the system keeps it cached as it sees fit."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
