"""Remembers which line of a file gave which record, so that unchanged lines need not be parsed again.

A cache and no more: local, untracked, bound to its own checksum.  A damaged or missing one costs time only.
Layout: magic, count, rows of a 16 byte line digest and a 32 byte record id, BLAKE3 of all before.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from vexrepo.errors import StorageFailure
from vexrepo.history.baseline import IdTable
from vexrepo.objects.digest import ID_BYTES, checksum
from vexrepo.storage.files import Files
from vexrepo.storage.rows import BLOCK_ROWS, MappedRows, RowFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"VEXLINE2"
DIGEST_BYTES = 16
ROW_BYTES = DIGEST_BYTES + ID_BYTES
_HEAD = struct.Struct("<8sQ")
_SUM_BYTES = 32


def line_digest(line: bytes) -> bytes:
    """Return the 128-bit digest of a line."""
    return blake3(line).digest(DIGEST_BYTES)


def path_for(folder: Path, address: str) -> Path:
    """Return where the cache of a store is kept."""
    return folder / f"lines-{checksum(address.encode()).hex()[:16]}"


class KnownLines:
    """The lines of a cache, with where in a base the record of each is.  Memory: 16 bytes a line."""

    def __init__(self, rows: MappedRows, base: IdTable) -> None:
        import numpy as np

        self._rows = rows
        self._table = IdTable(rows, DIGEST_BYTES)
        self._positions = np.empty(len(rows), np.int32)
        for start in range(0, len(rows), BLOCK_ROWS):
            ids = rows.words[start : start + BLOCK_ROWS, DIGEST_BYTES // 8 :].tobytes()
            self._positions[start : start + BLOCK_ROWS] = base.match(ids)
            rows.release()

    def match(self, digests: bytes) -> tuple[NDArray[np.int64], bytes]:
        """Return where in the base the record of each line is, -1 if it is not known, and the rows of those known."""
        import numpy as np

        found = self._table.match(digests)
        places = np.full(len(found), -1, np.int64)
        listed = found >= 0
        places[listed] = self._positions[found[listed]]
        return places, self._rows.take(found[places >= 0]).tobytes()


def read(path: Path) -> MappedRows | None:
    """Return the rows of a cache, None if there is no usable one."""
    hasher = blake3()
    try:
        with open(path, "rb") as file:
            magic, count = _HEAD.unpack(file.read(_HEAD.size))
            left = _HEAD.size + ROW_BYTES * count
            if magic != MAGIC or file.seek(0, os.SEEK_END) != left + _SUM_BYTES:
                return None
            file.seek(0)
            while left and (block := file.read(min(1 << 20, left))):
                hasher.update(block)
                left -= len(block)
            return MappedRows(path, ROW_BYTES, count, _HEAD.size) if hasher.digest() == file.read() else None
    except (OSError, StorageFailure, struct.error):
        return None


def write(files: Files, path: Path, lines: list[RowFile]) -> None:
    """Keep what was learned; failing to is not an error."""

    def content() -> Iterator[bytes]:
        hasher = blake3()
        head = _HEAD.pack(MAGIC, sum(part.count for part in lines))
        hasher.update(head)
        yield head
        for part in lines:
            for block in part.blocks():
                hasher.update(block)
                yield block
        yield hasher.digest()

    try:
        files.make_folder(path.parent)
        files.write(path, content())
    except StorageFailure:
        path.unlink(missing_ok=True)
