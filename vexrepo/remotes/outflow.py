"""Bringing a store to a snapshot: what to write, what to remove, and what would be lost.

Only the difference is written.  Records of the store that no commit has are found before anything is written.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vexrepo.history.baseline import IdTable
from vexrepo.history.walk import LeafReader, find_record, iter_leaves, iter_records, read_leaves
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.remotes.intake import Accepts, Intake
from vexrepo.remotes.stores.base import Plan, Store
from vexrepo.storage.freed import note_records
from vexrepo.storage.spill import Sorter
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


EdgeChange: TypeAlias = tuple[bytes, Record | None, Record | None]  # key, before, after
TURNS = (0, 1, 1, 0, 1, 1, 1)
SPLIT_RECORDS = 20_000  # snapshots below this are written by one process
BLOCK = 256  # records handed on at once


@dataclass
class Outflow:
    """What a checkout would do to a store.  ``unsaved`` are keys whose present content no commit has."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    kept: int = 0
    deletes: list[bytes] = field(default_factory=list)
    changes: list[bytes] = field(default_factory=list)  # keys of what is changed, where those were asked for
    unsaved: list[bytes] = field(default_factory=list)
    edge_upserts: list[Record] = field(default_factory=list)
    edge_deletes: list[Record] = field(default_factory=list)
    unsaved_edges: list[Record] = field(default_factory=list)
    # In a partial checkout: of memories the store has inside the selection, the snapshot's version outside it.
    moved: list[Record] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether the store holds the snapshot already."""
        return not (self.added or self.changed or self.removed or self.edge_upserts or self.edge_deletes)


def compare(
    objects: ObjectStore,
    target: TreeRoot,
    intake: Intake,
    saved: IdTable | None,
    accepts: Accepts | None,
    *,
    lists_changes: bool = False,
    note: Callable[[Record], None] = lambda record: None,
) -> Outflow:
    """Return what separates a store (as taken in against ``target``) from it.

    ``saved`` holds the record ids of the commit the store was last seen at; differing records not in it are
    unsaved.  ``note`` is given each record of the store that differs.  Memory: keys of records to remove and of unsaved
    ones; with ``lists_changes`` of changed ones, too.
    """
    outflow = Outflow(kept=int(intake.seen.sum()))
    wanted = _wanted(objects, target, intake.seen, accepts)
    for row in intake.sorter.sorted():
        record = row.record
        note(record)
        if saved is None or saved.match(record.id)[0] < 0:
            outflow.unsaved.append(record.key)
        found = find_record(objects, target, record.key)
        if found is not None:
            outflow.changed += 1
            if lists_changes:
                outflow.changes.append(record.key)
            if accepts is not None and not accepts(record.key, _body(found.reader, found.row)):
                outflow.moved.append(found.record)
        else:
            outflow.removed += 1
            outflow.deletes.append(record.key)
    outflow.added = wanted + len(outflow.moved) - outflow.changed
    return outflow


def _wanted(objects: ObjectStore, target: TreeRoot, seen: NDArray[np.bool_], accepts: Accepts | None) -> int:
    if accepts is None:
        return int((~seen).sum())
    return sum(1 for _ in _missing(objects, target, seen, accepts))


def _missing(
    objects: ObjectStore, target: TreeRoot, seen: NDArray[np.bool_], accepts: Accepts | None
) -> Iterator[Record]:
    """Yield the records of the target that the store does not have as they are."""
    at = 0
    for child in iter_leaves(objects, target):
        part = seen[at : at + child.count]
        at += child.count
        if part.all():
            continue
        reader = LeafReader(objects, child.id, keep=False)
        record, count = None, 0
        for row in (~part).nonzero()[0].tolist():
            if accepts is None or accepts(reader.leaf.keys[row], _body(reader, row)):
                record, count = reader.record(row), count + 1
                yield record
        if record is not None:
            note_records(record, count)


def _body(reader: LeafReader, row: int) -> Callable[[], bytes]:
    return lambda: reader.bodies[row]


def compare_edges(objects: ObjectStore, target: TreeRoot, store: Store, saved: set[bytes], outflow: Outflow) -> None:
    """Add to ``outflow`` how the store's edges differ from the target's; ``saved`` are record ids some commit has.

    Memory: all edges of the store.
    """
    present = {edge.key: edge for edge in store.edges()}
    for edge in iter_records(objects, target):
        held = present.pop(edge.key, None)
        if held is None or held.id != edge.id:
            outflow.edge_upserts.append(edge)
            if held is not None and held.id not in saved:
                outflow.unsaved_edges.append(held)
    outflow.edge_deletes.extend(present[key] for key in sorted(present))
    outflow.unsaved_edges.extend(edge for edge in outflow.edge_deletes if edge.id not in saved)


def compare_edge_changes(changes: Iterable[EdgeChange], store: Store, outflow: Outflow) -> None:
    """Add to ``outflow`` what of some changes of edges the store does not have yet; all its other edges stay.

    An edge that the store has neither as before nor as after the change is unsaved.  Memory: all edges of the store.
    """
    held = {edge.key: edge for edge in store.edges()}
    for key, old, new in changes:
        present = held.get(key)
        if (present and present.id) == (new and new.id):
            continue
        if present is not None and present.id != (old and old.id):
            outflow.unsaved_edges.append(present)
        if new is not None:
            outflow.edge_upserts.append(new)
        elif present is not None:
            outflow.edge_deletes.append(present)


def make_plan(
    objects: ObjectStore,
    snapshot: Snapshot,
    intake: Intake,
    outflow: Outflow,
    scratch: Path,
    accepts: Accepts | None,
    advance: Callable[[int], None],
) -> Plan:
    """Return the plan that writes an outflow."""
    target = snapshot.records
    store = intake.store

    def records() -> Iterator[Record]:
        if accepts is None:
            yield from iter_records(objects, target, ahead=2)
            return
        # A partial checkout of a store that is written as a whole: what it has outside the selection stays.
        others = Sorter(scratch, "kept")
        for batch in store.scan():
            for item in batch:
                body = item.record.body
                if not accepts(item.record.key, lambda body=body: body):  # type: ignore[misc]
                    others.add(item.record, item.place)
        others.spill()
        chosen = (
            reader.record(row)
            for reader in read_leaves(objects, iter_leaves(objects, target))
            for row in range(len(reader.leaf.keys))
            if accepts(reader.leaf.keys[row], _body(reader, row))
        )
        previous = None
        for record in heapq.merge(chosen, outflow.moved, (row.record for row in others.sorted()), key=_key):
            if record.key != previous:  # the snapshot's, where the store has it outside the selection
                yield record
            previous = record.key

    leaves = list(iter_leaves(objects, target))

    # The first process also writes, so it makes fewer.
    turns = [TURNS[number % len(TURNS)] for number in range(len(leaves))]
    order = [turn for leaf, turn in zip(leaves, turns, strict=True) for _ in range(0, leaf.count, BLOCK)]

    def blocks(process: int) -> Iterator[list[Record]]:
        mine = [leaf for leaf, turn in zip(leaves, turns, strict=True) if turn == process]
        for leaf, reader in zip(mine, read_leaves(objects, mine), strict=True):
            records = reader.records()
            if len(records) != leaf.count:
                raise reader.wrong("the node above it counts other records")
            for start in range(0, len(records), BLOCK):
                yield records[start : start + BLOCK]

    config: dict[str, Any] = snapshot.collections.get(store.kind) or {}
    return Plan(
        upserts=lambda: itertools.chain(_missing(objects, target, intake.seen, accepts), outflow.moved),
        deletes=outflow.deletes,
        records=records,
        edge_upserts=outflow.edge_upserts,
        edge_deletes=outflow.edge_deletes,
        edges=lambda: iter_records(objects, snapshot.edges),
        config=config,
        expected=intake.fingerprint,
        blocks=blocks if accepts is None and target.count >= SPLIT_RECORDS else None,
        order=order,
        advance=advance,
    )


def _key(record: Record) -> bytes:
    return record.key
