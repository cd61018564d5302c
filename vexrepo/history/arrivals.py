"""Packs that came from elsewhere: all that is in them is checked before any of it is used.

They lie in a scratch folder meanwhile; what is stored there as a difference from an object of the repository is undone
with that.  Once everything is right they are moved in, and only then may a ref say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from vexrepo.history.check import check_signature, check_signed
from vexrepo.history.lacking import commits_between
from vexrepo.history.revision import read_commit
from vexrepo.history.treecheck import TreeCheck
from vexrepo.history.walk import LeafReader, check_records, iter_leaves
from vexrepo.objects.digest import CommitId, SnapshotId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.snapshot import Snapshot
from vexrepo.storage.beside import Beside, is_worthwhile
from vexrepo.storage.files import Files
from vexrepo.storage.pack import Entry, PackReader
from vexrepo.storage.store import ObjectStore

MANY: Final = 20_000  # records from which on a second process pays

Marks = dict[str, bytearray]  # by pack: a byte for each row of its index, 1 where the object was read and is right


@dataclass(frozen=True, slots=True)
class Checked:
    """What was new and is right: commits, parents first; memories read; objects in the packs."""

    commits: tuple[CommitId, ...]
    records: int
    objects: int


class _Marking(ObjectStore):
    """Marks what was read of some packs, so that nothing is read twice only to see whether it is right."""

    def __init__(self, folder: Path, files: Files, packs: Sequence[Path]) -> None:
        super().__init__(folder, files, packs)
        self.marks: Marks = {path.name: bytearray(self.reader(path.name).count) for path in packs}

    def read_copy(self, reader: PackReader, entry: Entry, *, cache: bool = False) -> bytes:
        payload = super().read_copy(reader, entry, cache=cache)
        marks = self.marks.get(reader.path.name)
        if marks is not None:
            marks[reader.number_of(entry)] = 1
        return payload


class Arrivals:
    """Received packs, and the objects of a repository beside them.  ``advance`` is told of bytes checked."""

    def __init__(self, folder: Path, files: Files, advance: Callable[[int], None] = lambda size: None) -> None:
        self._folder = folder
        self._files = files
        self._advance = advance
        self.packs: list[Path] = []
        self.store = _Marking(folder, files, ())

    def add(self, *packs: Path) -> None:
        """Take more packs into view, newer than those before.  Raises: Tampered (pack-corrupt)."""
        for pack in packs:
            PackReader(pack).check_content()
            self.packs.append(pack)
        self.store = _Marking(self._folder, self._files, self.packs[::-1])

    def check(self, have: Collection[CommitId], want: Collection[CommitId]) -> Checked:
        """Check all objects that came, and that the commits in ``want`` are complete and as they should be.

        ``have`` are commits that are complete here: what they consist of is not read again.
        Raises: Tampered (object-missing where something did not come, object-corrupt, pack-corrupt), InvalidData
        (signature-missing, signature-bad, …).
        """
        read = partial(read_commit, self.store)
        commits = commits_between(read, have, want)
        records = 0
        for identifier in commits:
            commit = read(identifier)
            check_signed(self.store, identifier, commit)
            records += self._check_snapshot(commit.snapshot, [read(parent).snapshot for parent in commit.parents])
        return Checked(tuple(commits), records, self._check_rest())

    def _check_snapshot(self, identifier: SnapshotId, known: list[SnapshotId]) -> int:
        """Check a snapshot beside some that are right; return how many records were read."""
        trees = TreeCheck(self.store)  # a new one each time: what it remembers of the last would only grow
        root = Snapshot.decode(self.store.get(identifier, ObjectType.SNAPSHOT)).records
        if known or root.count < MANY or not is_worthwhile():
            trees.check_snapshot(identifier, known)
            return trees.records
        leaves = [child.id for child in iter_leaves(self.store, root)][1::2]
        with Beside(_check_leaves, self._folder, self._files, self.packs[::-1], leaves) as second:
            trees.leave_out(leaves)
            trees.check_snapshot(identifier)
            records, marks = second.result()
        for name, rows in marks.items():
            ours = self.store.marks[name]
            ours[:] = bytes(a | b for a, b in zip(ours, rows, strict=True))
        return trees.records + records

    def _check_rest(self) -> int:
        """Check what nothing needed so far, and signatures; return how many objects the packs hold."""
        objects = 0
        for name, marks in self.store.marks.items():
            reader = self.store.reader(name)
            for number, entry in enumerate(reader):
                if not marks[number]:
                    payload = self.store.read_copy(reader, entry)
                    if entry.type == ObjectType.SIGNATURE:
                        check_signature(CommitId(entry.id), payload)
                self._advance(entry.stored)
            objects += reader.count
        return objects


def _check_leaves(folder: Path, files: Files, packs: list[Path], leaves: list[TreeId]) -> tuple[int, Marks]:
    """Check the records of some leaves, in a second process; return how many, and what was read for it."""
    store, records = _Marking(folder, files, packs), 0
    for identifier in leaves:
        reader = LeafReader(store, identifier)
        check_records(reader)
        records += len(reader.leaf.keys)
    return records, store.marks
