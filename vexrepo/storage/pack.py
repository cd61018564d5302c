"""A pack: the objects of one commit in one file, and a sorted index at its end.

Layout: magic, entries, index rows of 64 bytes sorted by (id, type), footer.  Format: objects/FORMAT.md, "Packs".
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Iterator
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

from blake3 import blake3

from vexrepo.errors import Tampered
from vexrepo.objects.digest import ID_BYTES, ObjectId
from vexrepo.objects.kinds import MAX_OBJECT_BYTES, ObjectType
from vexrepo.storage.files import EarlyWriteback, Files, wrapped

MAGIC = b"VEXPACK1"
ROW = struct.Struct("<32sQIIIHBBB7x")  # id, offset, stored, size, chain bytes, chain number, type, codec, depth
FOOTER = struct.Struct("<QQ32s32s8s")  # index offset, rows, index checksum, entries checksum, magic
MAX_DEPTH = 8
Key: TypeAlias = tuple[bytes, int]  # (id, type): what an index is sorted by
_TYPES = frozenset(ObjectType)
assert ROW.size == 64


class Entry(NamedTuple):
    """An index row.

    ``chain`` numbers the versions of an object since it was last stored whole, ``chain_bytes`` is what reading
    it back to that version takes, ``depth`` how many differences that is.
    """

    id: bytes
    offset: int
    stored: int
    size: int
    chain_bytes: int
    chain: int
    type: int
    codec: int
    depth: int


class PackReader:
    """A pack's index in memory; entries are read when asked for.  No file is held open between reads.

    Lookups check the row they find; content is checked by whoever decodes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with wrapped("read", path), open(path, "rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if size < len(MAGIC) + FOOTER.size or file.read(len(MAGIC)) != MAGIC:
                raise self.corrupt("it does not start as a pack does")
            file.seek(size - FOOTER.size)
            footer = file.read(FOOTER.size)
            self.index_at, self.count, self.index_sum, self.entries_sum, magic = FOOTER.unpack(footer)
            if (
                magic != MAGIC
                or self.index_at + self.count * ROW.size + FOOTER.size != size
                or self.index_at < len(MAGIC)
            ):
                raise self.corrupt("its footer does not fit its size")
            file.seek(self.index_at)
            self._index = _read_exactly(file, self.count * ROW.size)
        if len(self._index) != self.count * ROW.size:
            raise self.corrupt("its index ends early")

    def corrupt(self, why: str) -> Tampered:
        """Return the error that says what is wrong with this pack."""
        return Tampered(
            f"the pack {self.path} is damaged: {why}; run `vex fsck` and restore the file from a backup or remote",
            code="pack-corrupt",
        )

    @property
    def index(self) -> bytes:
        """The index as it is in the file."""
        return self._index

    def entry(self, number: int) -> Entry:
        """Return index row ``number``."""
        entry = Entry._make(ROW.unpack_from(self._index, number * ROW.size))
        if not len(MAGIC) <= entry.offset <= entry.offset + entry.stored <= self.index_at:
            raise self.corrupt(f"the entry of {entry.id.hex()[:12]} lies outside it")
        if entry.size > MAX_OBJECT_BYTES or entry.depth > MAX_DEPTH:
            raise self.corrupt(f"the entry of {entry.id.hex()[:12]} is above a limit")
        if entry.type not in _TYPES:
            raise self.corrupt(f"the entry of {entry.id.hex()[:12]} has the unknown type {entry.type}")
        return entry

    def first(self, prefix: bytes) -> int:
        """Return the number of the first row whose id is not below ``prefix``."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            at = middle * ROW.size
            if self._index[at : at + ID_BYTES] < prefix:
                low = middle + 1
            else:
                high = middle
        return low

    def find(self, identifier: bytes) -> Iterator[Entry]:
        """Yield the rows of an id (more than one only where signatures share it)."""
        number = self.first(identifier)
        while number < self.count:
            at = number * ROW.size
            if self._index[at : at + ID_BYTES] != identifier:
                return
            yield self.entry(number)
            number += 1

    def number_of(self, entry: Entry) -> int:
        """Return the number of an entry's index row."""
        number = self.first(entry.id)
        while self.entry(number) != entry:  # signatures of one commit share its id
            number += 1
        return number

    def stored(self, entry: Entry) -> bytes:
        """Return an entry's stored bytes.  Raises: Tampered (pack-corrupt) if the file is shorter than it was."""
        with wrapped("read", self.path), open(self.path, "rb", buffering=0) as file:
            file.seek(entry.offset)
            raw = _read_exactly(file, entry.stored)
        if len(raw) != entry.stored:
            raise self.corrupt("it ends early")
        return raw

    def base(self, entry: Entry) -> bytes:
        """Return the id of the object that an entry is a difference from."""
        return self.stored(entry._replace(stored=min(entry.stored, ID_BYTES)))

    def __iter__(self) -> Iterator[Entry]:
        return (self.entry(number) for number in range(self.count))

    @property
    def digest(self) -> str:
        """The part of the pack's name that stands for its content."""
        return pack_digest(self.index_sum, self.entries_sum)

    def check(self) -> None:
        """Raise Tampered unless the file's bytes are those that were written, under that name."""
        self.check_content()
        if self.digest not in self.path.name:
            raise self.corrupt("its name is that of another pack")

    def check_content(self) -> None:
        """Raise Tampered unless the file's bytes are those that its checksums are of."""
        if blake3(self._index).digest() != self.index_sum:
            raise self.corrupt("its index does not match its checksum")
        beside: dict[bytes, list[Entry]] = {}
        for before, entry in pairwise(self):
            if _order(before) >= _order(entry):
                raise self.corrupt("its index is not in order")
            if (before.id, before.type) == (entry.id, entry.type):
                if entry.type != ObjectType.SIGNATURE:
                    raise self.corrupt(f"it holds {entry.id.hex()[:12]} twice")
                beside.setdefault(entry.id, [before]).append(entry)
        for rows in beside.values():
            if len({self.stored(entry) for entry in rows}) != len(rows):
                raise self.corrupt(f"it holds a signature of {rows[0].id.hex()[:12]} twice")
        hasher = blake3()
        with wrapped("read", self.path), open(self.path, "rb", buffering=0) as file:
            left = self.index_at
            while left and (block := file.read(min(1 << 22, left))):
                hasher.update(block)
                left -= len(block)
        if hasher.digest() != self.entries_sum:
            raise self.corrupt("its entries do not match their checksum")


def _read_exactly(file: FileIO, size: int) -> bytes:
    """Return ``size`` bytes, fewer only where the file ends."""
    raw = file.read(size)
    while len(raw) < size and (more := file.read(size - len(raw))):
        raw += more
    return raw


def _order(entry: Entry) -> tuple[bytes, int, int]:
    return entry.id, entry.type, entry.offset


def pack_digest(index_sum: bytes, entries_sum: bytes) -> str:
    """Return the part of a pack's name that stands for its content."""
    return blake3(b"vex:pack:1\n" + index_sum + entries_sum).hexdigest()[:32]


# Id, type, and what tells the signatures of one commit apart: their bytes, b"" for all other objects.
_Place = tuple[bytes, int, bytes]


def _place(identifier: bytes, kind: int, stored: bytes) -> _Place:
    return identifier, kind, stored if kind == ObjectType.SIGNATURE else b""


def index_of(end: bytes, size: int) -> bytes | None:
    """Return the index of a pack of ``size`` bytes, given the end of the file; None if more of it is needed.

    Raises: Tampered (pack-corrupt).
    """
    if len(end) < min(FOOTER.size, size):
        return None
    if size >= len(MAGIC) + FOOTER.size:
        index_at, count, index_sum, _, magic = FOOTER.unpack(end[-FOOTER.size :])
        if magic == MAGIC and len(MAGIC) <= index_at and index_at + count * ROW.size + FOOTER.size == size:
            if len(end) < size - index_at:
                return None
            index = end[len(end) - (size - index_at) : -FOOTER.size]
            if blake3(index).digest() == index_sum:
                return index
    raise Tampered("a pack is damaged: what should be its end is not that of a pack", code="pack-corrupt")


class PackWriter:
    """Writes one pack.  ``add`` may be called from several threads; nothing is visible before ``finish``."""

    def __init__(self, files: Files, scratch: Path) -> None:
        self._files = files
        self._scratch = scratch
        self._lock = threading.Lock()
        self._entries: dict[_Place, Entry] = {}
        self._hasher = blake3()
        with wrapped("write", scratch):
            files.step("create", scratch)
            self._file = open(scratch, "xb", buffering=1 << 20)  # noqa: SIM115 - closed in finish and abandon
        self._at = 0
        self._early = EarlyWriteback(self._file)
        self._write(MAGIC)

    def _write(self, raw: bytes | memoryview) -> None:
        with wrapped("write", self._scratch):
            self._files.step("write", self._scratch)
            self._file.write(raw)
        self._hasher.update(raw)
        self._at += len(raw)
        self._early.wrote(len(raw))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, identifier: bytes) -> bool:
        return any(self.entry(identifier, kind) for kind in ObjectType)

    def entry(self, identifier: bytes, kind: int) -> Entry | None:
        """Return the row of an object written so far, None if it is not here (or is a signature)."""
        return self._entries.get((identifier, kind, b""))

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._at

    def add(
        self,
        identifier: ObjectId,
        kind: ObjectType,
        codec: int,
        stored: bytes,
        size: int,
        *,
        base: Entry | None = None,
        chain: int = 0,
    ) -> None:
        """Append an object unless it is here; a commit may have several signatures.

        ``base`` is the row of the object a difference is from, ``chain`` its version number.
        """
        whole, chain_bytes, depth = stored, 0, 0
        if base is not None:
            whole = base.id + stored
            chain_bytes, depth = base.chain_bytes + len(whole), base.depth + 1
        with self._lock:
            place = _place(identifier, kind, whole)
            if place in self._entries:
                return
            self._entries[place] = Entry(identifier, self._at, len(whole), size, chain_bytes, chain, kind, codec, depth)
            self._write(whole)

    def copy(self, entry: Entry, stored: bytes) -> None:
        """Append an object of another pack as it is stored there."""
        with self._lock:
            self._entries[_place(entry.id, entry.type, stored)] = entry._replace(offset=self._at)
            self._write(stored)

    def finish(self, folder: Path, number: int) -> str:
        """Make the pack durable under its name in ``folder``; return the name."""
        entries_sum, index_at = self._hasher.digest(), self._at
        rows = b"".join(ROW.pack(*entry) for entry in sorted(self._entries.values(), key=_order))
        index_sum = blake3(rows).digest()
        self._write(rows)
        self._write(FOOTER.pack(index_at, len(self._entries), index_sum, entries_sum, MAGIC))
        self._early.stop()
        self._files.sync(self._file, self._scratch)
        self._file.close()
        name = f"{number:08d}-{pack_digest(index_sum, entries_sum)}.pack"
        self._files.replace(self._scratch, folder / name)
        return name

    def abandon(self) -> None:
        """Drop what was written."""
        # Closing writes what is still buffered, which a full disk refuses: what was raised first must stand.
        self._early.stop()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._scratch.unlink(missing_ok=True)
