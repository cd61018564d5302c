"""Remembers which line of a file gave which record, so that unchanged lines need not be parsed again.

A cache and no more: local, untracked, bound to its own checksum.  A damaged or missing one costs time only.
Layout: magic, count, 16 byte line digests, 32 byte record ids, BLAKE3 of all before.
"""

from __future__ import annotations

import struct
from pathlib import Path

from blake3 import blake3

from vexrepo.errors import StorageFailure
from vexrepo.objects.digest import checksum
from vexrepo.storage.files import Files

MAGIC = b"VEXLINE1"
DIGEST_BYTES = 16
_HEAD = struct.Struct("<8sQ")


def line_digest(line: bytes) -> bytes:
    """Return the 128-bit digest of a line."""
    return blake3(line).digest(DIGEST_BYTES)


def path_for(folder: Path, address: str) -> Path:
    """Return where the cache of a store is kept."""
    return folder / f"lines-{checksum(address.encode()).hex()[:16]}"


def read(path: Path) -> tuple[memoryview, memoryview]:
    """Return (line digests, record ids), both empty if there is no usable cache."""
    nothing = memoryview(b"")
    try:
        raw = memoryview(path.read_bytes())
    except OSError:
        return nothing, nothing
    if len(raw) < _HEAD.size + 32 or checksum(raw[:-32]) != raw[-32:]:
        return nothing, nothing
    magic, count = _HEAD.unpack_from(raw)
    middle = _HEAD.size + DIGEST_BYTES * count
    if magic != MAGIC or len(raw) != middle + 32 * count + 32:
        return nothing, nothing
    return raw[_HEAD.size : middle], raw[middle:-32]


def write(files: Files, path: Path, digests: list[bytes], ids: list[bytes]) -> None:
    """Keep what was learned, given in pieces; failing to is not an error."""
    count = sum(map(len, digests)) // DIGEST_BYTES
    pieces = [_HEAD.pack(MAGIC, count), *digests, *ids]
    pieces.append(checksum(*pieces))
    try:
        files.make_folder(path.parent)
        files.write(path, b"".join(pieces))
    except StorageFailure:
        path.unlink(missing_ok=True)
