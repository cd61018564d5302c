"""Conflicts that were committed as such (``vex merge --keep-conflicts``): finding them and settling them."""

from __future__ import annotations

from collections.abc import Iterator

from vexrepo.history.build import Edit
from vexrepo.history.conflict import MARK, Conflict, Resolve, marked_conflicts, settle
from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.repository.core import Core
from vexrepo.repository.editing import commit_edits

_MARK = f'"{MARK}"'.encode()


def committed_conflicts(repository: Core, commit: CommitId) -> list[Conflict]:
    """Return the conflicts a commit's memories and edges are in, in key order.  Reads bodies, no vectors."""
    return [
        conflict
        for record, is_edge in _marked(repository, commit)
        for conflict in marked_conflicts(record, is_edge=is_edge)
    ]


def settle_committed(repository: Core, resolve: Resolve, message: str) -> CommitId:
    """Commit the current branch with the conflicts settled for which ``resolve`` gives a value.

    Raises: StateError (nothing-to-commit, unborn-branch), InvalidData where a value makes no record.
    """
    with repository.lock():
        head = repository.view().commit
        edits: dict[bool, list[Edit]] = {False: [], True: []}
        for record, is_edge in _marked(repository, head) if head else ():
            settled = settle(record, resolve, is_edge=is_edge)
            if settled is None or settled.id != record.id:
                edits[is_edge].append(Edit(record.key, settled))
        return commit_edits(
            repository, edits[False], message, {"kind": "resolve"}, edges=edits[True], command="resolve"
        )


def _marked(repository: Core, commit: CommitId) -> Iterator[tuple[Record, bool]]:
    snapshot = repository.snapshot_of(commit)
    assert snapshot is not None
    for root, is_edge in ((snapshot.records, False), (snapshot.edges, True)):
        for record in _holding_mark(repository, root):
            yield record, is_edge


def _holding_mark(repository: Core, root: TreeRoot) -> Iterator[Record]:
    for child in iter_leaves(repository.objects, root):
        reader = LeafReader(repository.objects, child.id)
        for row, body in enumerate(reader.bodies):
            if _MARK in body:
                record = reader.record(row)
                if marked_conflicts(record):
                    yield record
