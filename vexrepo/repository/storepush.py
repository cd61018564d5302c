"""Pushing to a store: it is brought to a commit, unless it holds what the commit would take from it.

A push is a checkout that asks one thing more: whether the store is as it was last seen (``storerefs``).  What it
changed since then counts only where the commit does not hold the same: so a push that was interrupted, which leaves
the store between two commits, is completed by the next, and nothing else is lost by either.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vexrepo.errors import StateError, StoreError
from vexrepo.history.ancestry import is_ancestor
from vexrepo.history.walk import LeafReader, find_record, iter_leaves, iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository.checkout import Against, CheckedOut, Terms, check_unchanged, checkout, checkout_event
from vexrepo.repository.core import Core
from vexrepo.repository.gating import tell
from vexrepo.repository.remotes import Kind
from vexrepo.repository.storerefs import StoreRemote, last_seen
from vexrepo.storage.oplog import View
from vexrepo.storage.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moved:
    """What a store changed since it was last seen, without the commit it is brought to holding the same."""

    learned: int = 0
    changed: int = 0
    forgotten: int = 0
    edges: int = 0

    def __bool__(self) -> bool:
        return bool(self.learned or self.changed or self.forgotten or self.edges)


@dataclass(frozen=True, slots=True)
class StorePushed:
    """What a push to a store did, or with a dry run would do.

    ``old`` is the commit the store was last seen at.  ``moved`` is what it changed since: it was overwritten, and with
    a dry run would be refused.  ``diverged`` says that the commit does not have what the store was last seen to hold.
    ``done`` is None where the store said itself that it is as it was, and so was not read.
    """

    remote: StoreRemote
    old: CommitId | None
    new: CommitId
    kind: Kind
    moved: Moved = Moved()
    diverged: bool = False
    done: CheckedOut | None = None


def push_store(
    repository: Core, remote: StoreRemote, commit: CommitId, *, force: bool = False, dry_run: bool = False
) -> StorePushed:
    """Bring a store to a commit; with ``force``, whatever it holds.

    Raises: StateError (store-moved: it changed since it was last seen; not-fast-forward: the commit does not have what
    it was last seen to hold) before anything is written; StoreError, Refused (a check or hook), InvalidData, Locked.
    """
    if _is_there(repository, remote, commit):
        return StorePushed(remote, commit, commit, "same")
    seen: list[CommitId | None] = [None]
    found = [Moved()]
    diverged = [False]

    def known(view: View) -> Sequence[Snapshot]:
        old = seen[0] = last_seen(repository, view, remote)
        diverged[0] = old is not None and not is_ancestor(repository.commit_at, old, commit)
        if old is not None and diverged[0] and not force and not dry_run:
            raise _diverged(repository, remote, old, commit)
        snapshot = repository.snapshot_of(old)
        return [snapshot] if snapshot is not None else []

    def check(against: Against, may_refuse: bool) -> None:
        moved = found[0] = moved_since(against)
        if moved and may_refuse:
            raise _moved(remote, seen[0], moved, is_empty=not against.intake.count)

    events = ("pre-push", "pre-checkout")
    terms = Terms(known, check, events, "push", remote.name)
    done = checkout(repository, commit, remote.address, force=force, dry_run=dry_run, terms=terms)
    old = seen[0]
    if not dry_run:
        total = done.snapshot.records.count
        for name in ("post-push", "post-checkout"):
            tell(repository, checkout_event(repository, name, commit, remote.address, total), lambda: ())
    kind: Kind = "forward"
    if old is None:
        kind = "new"
    elif diverged[0] or found[0]:
        kind = "forced"
    elif old == commit and done.outflow.is_empty:
        kind = "same"
    return StorePushed(remote, old, commit, kind, found[0], diverged[0], done)


def _is_there(repository: Core, remote: StoreRemote, commit: CommitId) -> bool:
    """Whether a store says itself that it is as it was when it was brought to a commit."""
    seen = repository.view().stores.get(repository.store_name(remote.address), {})
    if seen.get("commit") != commit.hex() or seen.get("fingerprint") is None:
        return False
    try:
        with open_store(remote.address) as store:
            return check_unchanged(store, seen["fingerprint"])
    except StoreError as error:
        if error.code != "store-missing":
            raise
        return False


def moved_since(against: Against) -> Moved:
    """Return what a store changed since the snapshot it was last seen at, where its target does not hold the same."""
    objects, outflow = against.objects, against.outflow
    base = against.known[0] if against.known else None
    learned = changed = 0
    for key in outflow.unsaved:
        if base is not None and find_record(objects, base.records, key) is not None:
            changed += 1
        else:
            learned += 1
    forgotten = 0
    edges = len(outflow.unsaved_edges)
    if base is not None:
        has = _Ascending(objects, base.records)
        forgotten = sum(1 for key in _lacking(against) if has.key(key))
        if outflow.edge_upserts and base.edges.count:
            held = {edge.key for edge in against.store.edges()}
            before = {edge.key for edge in iter_records(objects, base.edges)} - held
            edges += sum(1 for edge in outflow.edge_upserts if edge.key in before)
    return Moved(learned, changed, forgotten, edges)


def _lacking(against: Against) -> Iterator[bytes]:
    """Yield the keys of the target that a store has nothing under, in order."""
    changes = iter(against.outflow.changes)
    other = next(changes, None)
    for key in _unseen(against.objects, against.target.records, against.intake.seen):
        if key == other:
            other = next(changes, None)
        else:
            yield key


def _unseen(objects: ObjectStore, target: TreeRoot, seen: NDArray[np.bool_]) -> Iterator[bytes]:
    """Yield the keys of the target's records that a store does not have as they are, in order."""
    at = 0
    for child in iter_leaves(objects, target) if target.count else ():
        part = seen[at : at + child.count]
        at += child.count
        if not part.all():
            keys = LeafReader(objects, child.id).leaf.keys
            for row in (~part).nonzero()[0].tolist():
                yield keys[row]


class _Ascending:
    """Whether a tree has keys that are asked for in ascending order; each leaf is read once at most, for its keys."""

    def __init__(self, objects: ObjectStore, root: TreeRoot) -> None:
        self._objects = objects
        self._leaves = iter_leaves(objects, root) if root.count else iter(())
        self._leaf = next(self._leaves, None)
        self._keys: Sequence[bytes] | None = None

    def key(self, key: bytes) -> bool:
        """Whether the tree has a key, which is above all before it."""
        while self._leaf is not None and self._leaf.last_key and key > self._leaf.last_key:
            self._leaf, self._keys = next(self._leaves, None), None
        if self._leaf is None:
            return False
        if self._keys is None:
            self._keys = LeafReader(self._objects, self._leaf.id).leaf.keys
        row = bisect_left(self._keys, key)
        return row < len(self._keys) and self._keys[row] == key


def _diverged(repository: Core, remote: StoreRemote, old: CommitId, new: CommitId) -> StateError:
    view = repository.view()
    named = next(
        (ref for ref, commit in sorted(view.own_refs.items()) if is_ancestor(repository.commit_at, old, commit)), None
    )
    if named is not None:
        why = (
            f"{remote.label} holds {old.short}, which is in {named.partition('/')[2]} and not in {new.short}: push "
            "that, merge it first, or bring the store to this one with --force"
        )
    else:
        why = (
            f"{remote.label} was last seen at {old.short}, which is in no branch of yours: bring both together with "
            f"`vex merge {remote.name}` and push again; or drop what it holds with --force"
        )
    return StateError(f"{why}.  Nothing was written", code="not-fast-forward")


def _moved(remote: StoreRemote, old: CommitId | None, moved: Moved, *, is_empty: bool) -> StateError:
    if is_empty and old is not None and moved.forgotten:
        return StateError(
            f"{remote.label} holds nothing any more, or is gone: of what it was last seen to hold, at {old.short}, "
            f"{moved.forgotten:,} are not there.  Nothing was written.  Was it moved, or is that not its address: `vex "
            "remote set-url`.  To fill it again: --force.  If it was emptied on purpose, to forget the same here: "
            f"`vex pull {remote.label}`",
            code="store-moved",
        )
    parts = [
        f"{count:,} {word}"
        for count, word in ((moved.learned, "learned"), (moved.changed, "changed"), (moved.forgotten, "forgotten"))
        if count
    ]
    parts += ["1 edge" if moved.edges == 1 else f"{moved.edges:,} edges"] if moved.edges else []
    if old is None:
        what = f"{remote.label} was never seen here, and holds what is not in the commit ({', '.join(parts)})"
        more = " --allow-unrelated-histories"
    else:
        what = f"{remote.label} changed since it was last seen, at {old.short}: {', '.join(parts)}"
        more = ""
    return StateError(
        f"{what}.  Nothing was written.  Keep that: `vex pull {remote.label}{more}` (a fetch, which commits it, and a "
        "merge), then push again.  Drop it: --force",
        code="store-moved",
    )
