"""Packs of commits, made for a host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

from vexrepo.errors import StorageFailure
from vexrepo.history.lacking import iter_lacking
from vexrepo.objects.digest import CommitId
from vexrepo.repository.core import Core
from vexrepo.storage.pack import Key
from vexrepo.storage.repack import Held, Repacker

BATCH: Final = 4096  # objects looked up together


@dataclass(frozen=True, slots=True)
class Packed:
    """Packs in a scratch folder, oldest first, and how many objects they hold."""

    paths: tuple[Path, ...] = ()
    objects: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of all packs."""
        return sum(path.stat().st_size for path in self.paths)


def pack_commits(repository: Core, commits: Sequence[CommitId], folder: Path, held: Held = lambda keys: {}) -> Packed:
    """Return packs of what commits (parents first) consist of, less what is ``held``, and what their parents have.

    A gc that removes packs meanwhile makes it begin again, once.
    Raises: Tampered where something cannot be read; StorageFailure.
    """
    repository.objects.refresh()
    before = repository.objects.packs
    try:
        return _pack(repository, commits, folder / "first", held)
    except StorageFailure:
        repository.objects.refresh()
        if repository.objects.packs == before:
            raise
    return _pack(repository, commits, folder / "again", held)


def _pack(repository: Core, commits: Sequence[CommitId], folder: Path, held: Held) -> Packed:
    objects, copied = repository.objects, 0

    def advance(size: int) -> None:
        nonlocal copied
        copied += size
        repository.around.progress("packing bytes", copied, None)

    repository.files.make_folder(folder)
    with Repacker(objects, repository.files, folder, held, advance=advance) as repacker:
        for batch in _batches(chain.from_iterable(iter_lacking(objects, commit) for commit in commits)):
            repacker.add(batch)
        return Packed(tuple(repacker.finish()), repacker.objects)


def _batches(keys: Iterable[Key]) -> Iterator[list[Key]]:
    keys = iter(keys)
    while batch := list(islice(keys, BATCH)):
        yield batch
