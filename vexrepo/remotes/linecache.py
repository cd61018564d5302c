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


def read(path: Path) -> tuple[bytes, bytes]:
    """Return (line digests, record ids), both empty if there is no usable cache."""
    try:
        raw = path.read_bytes()
    except OSError:
        return b"", b""
    if len(raw) < _HEAD.size + 32 or checksum(memoryview(raw)[:-32]) != raw[-32:]:
        return b"", b""
    magic, count = _HEAD.unpack_from(raw)
    middle = _HEAD.size + DIGEST_BYTES * count
    if magic != MAGIC or len(raw) != middle + 32 * count + 32:
        return b"", b""
    return raw[_HEAD.size : middle], raw[middle:-32]


def write(files: Files, path: Path, digests: bytes, ids: bytes) -> None:
    """Keep what was learned; failing to is not an error."""
    raw = _HEAD.pack(MAGIC, len(digests) // DIGEST_BYTES) + digests + ids
    try:
        files.make_folder(path.parent)
        files.write(path, raw + checksum(raw))
    except StorageFailure:
        path.unlink(missing_ok=True)
