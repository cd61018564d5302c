"""What connectors of files share that are only written as a whole: how they are opened, what tells that they changed.

A file that cannot say all of a memory may have another beside it, which carries the rest: a line for each such memory,
with how it read when it was written, so that what a program changed since is told from what it never knew.
"""

from __future__ import annotations

import binascii
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from vexrepo.errors import InvalidData, StoreError, UsageError
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
    """A connector of a file with another beside it, ``NAME.vex``, for what the first cannot say."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.beside = self.path.with_name(f"{self.path.name}.vex")

    def files(self) -> Sequence[Path]:
        """Return both files."""
        return (self.path, self.beside)

    def read_beside(self) -> Iterator[Any]:
        """Yield the values of the file beside; what its reader finds wrong with one is said of the file.

        Raises: StoreError (store-unreadable, store-corrupt).
        """
        if not self.beside.exists():
            return
        try:
            lines = self.beside.read_bytes().splitlines()
        except OSError as error:
            raise StoreError(f"cannot read {self.beside}: {error.strerror}", code="store-unreadable") from None
        for line in lines:
            try:
                yield canonical.parse(line)
            except InvalidData as error:
                raise self.damaged(error) from None

    def damaged(self, error: Exception) -> StoreError:
        """Return the error of a file beside that is not as it was written."""
        return StoreError(
            f"{self.beside} is damaged ({error}): what it carried of {self.path} cannot be read; get it back from a "
            "backup, or remove it and check out again",
            code="store-corrupt",
        )

    def write_both(self, content: bytes, carried: Sequence[bytes]) -> None:
        """Write both files, the one beside first: what it says of memories that are not there does not count."""
        files = Files()
        if carried:
            files.write(self.beside, b"".join(line + b"\n" for line in carried))
        files.write(self.path, content)
        if not carried:
            files.remove(self.beside)
