"""fsck: reads everything and says what is wrong with it.

Checks, in this order: packs against their checksums, every object against its id, the operation log, and from
every ref of every operation: commits, signatures, snapshots, trees (order, counts, boundaries), records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from vexrepo.errors import InvalidData, VexError
from vexrepo.history.revision import read_commit
from vexrepo.history.treecheck import TreeCheck
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, SnapshotId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature, is_good, message_of
from vexrepo.storage.oplog import OperationLog, gc_horizon
from vexrepo.storage.store import ObjectStore


@dataclass
class Report:
    """What was checked and what was found; empty ``problems`` means sound."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packs: int = 0
    objects: int = 0
    operations: int = 0
    commits: int = 0
    records: int = 0
    size_bytes: int = 0

    def add(self, error: VexError) -> None:
        """Note a problem once."""
        found = (error.code, str(error))
        if found not in self.problems:
            self.problems.append(found)


def check_signed(store: ObjectStore, identifier: CommitId, commit: Commit) -> None:
    """Raise InvalidData (signature-missing) where a commit has no signature by the key of its author."""
    keys = {Signature.decode(raw).key.hex() for raw in store.signatures(identifier)}
    if "key" in commit.author and commit.author["key"] not in keys:
        raise InvalidData(
            f"commit {identifier.short} names the key {commit.author['key'][:8]} but has no signature by it",
            code="signature-missing",
        )


def check_signature(commit: CommitId, payload: bytes) -> None:
    """Raise InvalidData (signature-bad, object-corrupt) unless this is a signature that fits a commit."""
    if not is_good(Signature.decode(payload), message_of(commit)):
        raise InvalidData(f"a signature of commit {commit.short} is bad", code="signature-bad")


class Checker:
    """Checks objects, and a repository's log."""

    def __init__(self, store: ObjectStore, advance: Callable[[int], None] = lambda amount: None) -> None:
        self._store = store
        self._advance = advance
        self._trees = TreeCheck(store)
        self.report = Report()

    def run(self, log: OperationLog) -> Report:
        """Check everything."""
        self.check_packs()
        self.check_history(log)
        return self.report

    def check_packs(self) -> None:
        """Check every pack and every object in it."""
        for name in self._store.packs:
            self.report.packs += 1
            try:
                reader = self._store.reader(name)
                reader.check()
                entries = list(reader)
                self.report.size_bytes += reader.path.stat().st_size
            except VexError as error:
                self.report.add(error)
                continue
            for entry in entries:
                self.report.objects += 1
                kind = ObjectType(entry.type)
                try:
                    if kind == ObjectType.SIGNATURE:
                        check_signature(CommitId(entry.id), self._store.read_copy(reader, entry))
                    else:
                        self._store.read_copy(reader, entry)
                except VexError as error:
                    self.report.add(error)
                self._advance(entry.stored)

    def check_history(self, log: OperationLog) -> None:
        """Check the operation log and everything its refs reach."""
        commits: set[CommitId] = set()
        mentioned: set[str] = set()
        replaced: set[str] = set()
        horizon, joined = 0, False
        try:
            for identifier, operation in log.walk():
                self.report.operations += 1
                # Packs from before a gc may have been joined, and what only older operations needed, removed.
                (replaced if joined else mentioned).update(operation.packs)
                if operation.sequence >= horizon:
                    commits.update(operation.view.refs.values())
                    if operation.view.commit is not None:
                        commits.add(operation.view.commit)
                kept_from = gc_horizon(operation)
                if kept_from is not None:
                    horizon, joined = max(horizon, kept_from), True
                if operation.parent is None and operation.sequence != 0:
                    self.report.add(
                        InvalidData(f"the operation {identifier.hex()[:12]} has no parent", code="operation-corrupt")
                    )
        except VexError as error:
            self.report.add(error)
        for name in sorted(mentioned - set(self._store.packs)):
            self.report.add(
                InvalidData(f"the pack {self._store.folder / name} is missing; restore it", code="object-missing")
            )
        extra = len(set(self._store.packs) - mentioned - replaced)
        if extra:
            self.report.notes.append(f"{extra} pack(s) of interrupted work that no operation mentions (harmless)")
        self.check_commits(commits)

    def check_commits(self, starts: Collection[CommitId]) -> None:
        """Check commits, their ancestors and snapshots."""
        pending, done, snapshots = sorted(starts), set[CommitId](), set[SnapshotId]()
        while pending:
            identifier = pending.pop()
            if identifier in done:
                continue
            done.add(identifier)
            try:
                commit: Commit = read_commit(self._store, identifier)
            except VexError as error:
                self.report.add(error)
                continue
            self.report.commits += 1
            pending.extend(commit.parents)
            if commit.snapshot not in snapshots:
                snapshots.add(commit.snapshot)
                try:
                    self.check_snapshot(commit.snapshot)
                except VexError as error:
                    self.report.add(error)
            if "key" in commit.author:
                try:
                    check_signed(self._store, identifier, commit)
                except VexError as error:
                    self.report.add(error)

    def check_snapshot(self, identifier: SnapshotId) -> None:
        """Check a snapshot's trees.  Raises: Tampered, InvalidData."""
        try:
            self._trees.check_snapshot(identifier)
        finally:
            self.report.records = self._trees.records
