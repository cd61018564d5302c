"""What connectors of files share that are only written as a whole: how they are opened, what tells that they changed.

A file that cannot say all of a memory may have another beside it, which carries the rest: a line for each such memory,
with how it read when it was written, so that what a program changed since is told from what it never knew.
"""

from __future__ import annotations

import binascii
import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from blake3 import blake3

from vexrepo.errors import InvalidData, StoreError, UsageError, VexError
from vexrepo.objects import canonical
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.storage.files import Files

# What a damaged line of a file beside leads to.
DAMAGES: Final = (InvalidData, KeyError, TypeError, StopIteration, binascii.Error)


class FileStore(Store):
    """A connector of one file.

    ``options`` is what an address may say after "?", ``expected`` what such a file is called to people.
    """

    rewrites: ClassVar[bool] = True
    options: ClassVar[frozenset[str]] = frozenset()
    expected: ClassVar[str]

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.path = Path(address.location)

    @classmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        """Return the connector on a file.

        Raises: UsageError (bad-address), StoreError (store-missing, store-unreadable; with ``create`` also store-schema
        for a file of somebody else that would not be kept whole).
        """
        for name in sorted(address.options.keys() - cls.options):
            known = f"known: {', '.join(sorted(cls.options))}" if cls.options else "there is none"
            raise UsageError(f"{address}: {name!r:.40} is no option of {cls.kind} stores; {known}", code="bad-address")
        store = cls(address)
        if not store.path.exists() and not create:
            raise StoreError(f"there is no file {store.path}; check the path", code="store-missing")
        if store.path.exists() and not store.path.is_file():
            raise StoreError(f"{store.path} is no file; expected {cls.expected}", code="store-unreadable")
        if create and store.path.exists():
            store.check_ours()
        return store

    @abstractmethod
    def check_ours(self) -> None:
        """Raise StoreError (store-schema) for a file that is there and would not be kept whole by a write."""

    def files(self) -> Sequence[Path]:
        """Return the files that the memories are in."""
        return (self.path,)

    def fingerprint(self) -> str:
        """Return what changes whenever the files may have changed."""
        found = [path.stat() for path in self.files() if path.exists()]
        return ",".join(f"{each.st_size}:{each.st_mtime_ns}:{each.st_ino}" for each in found)


class CarryingFile(FileStore):
    """A connector of a file with another beside it, ``NAME.vex``, for what the first cannot say.

    The two cannot be replaced at one moment.  So what is to be carried waits in ``NAME.vex.new`` until the file is
    written, under the digest of what that will be: whoever is stopped in between leaves either all that was there or
    all that was to be, and never the one's file with the other's rest.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.beside = self.path.with_name(f"{self.path.name}.vex")
        self._waiting = self.path.with_name(f"{self.path.name}.vex.new")

    def files(self) -> Sequence[Path]:
        """Return all files."""
        return (self.path, self.beside, self._waiting)

    def read_beside(self) -> Iterator[Any]:
        """Yield the values of the file beside; what its reader finds wrong with one is said of the file.

        Raises: StoreError (store-unreadable, store-corrupt).
        """
        for line in self._carried_lines():
            try:
                yield canonical.parse(line)
            except InvalidData as error:
                raise self.damaged(error) from None

    def _carried_lines(self) -> list[bytes]:
        """Return what is carried of the file as it is now."""
        try:
            if self._waiting.exists() and self.path.exists():
                digest, *lines = self._waiting.read_bytes().splitlines() or [b""]
                if digest == _digest(self.path.read_bytes()):
                    return lines
            return self.beside.read_bytes().splitlines() if self.beside.exists() else []
        except OSError as error:
            raise StoreError(f"cannot read {error.filename}: {error.strerror}", code="store-unreadable") from None

    def damaged(self, error: Exception) -> StoreError:
        """Return the error of a file beside that is not as it was written."""
        return StoreError(
            f"{self.beside} is damaged ({error}): what it carried of {self.path} cannot be read; get it back from a "
            "backup, or remove it and check out again",
            code="store-corrupt",
        )

    def write_both(self, content: bytes, carried: Sequence[bytes]) -> None:
        """Write the file and what is carried of it: stopped at any moment, the memories are the old or the new ones."""
        files = Files()
        before = self._carried_lines()
        if not self.path.exists() or before == list(carried):
            # What is said of memories that are not there does not count.
            self._write_beside(files, carried)
            files.write(self.path, content)
            return
        self._write_beside(files, before)  # where somebody was stopped
        files.write(self._waiting, b"".join(line + b"\n" for line in (_digest(content), *carried)))
        try:
            files.write(self.path, content)
        except BaseException:
            with contextlib.suppress(VexError, OSError):
                if self._carried_lines() == before:  # and not, the file being there, only its name not on the disk
                    files.remove(self._waiting)
            raise
        self._write_beside(files, carried)

    def _write_beside(self, files: Files, lines: Sequence[bytes]) -> None:
        """Make the file beside say this, and nothing wait."""
        said = b"".join(line + b"\n" for line in lines)
        if said and not (self.beside.exists() and self.beside.read_bytes() == said):
            files.write(self.beside, said)
        elif not said:
            files.remove(self.beside)
        files.remove(self._waiting)


def _digest(content: bytes) -> bytes:
    return blake3(content).hexdigest().encode()
