"""Committing: what a store holds becomes a snapshot and a signed commit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vexrepo.errors import InvalidData, StateError, StoreError
from vexrepo.exchange.admission import Admitted, check_signature
from vexrepo.history import build
from vexrepo.history.ancestry import is_ancestor
from vexrepo.history.build import Edit
from vexrepo.history.census import Census
from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects import tree
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.selection import Selection
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.timestamp import format_time
from vexrepo.remotes import rawcache
from vexrepo.remotes.intake import Intake, Tally, iter_edits, reconcile, take_in
from vexrepo.remotes.keptread import KeptRead
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository.core import Core
from vexrepo.repository.gating import UNVERIFIED, branch_event, iter_changes, pass_gate
from vexrepo.repository.storerefs import HEAD, with_seen
from vexrepo.storage.oplog import View
from vexrepo.storage.store import Writer

EMPTY_RECORD_BYTES = 2048.0  # assumed size of a record while there is none to measure


@dataclass(frozen=True, slots=True)
class Tracked:
    """That a commit is of what a remote's store holds, and goes onto the ref that tracks it, not onto a branch.

    ``base`` is what the store was last seen to hold; ``alike`` are commits it may hold by now (those of branches, which
    a push that was interrupted may have brought there).
    """

    remote: str
    base: CommitId | None
    alike: tuple[CommitId, ...] = ()


@dataclass(frozen=True)
class Committed:
    """What a commit did.

    ``problems`` are (code, message) of records left out with ``skip_problems``; ``note`` says who signed what came from
    elsewhere.  ``held`` is the commit, made before, that a store holds exactly (``Tracked`` only).
    """

    id: CommitId | None
    commit: Commit
    snapshot: Snapshot
    tally: Tally
    problems: list[tuple[str, str]] = field(default_factory=list)
    added_bytes: int = 0
    note: str = ""
    held: CommitId | None = None


def commit_store(
    repository: Core,
    address: Address,
    message: str,
    *,
    selection: Selection | None = None,
    skip_problems: bool = False,
    allow_empty: bool = False,
    forget: bool = True,
    not_behind: bool = False,
    tracked: Tracked | None = None,
    dry_run: bool = False,
) -> Committed:
    """Commit what a store holds to the current branch; without ``forget``, what it does not hold any more stays.

    With ``not_behind``, a store that the branch has moved on from is refused (store-behind): its commit would take back
    what came between.  With ``tracked``, the commit goes onto a remote's tracking ref instead of the branch, and where
    the store holds exactly what a commit holds, none is made.

    Raises: StateError (nothing-to-commit), InvalidData (a record that cannot be kept, duplicate-key),
    StoreError, Refused, Locked, StorageFailure.  Nothing is committed unless everything is.
    """
    selection = selection or Selection()
    accepts = selection.accepts if selection else None
    with (
        repository.lock(),
        repository.scratch() as scratch,
        open_store(address) as store,
        repository.objects.writer() as writer,
        contextlib.ExitStack() as stack,
    ):
        view = repository.view()
        head = view.commit if tracked is None else tracked.base
        base = repository.snapshot_of(head)
        census = Census(repository.objects)
        name = repository.store_name(address)
        is_foreign = not repository.is_workspace(address)
        before_reading = store.describe().fingerprint if is_foreign else None
        admitted = check_signature(store, repository.guard(address)) if is_foreign else Admitted()
        cache = _cache_path(repository, name)
        kept = _kept_read(repository, name, base, skip_problems) if store.resumes and not selection else None
        if kept is not None:
            stack.callback(kept.clear)
        intake = take_in(
            store,
            census.iter_record_ids(base.records) if base else (),
            scratch,
            cache=cache,
            remember=True,
            skip_problems=skip_problems,
            accepts=accepts,
            advance=_Progress(repository, "reading", store),
            kept=kept,
        )
        applied = repository.last_seen(address) if store.alters else None
        alike = {each: repository.snapshot_of(each) for each in (tracked.alike if tracked is not None else ())}
        roots = [each.records if each else None for each in (base, applied, *alike.values())]
        reconcile(repository.objects, roots, intake, scratch)
        # A read of one moment is sound, whoever writes meanwhile.
        if is_foreign and not store.reads_snapshot and intake.fingerprint != before_reading:
            raise StoreError(f"{address} changed while it was being read; nothing was committed", code="store-changed")
        tally = Tally()
        leaf_records = next((each.leaf_records for each in (base, *alike.values()) if each), None)
        snapshot = _write_snapshot(
            repository, writer, intake, base, selection, census, tally, forget=forget, leaf_records=leaf_records
        )
        if tracked is not None:
            held = _held(snapshot, [(tracked.base, base), *alike.items()], edges_count=store.holds_edges)
            if held is not None:
                after = with_seen(repository, view, name, held, intake.fingerprint, tracked.remote)
                if not dry_run:
                    _remember(repository, cache, intake)
                    if after != view:
                        repository.record(after, "fetch", f"{held.short} from {tracked.remote}")
                made = repository.commit_at(held)
                return Committed(None, made, snapshot, tally, intake.problems, note=admitted.note, held=held)
        snapshot_id, payload = snapshot.encode()
        before = repository.commit_at(head).snapshot if head else None
        if snapshot_id == before and not allow_empty:
            if not dry_run:
                _remember(repository, cache, intake)
                after = with_seen(repository, view, name, head, intake.fingerprint)
                if not selection and after != view:
                    repository.record(after, "status", name)
            raise StateError(
                f"nothing to commit: {address} holds exactly what {view.branch or 'HEAD'} holds",
                code="nothing-to-commit",
            )
        if not_behind:
            _check_not_behind(repository, address, view)
        source: dict[str, Any] = {} if repository.around.verify else dict(UNVERIFIED)
        source |= {"kind": store.kind, "store": Path(address.location).name if address.is_path else name}
        if tracked is not None:
            source["remote"] = tracked.remote
        if kept is not None and kept.resumed is not None and not kept.is_sure:
            source["read_since"] = format_time(kept.begun_us)
        if admitted.signature is not None:
            source["signature"] = {name: admitted.signature[name] for name in ("key", "verdict")}
        if selection:
            source["selection"] = selection.describe()
        statistics = {
            "records": snapshot.records.count,
            "edges": snapshot.edges.count,
            "namespaces": len(census.namespaces),
            "learned": tally.learned,
            "changed": tally.changed,
            "forgotten": tally.forgotten,
        }
        author, now_us = {"name": repository.around.author}, repository.around.now_us()
        commit = Commit(snapshot_id, (head,) if head else (), author, now_us, message, source, statistics)
        if dry_run:
            return Committed(None, commit, snapshot, tally, intake.problems, writer.size_bytes, admitted.note)
        writer.put(ObjectType.SNAPSHOT, snapshot_id, payload, base=before)
        identifier = repository.write_commit(writer, commit)
        packs = writer.finish()
        old = base.records if base else None
        events = ["pre-import"] * is_foreign + ["pre-commit"] * (tracked is None)
        for kind in events:
            event = branch_event(repository, kind, source, snapshot.records.count, admitted.signature)
            if tracked is not None:
                event = replace(event, target={"kind": "branch", "name": f"{tracked.remote}/{HEAD}"}, branch=None)
            pass_gate(repository, event, lambda: iter_changes(repository.objects, old, snapshot.records), packs)
        after = view.with_commit(identifier) if tracked is None else view
        if not selection:
            remote = tracked.remote if tracked is not None else None
            after = with_seen(repository, after, name, identifier, intake.fingerprint, remote)
        elif head is None or view.stores.get(name, {}).get("commit") == head.hex():
            # What else it holds, or lacks, are changes of its own beside this commit.
            after = with_seen(repository, after, name, identifier, None)
        command = "commit" if tracked is None else "fetch"
        repository.record(after, command, message.split("\n", 1)[0], packs)
        _remember(repository, cache, intake)
        added = sum((repository.folder / "packs" / pack).stat().st_size for pack in packs)
        made = repository.commit_at(identifier)
        return Committed(identifier, made, snapshot, tally, intake.problems, added, admitted.note)


def _held(
    snapshot: Snapshot, commits: Iterable[tuple[CommitId | None, Snapshot | None]], *, edges_count: bool
) -> CommitId | None:
    """Return the first of some commits that holds the same memories as a snapshot, and edges where those count.

    Settings of collections do not: a store has those of its own.
    """
    for commit, other in commits:
        if other is None or other.records != snapshot.records:
            continue
        if not edges_count or other.edges == snapshot.edges:
            return commit
    return None


def left_behind_at(repository: Core, address: Address, view: View | None = None) -> CommitId | None:
    """Return the commit a store was last seen at, if the branch has moved on from there without it; else None.

    A commit of such a store would take back what the branch has got since.
    """
    view = view or repository.view()
    seen = view.stores.get(repository.store_name(address), {}).get("commit")
    commit = CommitId.parse(seen) if seen else None
    if commit is None or view.commit in (None, commit) or commit not in repository.objects:
        return None
    assert view.commit is not None
    return commit if is_ancestor(repository.commit_at, commit, view.commit) else None


def _check_not_behind(repository: Core, address: Address, view: View) -> None:
    """Raise StateError (store-behind) where a commit of a store would take back what the branch has got without it."""
    at = left_behind_at(repository, address, view)
    if at is not None:
        assert view.commit is not None
        raise StateError(
            f"{address} was last brought to {at.short}, and the branch has moved on to {view.commit.short} without it: "
            "a commit of it would take back what came between.  Bring it along first: `vex checkout HEAD --merge`; or, "
            f"to keep exactly what it holds: `vex commit --from {address}`",
            code="store-behind",
        )


def _write_snapshot(
    repository: Core,
    writer: Writer,
    intake: Intake,
    base: Snapshot | None,
    selection: Selection,
    census: Census,
    tally: Tally,
    *,
    forget: bool,
    leaf_records: int | None,
) -> Snapshot:
    """Write the trees of what was taken in; ``census`` and ``tally`` count on the way."""
    store, objects = intake.store, repository.objects
    leaf_records = leaf_records or _leaf_records(intake)
    root = base.records if base else None
    goes = (lambda key, body: False) if not forget else selection.accepts if selection else None
    edits = iter_edits(objects, root, intake, tally, goes)
    with repository.pool() as pool:
        records = build.edit_tree(objects, writer, root, edits, leaf_records, pool, census)
    edges = _edges(repository, writer, store, base, leaf_records, selection)
    collections = dict(base.collections) if base else {}
    config = store.kept_config()
    if config and not selection:
        collections[store.kind] = config
    return Snapshot(records, edges, leaf_records, census.spaces_json(), collections)


def _remember(repository: Core, cache: Path | None, intake: Intake) -> None:
    if cache is not None and intake.raws:
        rawcache.write(repository.files, cache, intake.bound_to, intake.raws)


def _kept_read(repository: Core, name: str, base: Snapshot | None, skip_problems: bool) -> KeptRead:
    """Return where a read of a store against the base is kept, for when it is interrupted."""
    around = repository.around
    against = base.records.id.hex() if base is not None else ""
    scratch = repository.folder / "tmp"
    return KeptRead(scratch, name, against, skip_problems, around.now_us, repository.files, not around.resumes)


def _cache_path(repository: Core, name: str) -> Path | None:
    return rawcache.path_for(repository.folder / "cache", name) if repository.config["core.line_cache"] else None


def _leaf_records(intake: Intake) -> int:
    sorter = intake.sorter
    size = (sorter.body_bytes + sorter.vector_bytes) / sorter.count if sorter.count else EMPTY_RECORD_BYTES
    return tree.expected_records(size)


class _Progress:
    """Adds up what a reader reports and tells the repository's surroundings."""

    def __init__(self, repository: Core, what: str, store: Store) -> None:
        self._tell = repository.around.progress
        size_bytes = getattr(store, "size_bytes", None)
        self._what = what if size_bytes is None else f"{what} bytes"
        self._total = store.describe().count if size_bytes is None else size_bytes
        self._done = 0

    def __call__(self, amount: int) -> None:
        self._done += amount
        self._tell(self._what, self._done, self._total)


def _edges(
    repository: Core, writer: Writer, store: Store, base: Snapshot | None, leaf_records: int, selection: Selection
) -> TreeRoot:
    """Return the edge tree: the store's own edges, or those of the base where the store keeps none."""
    if not store.holds_edges or selection:
        return base.edges if base else build.edit_tree(None, writer, None, (), leaf_records)
    wanted: dict[bytes, Record] = {}
    for edge in store.edges():
        if edge.key in wanted and wanted[edge.key].id != edge.id:
            raise InvalidData(
                f"{store.address} has two different edges with the same source, type, target and id: "
                f"{edge.body[:200]!r}",
                code="duplicate-key",
            )
        wanted[edge.key] = edge
    root = base.edges if base else None
    return build.edit_tree(repository.objects, writer, root, _edge_edits(repository, root, wanted), leaf_records)


def _edge_edits(repository: Core, root: TreeRoot | None, wanted: dict[bytes, Record]) -> Iterator[Edit]:
    present: dict[bytes, bytes] = {}
    for child in iter_leaves(repository.objects, root) if root is not None and root.count else ():
        leaf = LeafReader(repository.objects, child.id).leaf
        present.update((key, leaf.record_id(row)) for row, key in enumerate(leaf.keys))
    for key in sorted({*present, *wanted}):
        edge = wanted.get(key)
        if edge is None or present.get(key) != edge.id:
            yield Edit(key, edge)
