"""blame: which commit gave each field of a memory its value, when it was added, and when it was forgotten."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from vexrepo.errors import UsageError
from vexrepo.history.fields import ABSENT, METADATA, Path, fields_of, is_same
from vexrepo.history.walk import find_record
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record, key_name, make_key, split_key
from vexrepo.repository.core import Core

_ID: Path = ("id",)
_NAMESPACE: Path = ("namespace",)


@dataclass(frozen=True, slots=True)
class Origin:
    """A field, its value, and the commit that gave it that value."""

    path: Path
    value: Any
    commit: CommitId


@dataclass(frozen=True, slots=True)
class Blame:
    """Where a memory's fields come from.  ``forgotten`` is the commit that removed it, None while it is there."""

    key: bytes
    record: Record
    added: CommitId
    forgotten: CommitId | None = None
    origins: list[Origin] = field(default_factory=list)


def blame(repository: Core, start: CommitId, key: bytes) -> Blame:
    """Return where the fields of the memory with a key come from, as it is at a commit or was when last there.

    A memory that moved to another namespace is followed.  Of several parents with the same value, the first counts.
    Raises: UsageError (unknown-record) if it never was there.
    """
    lookup = _Lookup(repository)
    record, forgotten = lookup.record(start, key), None
    if record is None:
        start, forgotten = _last_seen(repository, lookup, start, key)
        record = lookup.record(start, key)
    assert record is not None
    fields = fields_of(record)
    origins: dict[Path, CommitId] = {}
    pending: dict[tuple[CommitId, bytes], set[Path]] = {(start, key): set(fields)}
    queue = [(-repository.commit_at(start).time_us, start, key)]
    while queue:
        _, commit, here = heapq.heappop(queue)
        left = pending.pop((commit, here), set())
        for parent in repository.commit_at(commit).parents:
            if not left:
                break
            before = lookup.key_before(parent, commit, here)
            if before is None:
                continue
            old = fields_of(lookup.record(parent, before))
            same = {path for path in left if is_same(old.get(path, ABSENT), fields[path])}
            if same:
                left -= same
                if (parent, before) not in pending:
                    heapq.heappush(queue, (-repository.commit_at(parent).time_us, parent, before))
                pending.setdefault((parent, before), set()).update(same)
        origins.update(dict.fromkeys(left, commit))
    return Blame(
        key,
        record,
        origins[_ID],
        forgotten,
        [Origin(path, fields[path], origins[path]) for path in sorted(fields) if path not in (_ID, METADATA)],
    )


class _Lookup:
    """Finds records at commits, each once."""

    def __init__(self, repository: Core) -> None:
        self._repository = repository
        self._known: dict[tuple[bytes, bytes], Record | None] = {}

    def record(self, commit: CommitId, key: bytes) -> Record | None:
        """Return the record with a key at a commit."""
        root = self._repository.records_root(commit)
        assert root is not None
        place = (bytes(root.id), key)
        if place not in self._known:
            found = find_record(self._repository.objects, root, key)
            self._known[place] = found.record if found else None
        return self._known[place]

    def key_before(self, parent: CommitId, commit: CommitId, key: bytes) -> bytes | None:
        """Return the key a memory had at a parent: the same, or that of one namespace it left with this commit."""
        if self.record(parent, key) is not None:
            return key
        namespace, identifier = split_key(key)
        for other in sorted(self._all_namespaces(parent) - {namespace}):
            moved = make_key(other, identifier)
            if self.record(parent, moved) is not None and self.record(commit, moved) is None:
                return moved
        return None

    def _all_namespaces(self, commit: CommitId) -> set[str]:
        from vexrepo.history.census import Census

        root = self._repository.records_root(commit)
        assert root is not None
        census = Census(self._repository.objects)
        census.count(root)
        return census.namespaces


def _last_seen(repository: Core, lookup: _Lookup, start: CommitId, key: bytes) -> tuple[CommitId, CommitId]:
    """Return the newest ancestor that has a memory, and the commit after it that does not."""
    for later, commit in repository.history(start):
        for parent in commit.parents:
            if lookup.record(later, key) is None and lookup.record(parent, key) is not None:
                return parent, later
    raise UsageError(
        f"no memory {key_name(key)} at {start.short} or before; see `vex show {start.short}`", code="unknown-record"
    )
