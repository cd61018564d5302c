"""Packs that came from elsewhere: all that is in them is checked before any of it is used.

They lie in a scratch folder meanwhile; what is stored there as a difference from an object of the repository is undone
with that.  Once everything is right they are moved in, and only then may a ref say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vexrepo.history.check import check_signature, check_signed
from vexrepo.history.lacking import commits_between
from vexrepo.history.revision import read_commit
from vexrepo.history.treecheck import TreeCheck
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.storage.files import Files
from vexrepo.storage.pack import PackReader
from vexrepo.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Checked:
    """What was new and is right: commits, parents first; memories read; objects in the packs."""

    commits: tuple[CommitId, ...]
    records: int
    objects: int


class Arrivals:
    """Received packs, and the objects of a repository beside them.  ``advance`` is told of bytes checked."""

    def __init__(self, folder: Path, files: Files, advance: Callable[[int], None] = lambda size: None) -> None:
        self._folder = folder
        self._files = files
        self._advance = advance
        self.packs: list[Path] = []
        self.store = ObjectStore(folder, files)

    def add(self, pack: Path) -> None:
        """Take one more pack into view, its own checksums checked.  Raises: Tampered (pack-corrupt)."""
        PackReader(pack).check_content()
        self.packs.append(pack)
        self.store.close()
        self.store = ObjectStore(self._folder, self._files, reversed(self.packs))

    def check(self, have: Collection[CommitId], want: Collection[CommitId]) -> Checked:
        """Check all objects that came, and that the commits in ``want`` are complete and as they should be.

        ``have`` are commits that are complete here: what they consist of is not read again.
        Raises: Tampered (object-missing where something did not come, object-corrupt, pack-corrupt), InvalidData
        (signature-missing, signature-bad, …).
        """
        read = partial(read_commit, self.store)
        commits = commits_between(read, have, want)
        records = objects = 0
        for identifier in commits:
            commit = read(identifier)
            check_signed(self.store, identifier, commit)
            trees = TreeCheck(self.store)  # a new one each time: what it remembers of the last would only grow
            trees.check_snapshot(commit.snapshot, [read(parent).snapshot for parent in commit.parents])
            records += trees.records
        for path in self.packs:
            reader = self.store.reader(path.name)
            for entry in reader:
                payload = self.store.read_copy(reader, entry)
                if entry.type == ObjectType.SIGNATURE:
                    check_signature(CommitId(entry.id), payload)
                objects += 1
                self._advance(entry.stored)
        return Checked(tuple(commits), records, objects)
