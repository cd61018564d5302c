"""Commits made from the repository itself, not from a store: restored memories, settled conflicts, merges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vexrepo.errors import StateError
from vexrepo.history import build
from vexrepo.history.build import Edit
from vexrepo.history.census import Census
from vexrepo.history.walk import find_record
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.snapshot import Snapshot
from vexrepo.remotes.intake import Tally
from vexrepo.repository.core import Core
from vexrepo.repository.gating import UNVERIFIED, branch_event, iter_changes, pass_gate
from vexrepo.storage.store import Writer


def commit_edits(
    repository: Core,
    records: Sequence[Edit],
    message: str,
    source: dict[str, Any],
    *,
    edges: Sequence[Edit] = (),
    command: str,
) -> CommitId:
    """Commit edits (ascending unique keys) of what the current branch holds.  The caller holds the lock.

    Raises: StateError (unborn-branch, nothing-to-commit).
    """
    view = repository.view()
    head, base = view.commit, repository.snapshot_of(view.commit)
    if head is None or base is None:
        raise StateError(f"branch {view.branch} has no commit yet", code="unborn-branch")
    census, tally = Census(repository.objects), Tally()
    with repository.objects.writer() as writer:
        counted = _counting(repository, base, records, tally)
        tree = build.edit_tree(repository.objects, writer, base.records, counted, base.leaf_records, None, census)
        graph = build.edit_tree(repository.objects, writer, base.edges, edges, base.leaf_records)
        snapshot = Snapshot(tree, graph, base.leaf_records, census.spaces_json(), base.collections)
        if snapshot.encode()[0] == repository.commit_at(head).snapshot:
            raise StateError(
                "nothing to commit: the current branch already holds exactly that", code="nothing-to-commit"
            )
        made = write_commit(repository, writer, (head,), snapshot, message, source, tally, len(census.namespaces))
        packs = writer.finish()
    event = branch_event(repository, "pre-commit", source, tree.count)
    pass_gate(repository, event, lambda: iter_changes(repository.objects, base.records, tree), packs)
    repository.record(view.with_commit(made), command, message.split("\n", 1)[0], packs)
    return made


def write_commit(
    repository: Core,
    writer: Writer,
    parents: tuple[CommitId, ...],
    snapshot: Snapshot,
    message: str,
    source: dict[str, Any],
    tally: Tally,
    namespaces: int,
    **more: int,
) -> CommitId:
    """Write a snapshot and a commit of it; ``more`` are further statistics.  Nothing refers to the commit yet."""
    identifier, payload = snapshot.encode()
    writer.put(ObjectType.SNAPSHOT, identifier, payload, base=repository.commit_at(parents[0]).snapshot)
    statistics = {
        "records": snapshot.records.count,
        "edges": snapshot.edges.count,
        "namespaces": namespaces,
        "learned": tally.learned,
        "changed": tally.changed,
        "forgotten": tally.forgotten,
        **more,
    }
    if not repository.around.verify:
        source = {**source, **UNVERIFIED}
    author, now_us = {"name": repository.around.author}, repository.around.now_us()
    return repository.write_commit(writer, Commit(identifier, parents, author, now_us, message, source, statistics))


def _counting(repository: Core, base: Snapshot, edits: Iterable[Edit], tally: Tally) -> Iterator[Edit]:
    for edit in edits:
        had = find_record(repository.objects, base.records, edit.key) is not None
        if edit.record is None:
            tally.forgotten += had
        elif had:
            tally.changed += 1
        else:
            tally.learned += 1
        yield edit
