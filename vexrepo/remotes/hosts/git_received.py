"""Objects a host sent, kept until they are asked for: files on disk, the rest (folders, commits) in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.git_objects import BLOB, MOST_BYTES, MOST_FILES, NAMES, TREE, make_object
from vexrepo.remotes.hosts.git_pack_in import Packed, PackIn
from vexrepo.storage.files import wrapped

_IN_MEMORY: Final = 8 << 20
# A few bytes can stand for as many as a disk holds: sealed files do not compress, and others' do so many times.
_MOST_TIMES: Final = 32
_MOST_DISK: Final = 1 << 30
_MOST_MEMORY: Final = 1 << 28  # bytes of folders, commits, and differences whose base is not there yet


class BaseMissing(HostError):
    """A pack holds differences from objects that neither it nor we have."""


class Received:
    """The objects of one pack, by id; ``known`` are folders it may hold differences from.

    Raises: HostError (host-answer), StorageFailure (the disk is full).
    """

    def __init__(
        self, chunks: Iterator[bytes], where: str, known: Mapping[str, bytes], scratch: Path | None = None
    ) -> None:
        self._where = where
        self._known = known
        self._place = _existing(scratch) if scratch else Path(tempfile.gettempdir())
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._place))  # noqa: SIM115 - closed by close
        self._end = 0
        self._memory = 0
        self._blobs: dict[str, tuple[int, int]] = {}  # id → offset and size in the file
        self.others: dict[str, bytes] = {}
        self._kinds: dict[str, int] = {}
        self._at: dict[int, str] = {}  # offset in the pack → id
        self._waiting: dict[str, list[Packed]] = {}
        try:
            self._pack = PackIn(chunks, where, most_objects=MOST_FILES)
            for item in self._pack:
                self._add(item)
            if self._waiting:
                raise BaseMissing(f"{where} sent differences from files it did not send", code="host-answer")
        except BaseException:
            self.close()
            raise
        self._at.clear()

    def __contains__(self, id: str) -> bool:
        return id in self._blobs

    def blob(self, id: str) -> bytes:
        """Return a file's content by its id.  Raises: KeyError."""
        offset, size = self._blobs[id]
        self._file.seek(offset)
        return self._file.read(size)

    def close(self) -> None:
        """Drop what was kept."""
        self._file.close()

    def _add(self, item: Packed) -> None:
        if item.base is None:
            self._keep(item.kind, item.content, item.offset)
            return
        base = self._at.get(item.base) if isinstance(item.base, int) else item.base
        if base is not None and (base in self._kinds or base in self._known):
            self._keep(self._kinds.get(base, TREE), self._undelta(base, item.content), item.offset)
        else:  # also one whose base is itself such a difference: then its id is not known before
            self._weigh(len(item.content))
            self._waiting.setdefault(base or f"@{item.base}", []).append(item)

    def _keep(self, kind: int, content: bytes, offset: int) -> None:
        """Keep an object, and those that waited for it."""
        ready = [(kind, content, offset)]
        while ready:
            kind, content, offset = ready.pop()
            if kind not in NAMES:
                continue  # a tag: nothing here refers to one
            id = make_object(kind, content).id
            self._at[offset] = id
            if id not in self._kinds:
                self._kinds[id] = kind
                if kind == BLOB:
                    if self._end + len(content) > _MOST_TIMES * self._pack.read_bytes + _MOST_DISK:
                        raise self._wrong("a pack that becomes far more than it is")
                    with wrapped("write", self._place):
                        self._file.seek(self._end)
                        self._file.write(content)
                    self._blobs[id] = (self._end, len(content))
                    self._end += len(content)
                else:
                    self._weigh(len(content))
                    self.others[id] = content
            for name in (id, f"@{offset}"):
                ready += [(kind, self._undelta(id, each.content), each.offset) for each in self._waiting.pop(name, [])]

    def _undelta(self, base: str, delta: bytes) -> bytes:
        if base in self._blobs:
            source = self.blob(base)
        else:
            source = self.others[base] if base in self.others else self._known[base]
        try:
            if _second_size(delta) > MOST_BYTES:
                raise self._wrong(f"a file of more than {MOST_BYTES} bytes, which nothing of ours has")
            return b"".join(apply_delta(source, delta))
        except (ApplyDeltaError, IndexError) as error:
            raise self._wrong(f"a difference that does not fit its base ({error})") from error

    def _weigh(self, size: int) -> None:
        self._memory += size
        if self._memory > _MOST_MEMORY:
            raise self._wrong(f"more than {_MOST_MEMORY} bytes of folders")

    def _wrong(self, what: str) -> HostError:
        return HostError(f"{self._where} sent {what}; nothing of it is used", code="host-answer")


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there: it is not made for files without a name."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())


def _second_size(delta: bytes) -> int:
    """Return the size of what a delta makes: the second of the two numbers it begins with."""
    place = size = 0
    for _ in range(2):
        size = shift = 0
        while True:
            size |= (delta[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if not delta[place - 1] & 0x80:
                break
            if shift > 63:
                return 1 << 63
    return size
