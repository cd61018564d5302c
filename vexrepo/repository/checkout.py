"""Checking out: a store is brought to a commit, only the difference written, nothing unsaved lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vexrepo.errors import StateError, StoreError
from vexrepo.history.baseline import IdTable, iter_record_ids
from vexrepo.history.walk import iter_records
from vexrepo.hooks.check import Change
from vexrepo.hooks.event import Event
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record, key_name
from vexrepo.objects.selection import Selection
from vexrepo.objects.snapshot import Snapshot
from vexrepo.remotes.intake import Intake, reconcile, take_in
from vexrepo.remotes.outflow import EdgeChange, Outflow, compare, compare_edge_changes, compare_edges, make_plan
from vexrepo.remotes.readback import Verified, Written
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository.commit import _cache_path, _Progress
from vexrepo.repository.core import Core
from vexrepo.repository.difference import diff_with_store
from vexrepo.repository.gating import as_changes, pass_gate
from vexrepo.repository.lookback import can_be_mixed, check_held, is_read_again
from vexrepo.repository.othermodels import ModelCheck
from vexrepo.repository.storerefs import tracking_name, with_seen
from vexrepo.storage.oplog import View
from vexrepo.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Against:
    """A store beside what it is to hold, before anything is written: what a checkout may be refused for.

    ``known`` are snapshots whose content is safe to replace, ``saved`` the ids of their records (None where nothing in
    the store differs).  ``target`` is the snapshot the store is brought to, ``intake`` was taken in against it.
    """

    objects: ObjectStore
    address: Address
    store: Store
    target: Snapshot
    intake: Intake
    outflow: Outflow
    known: Sequence[Snapshot]
    saved: IdTable | None
    tracked_as: str | None = None  # None: it is the workspace


@dataclass(frozen=True)
class CheckedOut:
    """What a checkout did, or with a dry run would do.

    ``verified`` is the store's own count afterwards, ``read_back`` how many of the memories that were written were
    compared with what it holds.  ``is_whole``: nothing else is in it, and nobody changed it meanwhile; else others may
    have.
    """

    commit: CommitId
    snapshot: Snapshot
    outflow: Outflow
    written: int
    verified: int | None
    read_back: int = 0
    is_whole: bool = False


def checkout(
    repository: Core,
    commit: CommitId,
    address: Address,
    *,
    selection: Selection | None = None,
    force: bool = False,
    dry_run: bool = False,
    head: str | None = None,
    edge_changes: Iterable[EdgeChange] = (),
    terms: Terms | None = None,
) -> CheckedOut:
    """Bring a store to a commit; with ``head``, make that the repository's head in the same step.

    With a selection, of the edges only ``edge_changes`` are brought, and the others stay as they are.  ``terms`` are
    those of a push; by default, what no commit is known to have is not lost.

    Raises: StateError (unsaved-changes) before anything is written, StoreError (store-model, …), InvalidData, Locked.
    """
    terms = terms or Terms()
    selection = selection or Selection()
    accepts = selection.accepts if selection else None
    with repository.lock(), repository.scratch() as scratch, open_store(address, create=True) as store:
        view = repository.view()
        snapshot = repository.snapshot_of(commit)
        assert snapshot is not None
        name = repository.store_name(address)
        intake = take_in(
            store,
            iter_record_ids(repository.objects, snapshot.records),
            scratch,
            cache=_cache_path(repository, name),
            accepts=accepts,
            advance=_Progress(repository, "comparing", store),
        )
        if intake.moved_on:  # whoever wrote meanwhile would be written over
            raise StoreError(
                f"{address} was changed by another program while it was read; nothing was written: run the command "
                "again",
                code="store-changed",
            )
        known = _known(repository, view, name) if terms.known is None else terms.known(view)
        reconcile(repository.objects, (snapshot.records, *(found.records for found in known)), intake, scratch)
        saved = None
        if intake.sorter.count:  # only what differs can be lost
            ids = (piece for found in known for piece in iter_record_ids(repository.objects, found.records))
            saved = IdTable.of_ids(ids, scratch / "saved-ids")
        is_push = terms.known is not None
        applied = repository.last_seen(address)
        models = ModelCheck(repository.objects, snapshot, intake, applied, accepts)
        outflow = compare(
            repository.objects, snapshot.records, intake, saved, accepts, lists_changes=is_push, note=models.note
        )
        if store.holds_edges and not selection:
            edges = {edge.id for found in known for edge in iter_records(repository.objects, found.edges)}
            compare_edges(repository.objects, snapshot.edges, store, set(edges), outflow)
        elif store.holds_edges:
            compare_edge_changes(edge_changes, store, outflow)
        tracked_as = None if repository.is_workspace(address) else tracking_name(repository, name)
        against = Against(repository.objects, address, store, snapshot, intake, outflow, known, saved, tracked_as)
        terms.check(against, not force and not dry_run)
        if not (store.rewrites or repository.around.mixes_models):
            models.check(outflow)
        is_new = intake.fingerprint is None and not intake.count
        if not outflow.is_empty and not dry_run:
            _pass(repository, commit, snapshot, address, selection, terms.events, is_new=is_new)
        written, fingerprint = 0, intake.fingerprint
        noted = Written(store)
        # A memory without records still makes a store that holds none.
        if ((is_new and not snapshot.records.count) or not outflow.is_empty) and not dry_run:
            total = snapshot.records.count if store.rewrites else outflow.added + outflow.changed
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                repository.around.progress("writing", done, total)

            plan = make_plan(repository.objects, snapshot, intake, outflow, scratch, accepts, advance)
            done_there = store.write(replace(plan, upserts=noted.passing(plan.upserts)))
            written, fingerprint = done_there.upserted, done_there.fingerprint
        if dry_run:
            if not outflow.is_empty:
                plan = make_plan(repository.objects, snapshot, intake, outflow, scratch, accepts, lambda count: None)
                store.rehearse(plan)
            return CheckedOut(commit, snapshot, outflow, 0, None)
        verified = noted.verify(None if selection else snapshot.records.count)
        is_looked_at = can_be_mixed(store) and verified.count is not None and not (selection or outflow.is_empty)
        is_whole = not selection and (outflow.is_empty or not can_be_mixed(store))
        if verified.count is None and store.rewrites:
            verified = Verified(written or outflow.kept)
        elif is_looked_at and is_read_again(repository.around.read_back, snapshot, outflow):
            roots = [found.records for found in known]
            begin = partial(_Progress, repository, "reading back", store)
            check_held(repository.objects, store, snapshot, roots, scratch, begin=begin)
            is_whole = True
        if not selection:
            view = with_seen(repository, view, name, commit, fingerprint, terms.remote)
        if head is not None:
            view = view.with_new_head(head, commit)
        if view != repository.view():
            repository.record(view, terms.command, f"{commit.short} to {terms.remote or name}")
        return CheckedOut(commit, snapshot, outflow, written, verified.count, verified.sample, is_whole)


def checkout_event(repository: Core, name: str, commit: CommitId, address: Address, total: int) -> Event:
    """Return the event of a store being brought to a commit."""
    target = {"kind": address.kind, "address": repository.store_name(address)}
    return Event(name, {"kind": "commit", "name": commit.hex()}, target, repository.view().branch, total)


def _pass(
    repository: Core,
    commit: CommitId,
    snapshot: Snapshot,
    address: Address,
    selection: Selection,
    events: Sequence[str],
    *,
    is_new: bool,
) -> None:
    """Let the gate see what would change in a store, at each of some events.  Raises: Vetoed."""

    def changes() -> Iterable[Change]:
        if not is_new:
            return as_changes(diff_with_store(repository, commit, address, selection, reverse=True))
        records = iter_records(repository.objects, snapshot.records)
        return (Change(each.key, None, each) for each in records if _is_selected(selection, each))

    for name in events:
        pass_gate(repository, checkout_event(repository, name, commit, address, snapshot.records.count), changes)


def _is_selected(selection: Selection, record: Record) -> bool:
    return not selection or selection.accepts(record.key, lambda: record.body)


def _known(repository: Core, view: View, name: str) -> list[Snapshot]:
    """Return the snapshots whose content is safe to replace: the one the store was last seen at, and HEAD's."""
    commits = {view.commit}
    seen: dict[str, Any] = view.stores.get(name, {})
    if seen.get("commit"):
        commits.add(CommitId.parse(seen["commit"]))
    return [found for commit in commits if (found := repository.snapshot_of(commit)) is not None]


def check_saved(against: Against, may_refuse: bool) -> None:
    """Raise StateError (unsaved-changes) where a store would lose what no commit has."""
    outflow = against.outflow
    if (outflow.unsaved or outflow.unsaved_edges) and may_refuse:
        raise _unsaved(against, outflow)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a checkout is done.

    ``known`` returns the snapshots whose content is safe to replace (None: what the store was last seen at, and
    HEAD's); ``check`` refuses, where it may; ``events`` are those the gate hears of, ``command`` is the operation's;
    the store is tracked as ``remote``, too.
    """

    known: Callable[[View], Sequence[Snapshot]] | None = None
    check: Callable[[Against, bool], None] = check_saved
    events: Sequence[str] = ("pre-checkout",)
    command: str = "checkout"
    remote: str | None = None


def _unsaved(against: Against, outflow: Outflow) -> StateError:
    address = against.address
    names = [key_name(key) for key in outflow.unsaved[:3]]
    more = len(outflow.unsaved) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more else "")
    edges = len(outflow.unsaved_edges)
    parts = [_counted(len(outflow.unsaved), "memory", "memories")] if names else []
    parts += [_counted(edges, "edge", "edges")] if edges else []
    them = "it" if len(outflow.unsaved) + edges == 1 else "them"
    which = f" ({listed})" if names else ""
    keep = f"vex commit --from {address} -m MESSAGE"
    if against.tracked_as is not None:  # a commit of it to this branch would forget what it has not
        keep = f"vex fetch {address}, then vex branch NAME {against.tracked_as}"
    return StateError(
        f"{address} holds {' and '.join(parts)} that no commit has{which} and would lose {them}.  "
        f"Keep {them}: {keep}.  Drop {them}: --force",
        code="unsaved-changes",
    )


def _counted(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {many}"


def check_unchanged(store: Store, fingerprint: str | None) -> bool:
    """Whether a store says that it is as it was when last seen."""
    return fingerprint is not None and store.describe().fingerprint == fingerprint
