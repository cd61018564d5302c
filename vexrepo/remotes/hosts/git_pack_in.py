"""Packs as hosts send them, read as a stream: every size is checked against a limit before anything is allocated."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.git_objects import MOST_BYTES

OFFSET_DELTA, ID_DELTA = 6, 7
_KINDS: Final = frozenset((1, 2, 3, 4, OFFSET_DELTA, ID_DELTA))


@dataclass(frozen=True, slots=True)
class Packed:
    """An object as it lies in a pack.  ``base``: of a delta, the offset of its base in the pack, or the base's id."""

    offset: int
    kind: int
    content: bytes
    base: int | str | None = None


class PackIn:
    """The objects of a pack, each once, in the pack's order.

    Raises (while iterated): HostError (host-answer) for anything that is no pack, ends early, holds more than
    ``most_objects`` or an object of more than ``most_bytes``, or does not fit its checksum.
    """

    def __init__(self, chunks: Iterator[bytes], where: str, *, most_objects: int, most_bytes: int = MOST_BYTES) -> None:
        self._chunks = chunks
        self._where = where
        self._most_bytes = most_bytes
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._chunk = memoryview(b"")
        self._place = 0  # in the chunk
        self._before = 0  # bytes of the chunks before it
        head = self._take(12)
        self.count = int.from_bytes(head[8:], "big")
        if head[:4] != b"PACK" or int.from_bytes(head[4:8], "big") not in (2, 3):
            raise self._wrong(f"a pack that begins with {head[:8]!r}")
        if self.count > most_objects:
            raise self._wrong(f"a pack of {self.count} objects where at most {most_objects} were asked for")

    @property
    def read_bytes(self) -> int:
        """How much of the pack was read."""
        return self._before + self._place

    def __iter__(self) -> Iterator[Packed]:
        for _ in range(self.count):
            yield self._next()
        self._digest.update(self._chunk[: self._place])
        self._chunk = self._chunk[self._place :]
        self._before, self._place = self._before + self._place, 0
        expected = self._digest.digest()
        if self._take(20) != expected:
            raise self._wrong("a pack that does not fit its checksum")
        if self._place < len(self._chunk) or any(self._chunks):
            raise self._wrong("a pack that is followed by something else")

    def _next(self) -> Packed:
        offset = self.read_bytes
        byte = self._take(1)[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = self._take(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if size > self._most_bytes:
                break
        if kind not in _KINDS:
            raise self._wrong(f"an object of type {kind}, which packs do not have")
        if size > self._most_bytes:
            raise self._wrong(f"a file of more than {self._most_bytes} bytes, which nothing of ours has")
        base: int | str | None = None
        if kind == ID_DELTA:
            base = self._take(20).hex()
        elif kind == OFFSET_DELTA:
            base = offset - self._distance(offset)
        return Packed(offset, kind, self._inflate(size), base)

    def _distance(self, offset: int) -> int:
        byte = self._take(1)[0]
        distance = byte & 0x7F
        while byte & 0x80:
            byte = self._take(1)[0]
            distance = (distance + 1) << 7 | byte & 0x7F
            if distance > offset:
                break
        if not 0 < distance <= offset:
            raise self._wrong("a delta whose base lies outside of the pack")
        return distance

    def _inflate(self, size: int) -> bytes:
        inflater = zlib.decompressobj()
        out: list[bytes] = []
        left = size
        while not inflater.eof:
            if self._place == len(self._chunk):
                self._refill()
            rest = self._chunk[self._place :]
            try:
                piece = inflater.decompress(rest, left + 1)  # one more than there should be shows a lie about the size
            except zlib.error as error:
                raise self._wrong(f"an object that cannot be unpacked ({error})") from error
            self._place = len(self._chunk) - len(inflater.unconsumed_tail) - len(inflater.unused_data)
            left -= len(piece)
            if left < 0:
                break
            out.append(piece)
        if left:
            raise self._wrong(f"an object of another size than the {size} bytes it claims")
        return b"".join(out)

    def _take(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            if self._place == len(self._chunk):
                self._refill()
            some = self._chunk[self._place : self._place + size - len(out)]
            out += some
            self._place += len(some)
        return bytes(out)

    def _refill(self) -> None:
        self._digest.update(self._chunk)
        self._before += len(self._chunk)
        self._place = 0
        self._chunk = memoryview(b"")
        for chunk in self._chunks:
            if chunk:
                self._chunk = memoryview(chunk)
                return
        raise self._wrong("a pack that ends early")

    def _wrong(self, what: str) -> HostError:
        return HostError(f"{self._where} sent {what}; nothing of it is used", code="host-answer")
