"""Remembers which raw bytes of a store gave which record: a line of a file, a row of a table that is not read again.

A cache and no more: local, untracked, bound to its own checksum.  A damaged or missing one costs time only, and so does
one that was made of a store addressed or laid out in another way.  Layout: magic, what it is bound to, count, rows of
the digest of some bytes and the id of their record (32 bytes each), BLAKE3 of all before.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from vexrepo import __version__
from vexrepo.errors import StorageFailure
from vexrepo.history.baseline import IdTable
from vexrepo.objects.digest import ID_BYTES, RecordId, checksum
from vexrepo.storage.files import Files
from vexrepo.storage.rows import BLOCK_ROWS, MappedRows, RowFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC: Final = b"VEXRAWS1"
DIGEST_BYTES: Final = 32
ROW_BYTES: Final = DIGEST_BYTES + ID_BYTES
LONG_BYTES: Final = 8 << 10  # from here on BLAKE3 is the quicker one
_HEAD = struct.Struct("<8s32sQ")
_SUM_BYTES = 32


def digest_of(raw: bytes | memoryview) -> bytes:
    """Return the digest of the raw bytes of a record.

    256 bits, so that nobody who writes to a store finds two pieces that pass for each other: of 128 they would have to
    try 2^64.  By SHA-256, which processors have instructions for, where they are few: of 2 kB BLAKE3 takes twice the
    time.
    """
    return sha256(raw).digest() if len(raw) < LONG_BYTES else blake3(raw).digest()


def binding(decided_by: Sequence[str]) -> bytes:
    """Return the digest of all that decides, beside its bytes, which record a piece is.

    That is what the scan says of the store and how it is asked (``RawScan.decided_by``), the form of record ids, and
    the version of vexrepo, whose reading may change.
    """
    return checksum(repr((RecordId.header, __version__, *decided_by)).encode())


def path_for(folder: Path, address: str) -> Path:
    """Return where the cache of a store is kept."""
    return folder / f"lines-{checksum(address.encode()).hex()[:16]}"


class KnownRaws:
    """The pieces of a cache, with where in a base the record of each is.  Memory: 16 bytes a piece."""

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
        """Return where in the base the record of each piece is, -1 if it is not known, and the rows of those known."""
        import numpy as np

        found = self._table.match(digests)
        places = np.full(len(found), -1, np.int64)
        listed = found >= 0
        places[listed] = self._positions[found[listed]]
        return places, self._rows.take(found[places >= 0]).tobytes()


def read(path: Path, bound_to: bytes) -> MappedRows | None:
    """Return the rows of a cache, None if there is no usable one that is bound to this."""
    hasher = blake3()
    try:
        with open(path, "rb") as file:
            magic, bound, count = _HEAD.unpack(file.read(_HEAD.size))
            left = _HEAD.size + ROW_BYTES * count
            if magic != MAGIC or bound != bound_to or file.seek(0, os.SEEK_END) != left + _SUM_BYTES:
                return None
            file.seek(0)
            while left and (block := file.read(min(1 << 20, left))):
                hasher.update(block)
                left -= len(block)
            return MappedRows(path, ROW_BYTES, count, _HEAD.size) if hasher.digest() == file.read() else None
    except (OSError, StorageFailure, struct.error):
        return None


def write(files: Files, path: Path, bound_to: bytes, raws: Sequence[RowFile]) -> None:
    """Keep what was learned; failing to is not an error."""

    def content() -> Iterator[bytes]:
        hasher = blake3()
        head = _HEAD.pack(MAGIC, bound_to, sum(part.count for part in raws))
        hasher.update(head)
        yield head
        for part in raws:
            for block in part.blocks():
                hasher.update(block)
                yield block
        yield hasher.digest()

    try:
        files.make_folder(path.parent)
        files.write(path, content())
    except StorageFailure:
        with contextlib.suppress(OSError):
            path.unlink()
