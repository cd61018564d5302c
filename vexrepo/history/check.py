"""fsck: reads everything and says what is wrong with it.

Checks, in this order: packs against their checksums, every object against its id, the operation log, and from
every ref of every operation: commits, signatures, snapshots, trees (order, counts, boundaries), records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vexrepo.errors import InvalidData, VexError
from vexrepo.history.revision import read_commit
from vexrepo.history.walk import LeafReader, check_records, read_node
from vexrepo.objects import tree
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, SnapshotId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature, is_good, message_of
from vexrepo.objects.snapshot import Snapshot, TreeRoot
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


class Checker:
    """Checks a repository's objects and log."""

    def __init__(self, store: ObjectStore, log: OperationLog, advance: Callable[[int], None]) -> None:
        self._store = store
        self._log = log
        self._advance = advance
        self._trees: dict[tuple[bytes, int, str, bool], tuple[bytes, bytes, int]] = {}
        self._read: set[tuple[bytes, str]] = set()
        self.report = Report()

    def run(self) -> Report:
        """Check everything."""
        self.check_packs()
        self.check_history()
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
                        self._check_signatures(CommitId(entry.id))
                    else:
                        self._store.read_copy(reader, entry)
                except VexError as error:
                    self.report.add(error)
                self._advance(entry.stored)

    def check_history(self) -> None:
        """Check the operation log and everything its refs reach."""
        commits: set[CommitId] = set()
        mentioned: set[str] = set()
        replaced: set[str] = set()
        horizon, joined = 0, False
        try:
            for identifier, operation in self._log.walk():
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
        self._check_commits(commits)

    def _check_commits(self, starts: set[CommitId]) -> None:
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
                    self._check_signed(identifier, commit)
                except VexError as error:
                    self.report.add(error)

    def _check_signed(self, identifier: CommitId, commit: Commit) -> None:
        keys = {Signature.decode(raw).key.hex() for raw in self._store.signatures(identifier)}
        if commit.author["key"] not in keys:
            raise InvalidData(
                f"commit {identifier.short} names the key {commit.author['key'][:8]} but has no signature by it",
                code="signature-missing",
            )

    def _check_signatures(self, commit: CommitId) -> None:
        for raw in self._store.signatures(commit):
            if not is_good(Signature.decode(raw), message_of(commit)):
                raise InvalidData(f"a signature of commit {commit.short} is bad", code="signature-bad")

    def check_snapshot(self, identifier: SnapshotId) -> None:
        """Check a snapshot's trees.  Raises: Tampered, InvalidData."""
        snapshot = Snapshot.decode(self._store.get(identifier, ObjectType.SNAPSHOT))
        for root, what in ((snapshot.records, "records"), (snapshot.edges, "edges")):
            self._check_tree(root, snapshot.leaf_records, what)

    def _check_tree(self, root: TreeRoot, expected: int, what: str) -> None:
        if root.height and len(read_node(self._store, root.id).children) == 1:
            raise InvalidData(f"the {what} tree {root.id.short} has a root with one child", code="object-corrupt")
        _, _, count = self._check_below(root.id, root.height, expected, what, last=True)
        if count != root.count:
            raise InvalidData(
                f"the {what} tree {root.id.short} holds {count} records, not {root.count}", code="object-corrupt"
            )

    def _check_below(
        self, identifier: TreeId, height: int, expected: int, what: str, *, last: bool
    ) -> tuple[bytes, bytes, int]:
        """Return (first key, last key, count) of a subtree, its order, counts and boundaries checked.

        ``last`` says that nothing follows it, so that it may end where no boundary is.
        """
        place = (identifier, expected, what, last)
        known = self._trees.get(place)
        if known is not None:
            return known
        if height == 0:
            reader = LeafReader(self._store, identifier)
            keys = reader.leaf.keys
            if (identifier, what) not in self._read:
                check_records(reader, edges=what == "edges")
                self.report.records += len(keys) if what == "records" else 0
                self._read.add((identifier, what))
            if not _ends_right(keys, 0, expected, last):
                raise reader.wrong("it does not end where its keys say")
            found = (keys[0] if keys else b"", keys[-1] if keys else b"", len(keys))
        else:
            node = read_node(self._store, identifier)
            if node.level != height:
                raise InvalidData(f"the node {identifier.short} is on the wrong level", code="object-corrupt")
            if not _ends_right([child.last_key for child in node.children], height, tree.FANOUT, last):
                raise InvalidData(f"the node {identifier.short} does not end where its keys say", code="object-corrupt")
            first = previous = None
            total = 0
            for number, child in enumerate(node.children):
                low, high, count = self._check_below(
                    child.id, height - 1, expected, what, last=last and number == len(node.children) - 1
                )
                if high != child.last_key or count != child.count or (previous is not None and low <= previous):
                    raise InvalidData(
                        f"the node {identifier.short} does not describe its children", code="object-corrupt"
                    )
                first, previous, total = (low if first is None else first), high, total + count
            found = (first or b"", previous or b"", total)
        self._trees[place] = found
        return found


def _ends_right(keys: list[bytes], level: int, expected: int, last: bool) -> bool:
    """Whether a leaf or node of these (last) keys ends where the boundary rule says."""
    ends = [row for row, key in enumerate(keys) if tree.ends_here(key, level, expected)]
    full = tree.OVERFULL * expected
    if any(row != len(keys) - 1 for row in ends) or len(keys) > full:
        return False
    return bool(ends) or len(keys) == full or last
