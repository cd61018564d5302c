"""How a payload is stored: compressed, or as the difference from another object.

Choices here change sizes and speeds, never ids.  Format: objects/FORMAT.md, "Codecs".
"""

from __future__ import annotations

import struct
import sys
import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import zstandard

from vexrepo.errors import InvalidData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ZSTD_LEVEL = 3
SMALL = 64  # payloads below this many bytes are stored as they are
FEW_BYTES = 1 << 21  # up to which numpy is not worth being loaded for


class Codec(IntEnum):
    """The stored forms; the numbers are on disk."""

    RAW = 0
    ZSTD = 1
    SHUFFLE4 = 2  # bytes grouped by significance, 4 a number, then zstd
    SHUFFLE8 = 3
    PREFIX = 4  # zstd with the base object as raw-content prefix
    ROWS = 5  # runs of rows copied from the base, the others given


IS_DELTA = frozenset((Codec.PREFIX, Codec.ROWS))
IS_SHUFFLED = frozenset((Codec.SHUFFLE4, Codec.SHUFFLE8))

# Real embeddings hold nothing to match, only exponents to entropy-code: a 64-entry hash table and long minimum
# matches leave zstd to its entropy coder, twice as fast as level 1 and 1 % smaller.
_ENTROPY_ONLY: dict[str, Any] = {
    "window_log": 21,
    "chain_log": 6,
    "hash_log": 6,
    "search_log": 1,
    "min_match": 7,
    "target_length": 0,
    "strategy": zstandard.STRATEGY_FAST,
}
_local = threading.local()
_RUN = struct.Struct("<III")
_COUNT = struct.Struct("<II")


def _bodies_compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "bodies"):
        _local.bodies = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=False)
    found: zstandard.ZstdCompressor = _local.bodies
    return found


def _numbers_compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "numbers"):
        _local.numbers = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters(**_ENTROPY_ONLY)
        )
    found: zstandard.ZstdCompressor = _local.numbers
    return found


def _decompress(stored: bytes | memoryview, size: int, prefix: bytes | None = None) -> bytes:
    try:
        if prefix is None:
            if not hasattr(_local, "plain"):
                _local.plain = zstandard.ZstdDecompressor()
            decompressor = _local.plain
        else:
            dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)
        # The frame states its size: a bomb is refused before anything is allocated.
        if zstandard.frame_content_size(stored) != size:
            raise InvalidData("a stored object states another size than its index entry", code="object-corrupt")
        raw: bytes = decompressor.decompress(stored)
    except zstandard.ZstdError as error:
        raise InvalidData(f"a stored object does not decompress: {error}", code="object-corrupt") from None
    if len(raw) != size:
        raise InvalidData("a stored object has another size than its index entry", code="object-corrupt")
    return raw


def encode(payload: bytes | bytearray, item_bytes: int = 0) -> tuple[Codec, bytes]:
    """Return the stored form of a payload on its own.  ``item_bytes`` (4 or 8) says it is a matrix of numbers."""
    if len(payload) < SMALL:
        return Codec.RAW, bytes(payload)
    if item_bytes:
        stored = _numbers_compressor().compress(_shuffle(payload, item_bytes))
        return (Codec.SHUFFLE4 if item_bytes == 4 else Codec.SHUFFLE8), stored
    stored = _bodies_compressor().compress(payload)
    return (Codec.ZSTD, stored) if len(stored) < len(payload) else (Codec.RAW, bytes(payload))


def encode_prefix(payload: bytes | bytearray, base: bytes) -> bytes:
    """Return a payload compressed with ``base`` as raw-content prefix."""
    # With default parameters the tables are too small for prefixes past ~200 KB and the matches are lost.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, window_log=24, hash_log=20, chain_log=20, source_size=len(payload), dict_size=len(base)
    )
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(payload)


def decode(codec: int, stored: bytes | memoryview, size: int, base: bytes | None = None) -> bytes:
    """Return the payload of a stored form, exactly ``size`` bytes.  Raises: InvalidData (object-corrupt)."""
    match codec:
        case Codec.RAW:
            raw = bytes(stored)
        case Codec.ZSTD:
            raw = _decompress(stored, size)
        case Codec.SHUFFLE4:
            raw = _unshuffle(_decompress(stored, size), 4)
        case Codec.SHUFFLE8:
            raw = _unshuffle(_decompress(stored, size), 8)
        case Codec.PREFIX if base is not None:
            raw = _decompress(stored, size, base)
        case Codec.ROWS if base is not None:
            raw = _decode_rows(stored, base, size)
        case _:
            raise InvalidData(f"a stored object uses the unknown codec {codec}", code="object-corrupt")
    if len(raw) != size:
        raise InvalidData("a stored object has another size than its index entry", code="object-corrupt")
    return raw


def _shuffle(payload: bytes | bytearray | memoryview, item_bytes: int) -> bytes:
    import numpy as np

    whole = len(payload) - len(payload) % item_bytes
    planes = np.frombuffer(payload, np.uint8, count=whole).reshape(-1, item_bytes).T
    return planes.tobytes() + bytes(payload[whole:])


@dataclass(frozen=True, slots=True)
class Planes:
    """The numbers of a SHUFFLE4 or SHUFFLE8 form as they are stored: all first bytes, all second ones, and so on."""

    raw: bytes
    item_bytes: int

    def items(self, first: int, count: int) -> bytes:
        """Return the bytes of some numbers, fewer where they end before."""
        step = len(self.raw) // self.item_bytes
        count = max(0, min(count, step - first))
        found = bytearray(count * self.item_bytes)
        for plane in range(self.item_bytes):
            at = plane * step + first
            found[plane :: self.item_bytes] = self.raw[at : at + count]
        return bytes(found)


def planes(codec: int, stored: bytes | memoryview, size: int) -> Planes:
    """Return the numbers of a SHUFFLE4 or SHUFFLE8 form.  Raises: InvalidData (object-corrupt)."""
    return Planes(_decompress(stored, size), 4 if codec == Codec.SHUFFLE4 else 8)


def _unshuffle(shuffled: bytes, item_bytes: int) -> bytes:
    count = len(shuffled) // item_bytes
    if len(shuffled) < FEW_BYTES and "numpy" not in sys.modules:
        return Planes(shuffled, item_bytes).items(0, count) + shuffled[count * item_bytes :]
    import numpy as np

    planes = np.frombuffer(shuffled, np.uint8, count=count * item_bytes).reshape(item_bytes, count)
    wide: NDArray[np.uint64] | NDArray[np.uint32]
    # Shifting whole planes is four times as fast as a transposing copy.
    if item_bytes == 4:
        wide = planes[3].astype("<u4")
        for plane in (2, 1, 0):
            wide <<= np.uint32(8)
            wide |= planes[plane]
    else:
        wide = planes[7].astype("<u8")
        for plane in range(6, -1, -1):
            wide <<= np.uint64(8)
            wide |= planes[plane]
    return wide.tobytes() + shuffled[count * item_bytes :]


def encode_rows(payload: bytes | bytearray, base: bytes, head: int, row_bytes: int, item_bytes: int) -> bytes | None:
    """Return a matrix as the difference from another of the same row size, or None if little is shared.

    Both start with ``head`` bytes, given in full.  Stored: head size, row size, then runs of (first base row, rows
    to copy, new rows that follow), then head and new rows, shuffled and compressed.
    """
    import numpy as np

    count, base_count = (len(payload) - head) // row_bytes, (len(base) - head) // row_bytes
    if not count or not base_count:
        return None
    words = row_bytes // 4
    new = np.frombuffer(payload, "<u4", offset=head).reshape(count, words)
    old = np.frombuffer(base, "<u4", offset=head).reshape(base_count, words)
    source = np.full(count, -1, np.int64)
    moved, free = np.arange(count), np.arange(base_count)
    if count == base_count:
        # Rows that stayed in place cost nothing more; a removal and an addition shift those between the two.
        same = (new == old).all(axis=1)
        source[same] = np.flatnonzero(same)
        moved = free = np.flatnonzero(~same)
    places = {old[row].tobytes(): row for row in free[::-1].tolist()}
    source[moved] = [places.get(new[row].tobytes(), -1) for row in moved.tolist()]
    fresh = np.flatnonzero(source < 0)
    if 2 * len(fresh) > count:
        return None
    runs: list[tuple[int, int, int]] = []
    row = 0
    listed = source.tolist()
    while row < count:
        start = listed[row]
        copied = 0
        while start >= 0 and row < count and listed[row] == start + copied:
            copied, row = copied + 1, row + 1
        given = 0
        while row < count and listed[row] < 0:
            given, row = given + 1, row + 1
        runs.append((max(start, 0), copied, given))
    literal = payload[:head] + new[fresh].tobytes()
    packed = _numbers_compressor().compress(_shuffle(literal, item_bytes))
    header = struct.pack("<IIII", head, row_bytes, item_bytes, len(runs))
    return b"".join((header, *(_RUN.pack(*run) for run in runs), packed))


def rows_shape(stored: bytes | memoryview) -> tuple[int, int, int]:
    """Return (head size, row size, item size) of a ROWS form, as ``encode_rows`` takes them.  Not checked."""
    head, row_bytes, item_bytes = struct.unpack_from("<III", stored)
    return head, row_bytes, item_bytes


def rows_runs(stored: bytes | memoryview, size: int) -> tuple[list[tuple[int, int, int]], bytes, int, int]:
    """Return (runs, literal bytes, head size, row size) of the ROWS form of a payload of ``size`` bytes.

    Raises: InvalidData (object-corrupt), before anything of the stated size is allocated.
    """
    try:
        head, row_bytes, item_bytes, count = struct.unpack_from("<IIII", stored)
        end = 16 + _RUN.size * count
        if end > len(stored) or item_bytes not in (4, 8) or not row_bytes or row_bytes % item_bytes:
            raise struct.error
        runs = list(_RUN.iter_unpack(stored[16:end]))
    except struct.error:
        raise InvalidData("a stored row difference is malformed", code="object-corrupt") from None
    if head + row_bytes * sum(copied + given for _, copied, given in runs) != size:
        raise InvalidData("a stored row difference has another size than its index entry", code="object-corrupt")
    given_bytes = head + row_bytes * sum(given for _, _, given in runs)
    return runs, _unshuffle(_decompress(stored[end:], given_bytes), item_bytes), head, row_bytes


def _decode_rows(stored: bytes | memoryview, base: bytes, size: int) -> bytes:
    runs, literal, head, row_bytes = rows_runs(stored, size)
    view, at = memoryview(base), head
    parts: list[bytes | memoryview] = [literal[:head]]
    for start, copied, given in runs:
        first = head + start * row_bytes
        if first + copied * row_bytes > len(view):
            raise InvalidData("a stored row difference copies past its base", code="object-corrupt")
        parts.append(view[first : first + copied * row_bytes])
        parts.append(literal[at : at + given * row_bytes])
        at += given * row_bytes
    return b"".join(parts)
