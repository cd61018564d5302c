"""Packs of new objects, written as a stream whose length is known before its first byte.

Sealed files do not compress.  They are stored as they are (zlib's stored blocks, RFC 1951 section 3.2.4): that costs
no time, and a request with a length is refused by a host before it takes everything, not after.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from vexrepo.remotes.hosts.git_objects import GitObject, changed, object_hash, pieces

_BLOCK: Final = 65_535  # bytes of one stored block, at most


class PackOut:
    """A pack of whole objects.  ``sent_all`` says whether its last bytes were handed out.

    Without its last 20 bytes, the checksum, no host takes a pack; so whatever fails before they are handed out has
    changed nothing there.
    """

    def __init__(self, objects: Sequence[GitObject]) -> None:
        self._objects = objects
        self.size = 12 + sum(len(_head(each)) + _stored_size(each.size) for each in objects) + 20
        self.sent_all = False

    def chunks(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        """Yield the pack's bytes, some 64 KiB at a time; ``sent`` is told the bytes so far.

        What is sent in one piece has to be sent within a time limit, which a slow line would pass with more.

        Raises: StorageFailure when a file is not what it was.
        """
        digest = hashlib.sha1(b"PACK\0\0\0\2" + len(self._objects).to_bytes(4, "big"), usedforsecurity=False)
        yield b"PACK\0\0\0\2" + len(self._objects).to_bytes(4, "big")
        done = 12
        for each in self._objects:
            for chunk in _entry(each):
                digest.update(chunk)
                yield chunk
                done += len(chunk)
                sent(done)
        self.sent_all = True
        yield digest.digest()
        sent(done + 20)


def _head(item: GitObject) -> bytes:
    """Return an object's header in a pack: its type in 3 bits, its size in 4 and then 7 at a time."""
    size, first = item.size >> 4, item.kind << 4 | item.size & 15
    out = bytearray()
    while size:
        out.append(first | 0x80)
        size, first = size >> 7, size & 0x7F
    out.append(first)
    return bytes(out)


def _stored_size(size: int) -> int:
    return 2 + 5 * max(1, -(-size // _BLOCK)) + size + 4


def _entry(item: GitObject) -> Iterator[bytes]:
    adler, done = 1, 0
    check = object_hash(item.kind, item.size)
    head = _head(item) + b"\x78\x01"
    for block in pieces(item.content, _BLOCK):
        adler = zlib.adler32(block, adler)
        check.update(block)
        done += len(block)
        yield b"".join((head, _block_head(len(block), is_last=done >= item.size), block))
        head = b""
    if done != item.size or check.hexdigest() != item.id:
        raise changed(item)
    end = adler.to_bytes(4, "big")
    yield end if item.size else head + _block_head(0, is_last=True) + end


def _block_head(size: int, *, is_last: bool) -> bytes:
    return bytes([is_last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
